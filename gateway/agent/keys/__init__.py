"""Keys that are made on this computer and never leave it: in a file, a TPM, behind PKCS #11, or with the
platform's own store."""
