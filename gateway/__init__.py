"""Device Trust Gateway: people reach their SAML and WS-Fed apps only from a trusted device."""

__version__ = "0.1.0"
