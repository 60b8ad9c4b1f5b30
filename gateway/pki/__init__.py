"""RFC 5280 in memory: certification paths, CRLs, the revocation index. Pure."""
