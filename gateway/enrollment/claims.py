"""What all our JWTs of enrollment have in common (RFC 7519, RFC 8725): one algorithm, a type of their own in
the header, bounded texts, a lifetime of minutes.

The readers raise TokenInvalid for whatever is not what they were asked for, and nothing else.
"""

import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

ALGORITHM: Final = "ES256"
# Between the clocks of IWA web app, org and computer.
ALLOWED_SKEW: Final = timedelta(minutes=2)
# 20 groups of 64 characters and names of 256 fit; Kerberos itself carries more, we do not.
MAX_TOKEN_CHARACTERS: Final = 8_192
MAX_TEXT_CHARACTERS: Final = 256
THUMBPRINT_CHARACTERS: Final = 43


class TokenInvalid(Exception):
    """Not a token of this kind, by this key, for this audience. The detail is for the log."""


class TokenExpired(TokenInvalid):
    """It was one, once."""


# PyJWT lets some exceptions of its parsers through.
_UNREADABLE: Final = (jwt.PyJWTError, binascii.Error, ValueError, TypeError, RecursionError)


def header_of(text: str) -> Mapping[str, Any]:
    """Nothing of it is verified."""
    if len(text) > MAX_TOKEN_CHARACTERS or not text.isascii():
        raise TokenInvalid("too long, or not ASCII")
    try:
        return jwt.get_unverified_header(text)
    except _UNREADABLE as error:
        raise TokenInvalid(f"not a JWT: {error}") from None


def verified_claims(text: str, key: EllipticCurvePublicKey, token_type: str) -> Mapping[str, Any]:
    """The claims of a token of this type that the key has signed; no claim is looked at."""
    if header_of(text).get("typ") != token_type:
        raise TokenInvalid(f"typ is not {token_type}")
    try:
        claims = json.loads(jwt.api_jws.decode(text, key, [ALGORITHM]))
    except _UNREADABLE as error:
        raise TokenInvalid(str(error)) from None
    if not isinstance(claims, dict):
        raise TokenInvalid("the claims are no object")
    return claims


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    if claims.get("aud") != audience:
        raise TokenInvalid("aud is another one")


def check_lifetime(claims: Mapping[str, Any], lifetime: timedelta, now: datetime) -> None:
    """``lifetime``: the longest that tokens of this kind have. Raises TokenExpired, too."""
    issued, expires = moment(claims, "iat"), moment(claims, "exp")
    if not timedelta(0) < expires - issued <= lifetime:
        raise TokenInvalid("valid for longer than such tokens are")
    if issued > now + ALLOWED_SKEW:
        raise TokenInvalid("issued in the future")
    if now >= expires + ALLOWED_SKEW:
        raise TokenExpired("too old")


def text_of(claims: Mapping[str, Any], name: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value or len(value) > limit or not value.isprintable():
        raise TokenInvalid(f"{name} is no text of 1 to {limit} characters")
    return value


def optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    return text_of(claims, name) if name in claims else None


def thumbprint_of(claims: Mapping[str, Any], name: str) -> str:
    """SHA-256, base64url without padding: only its length is looked at."""
    value = text_of(claims, name)
    if len(value) != THUMBPRINT_CHARACTERS:
        raise TokenInvalid(f"{name} is no thumbprint")
    return value


def moment(claims: Mapping[str, Any], name: str) -> datetime:
    """A NumericDate of whole seconds, aware."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TokenInvalid(f"{name} is no whole number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise TokenInvalid(f"{name} is no time") from None
