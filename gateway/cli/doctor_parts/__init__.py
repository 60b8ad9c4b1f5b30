"""What `devicetrust doctor` looks at, a module for each part of the way from a computer to an app."""
