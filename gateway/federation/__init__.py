"""SAML 2.0 and WS-Federation messages: structure, signatures, claims, metadata. Pure."""
