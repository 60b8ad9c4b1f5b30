"""The pieces of `devicetrust demo`: throw-away keys, an identity provider, two apps, a browser."""
