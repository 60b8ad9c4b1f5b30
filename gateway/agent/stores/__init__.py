"""Where browsers on Linux look for certificates: NSS databases of the user, and those of Firefox profiles."""
