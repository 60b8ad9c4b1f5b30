"""How a domain-joined computer comes to its certificate: tokens, proofs and rules. Pure."""
