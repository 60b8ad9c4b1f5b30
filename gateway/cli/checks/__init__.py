"""What `devicetrust check` looks at, one file per subject; each yields findings and raises nothing."""
