"""What the gateway states to the app about who signs on from where: headers and a signed JWT.

The JWT (`X-Device-Trust-Assertion`) is for apps that want to check the statement instead of trusting the
network between gateway and app: ES256 (RFC 7518 §3.4), bound to the device by `cnf.x5t#S256` (RFC 8705
§3.1), keys at `/.well-known/jwks.json` of the org host.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from gateway.model.device import TrustVerdict, VerifiedDevice
from gateway.services.recent import Recent

STATEMENT_LIFETIME_SECONDS: Final = 300
# A signature costs more than all else that a request of a session does, so one serves for this long; an app
# then still gets each statement with half of its life before it.
STATEMENT_REUSE_SECONDS: Final = 150
# 1 KB each: the people of one worker who are at work in the same two minutes.
MAX_KEPT_STATEMENTS: Final = 10_000

_JSON: Final = json.JSONEncoder(separators=(",", ":"))
_ES256: Final = jwt.get_algorithm_by_name("ES256")

HeaderFields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class IdentityStatement:
    app: str
    user: str
    verdict: TrustVerdict


@dataclass(frozen=True, slots=True)
class _Kept:
    fields: HeaderFields
    signed_at: datetime
    reuse_until: datetime


class StatementSigner:
    """Signs with the newest key; publishes all of them.

    A statement is used again for as long as it says the same: the key of what is kept are all of its claims
    but the times. It is not asked here whether it is still true. The caller states only what was decided for
    this very request, so where trust has ended nothing, or something else, is stated.
    """

    def __init__(
        self, issuer: str, keys: Sequence[EllipticCurvePrivateKey], kept_statements: int = MAX_KEPT_STATEMENTS
    ) -> None:
        self._issuer = issuer
        self._keys = [(_key_id(key), key) for key in keys]
        if not self._keys:
            raise ValueError("no key to sign statements with")
        # The compact form (RFC 7515 §7.1) is put together here: all but the signature of `jwt.encode` is for
        # cases that do not occur, and took longer than signing.
        header = {"alg": "ES256", "kid": self._keys[0][0], "typ": "JWT"}
        self._header = urlsafe_b64encode(_JSON.encode(header).encode()).rstrip(b"=")
        self._kept: Recent[tuple[str, str, str | None, str | None, bool], _Kept] = Recent(
            kept_statements, STATEMENT_REUSE_SECONDS
        )

    def headers(self, statement: IdentityStatement, now: datetime) -> HeaderFields:
        """The `X-Device-Trust` family for one request."""
        device = statement.verdict if isinstance(statement.verdict, VerifiedDevice) else None
        known: tuple[str | None, str | None, bool] = (None, None, False)
        if device is not None:
            known = device.device, device.certificate_thumbprint, device.hardware_key
        claims = (statement.app, statement.user, *known)
        now_seconds = now.timestamp()
        kept = self._kept.get(claims, now_seconds)
        if kept is None or not kept.signed_at <= now < kept.reuse_until:
            reuse_until = now + timedelta(seconds=STATEMENT_REUSE_SECONDS)
            kept = _Kept(self._signed(statement, device, now), now, reuse_until)
            self._kept.put(claims, kept, now_seconds)
        return kept.fields

    def _signed(
        self, statement: IdentityStatement, device: VerifiedDevice | None, now: datetime
    ) -> HeaderFields:
        return (
            (b"X-Device-Trust", b"trusted" if device is not None else b"not-trusted"),
            (b"X-Device-Trust-User", _field_value(statement.user)),
            *(() if device is None else ((b"X-Device-Trust-Device", _field_value(device.device)),)),
            (b"X-Device-Trust-Assertion", self._assertion(statement, device, now)),
        )

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {
            "keys": [
                {"kid": key_id, "use": "sig", "alg": "ES256", **_public_members(key)}
                for key_id, key in self._keys
            ]
        }

    def _assertion(self, statement: IdentityStatement, device: VerifiedDevice | None, now: datetime) -> bytes:
        _, key = self._keys[0]
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
            claims["hardware_key"] = device.hardware_key
            claims["cnf"] = {"x5t#S256": device.certificate_thumbprint}
        signed = self._header + b"." + urlsafe_b64encode(_JSON.encode(claims).encode()).rstrip(b"=")
        return signed + b"." + urlsafe_b64encode(_ES256.sign(signed, key)).rstrip(b"=")


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
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
