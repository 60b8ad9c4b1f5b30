"""The signing key of an IWA web app, as the org gets to know it: a public JWK (RFC 7517), P-256 only."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)

_COORDINATE_BYTES: Final = 32
_COORDINATE_CHARACTERS: Final = 43


def public_jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    """Raises ValueError for a key of another curve."""
    if key.curve.name != SECP256R1.name:
        raise ValueError("is not a P-256 key")
    numbers = key.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _encoded(numbers.x), "y": _encoded(numbers.y)}


def key_of_jwk(jwk: Mapping[str, object]) -> EllipticCurvePublicKey:
    """Members that a public key does not need are passed over. Raises ValueError with a sentence for
    whatever is no public P-256 key, and for a private one, which must go nowhere."""
    if "d" in jwk:
        raise ValueError("holds a private key; send the public one, and make a new key")
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise ValueError("is not a P-256 key")
    try:
        numbers = EllipticCurvePublicNumbers(_decoded(jwk.get("x")), _decoded(jwk.get("y")), SECP256R1())
        return numbers.public_key()
    except (ValueError, binascii.Error):
        raise ValueError("is no point of P-256") from None


def key_id_of(key: EllipticCurvePublicKey) -> str:
    """The JWK thumbprint (RFC 7638 §3): members in lexical order, no white space."""
    members = public_jwk(key)
    canonical = '{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}'.format(**members)
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _encoded(coordinate: int) -> str:
    return base64.urlsafe_b64encode(coordinate.to_bytes(_COORDINATE_BYTES)).rstrip(b"=").decode()


def _decoded(text: object) -> int:
    """RFC 7518 §6.2.1.2: all 32 bytes, also leading zeros."""
    if not isinstance(text, str) or len(text) != _COORDINATE_CHARACTERS or not text.isascii():
        raise ValueError("no coordinate")
    return int.from_bytes(base64.b64decode(f"{text}=", altchars=b"-_", validate=True))
