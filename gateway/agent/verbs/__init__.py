"""What the command `devicetrust-agent` does, one module for each verb."""
