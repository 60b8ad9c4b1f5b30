"""`devicetrust-agent doctor`: why this computer is not trusted, and what to do about it."""
