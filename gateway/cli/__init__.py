"""One file per verb of the devicetrust command."""
