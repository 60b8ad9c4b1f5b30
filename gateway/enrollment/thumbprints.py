"""What names a key in tokens and proofs."""

import base64
import hashlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.pki.signature import PublicKey


def key_thumbprint(key: PublicKey) -> str:
    """SHA-256 over the DER of the SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), base64url without padding: 43
    characters. The same for a certification request's key and for that of the certificate made of it."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
