"""What the gateway states to the app about who signs on from where: headers and a signed JWT.

The JWT (`X-Device-Trust-Assertion`) is for apps that want to check the statement instead of trusting the
network between gateway and app: ES256 (RFC 7518 §3.4), bound to the device by `cnf.x5t#S256` (RFC 8705
§3.1), keys at `/.well-known/jwks.json` of the org host.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from gateway.model.device import TrustVerdict, VerifiedDevice

STATEMENT_LIFETIME_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class IdentityStatement:
    app: str
    user: str
    verdict: TrustVerdict


class StatementSigner:
    """Signs with the newest key; publishes all of them."""

    def __init__(self, issuer: str, keys: Sequence[EllipticCurvePrivateKey]) -> None:
        self._issuer = issuer
        self._keys = [(_key_id(key), key) for key in keys]
        if not self._keys:
            raise ValueError("no key to sign statements with")

    def headers(self, statement: IdentityStatement, now: datetime) -> list[tuple[bytes, bytes]]:
        """The `X-Device-Trust` family for one request."""
        device = statement.verdict if isinstance(statement.verdict, VerifiedDevice) else None
        fields = [
            (b"X-Device-Trust", b"trusted" if device is not None else b"not-trusted"),
            (b"X-Device-Trust-User", _field_value(statement.user)),
        ]
        if device is not None:
            fields.append((b"X-Device-Trust-Device", _field_value(device.device)))
        fields.append((b"X-Device-Trust-Assertion", self._assertion(statement, device, now)))
        return fields

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {
            "keys": [
                {"kid": key_id, "use": "sig", "alg": "ES256", **_public_members(key)}
                for key_id, key in self._keys
            ]
        }

    def _assertion(self, statement: IdentityStatement, device: VerifiedDevice | None, now: datetime) -> bytes:
        key_id, key = self._keys[0]
        issued_at = int(now.timestamp())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": statement.app,
            "sub": statement.user,
            "iat": issued_at,
            "exp": issued_at + STATEMENT_LIFETIME_SECONDS,
            "device_trust": "trusted" if device is not None else "not-trusted",
        }
        if device is not None:
            claims["device"] = device.device
            claims["cnf"] = {"x5t#S256": device.certificate_thumbprint}
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": key_id}).encode("ascii")


def _field_value(text: str) -> bytes:
    """Names are UTF-8 in the header; what would end the field or forge another one cannot be in them."""
    return "".join(c for c in text if c >= " " and c != "\x7f").encode("utf-8", "replace")


def _public_members(key: EllipticCurvePrivateKey) -> dict[str, str]:
    if key.curve.name != SECP256R1.name:
        raise ValueError("statements are signed with P-256 keys only")
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _base64url(numbers.x.to_bytes(32)),
        "y": _base64url(numbers.y.to_bytes(32)),
    }


def _key_id(key: EllipticCurvePrivateKey) -> str:
    """The thumbprint of the key (RFC 7638): members in lexical order, no white space."""
    members = _public_members(key)
    canonical = '{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}'.format(**members)
    digest = Hash(SHA256())
    digest.update(canonical.encode("ascii"))
    return _base64url(digest.finalize())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
