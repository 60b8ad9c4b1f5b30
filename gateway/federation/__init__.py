"""SAML 2.0 and WS-Federation messages: structure, signatures, claims, metadata. Pure.

The way of a message, one module each: `form` → `kinds` → `saml2` or `ws_fed` → `structure` (one reading)
→ `signature` (the bytes that were signed) → `assertion20` or `assertion11` (what they say, to whom, until
when). `metadata` brings the keys, `requests` sees requests pass, `signing` is the other side of it all.
"""
