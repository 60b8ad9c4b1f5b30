"""The two tokens of the IWA web app (JWT, RFC 7519, ES256):

    device token   for the IWA web app itself: this computer's ticket was seen. Useless anywhere else
    user token     for the org: this person's ticket was seen together with that device token

Both name the key that the certificate is to be for, and the org's nonce that the enrollment began with, so
that a token which was stolen helps with no other key and at no other time. Lifetimes are minutes. That a
token is used once is for the caller to see to: ``token_id`` until ``expires``.

Which of the two a token is stands in its header (``typ``, RFC 8725 §3.11), so that neither passes for the
other.
"""

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

DEVICE_TOKEN_TYPE: Final = "dt-device+jwt"  # noqa: S105 - a type, not a secret
USER_TOKEN_TYPE: Final = "dt-user+jwt"  # noqa: S105
ALGORITHM: Final = "ES256"
DEVICE_TOKEN_LIFETIME: Final = timedelta(minutes=5)
USER_TOKEN_LIFETIME: Final = timedelta(minutes=5)
# Between the clocks of IWA web app and org.
ALLOWED_SKEW: Final = timedelta(minutes=2)
# 20 groups of 64 characters and names of 256 fit; Kerberos itself carries more, we do not.
MAX_TOKEN_CHARACTERS: Final = 8_192
MAX_TEXT_CHARACTERS: Final = 256
THUMBPRINT_CHARACTERS: Final = 43


class TokenInvalid(Exception):
    """Not a token of this kind, by this key, for this audience. The detail is for the log."""


class TokenExpired(TokenInvalid):
    """It was one, once."""


@dataclass(frozen=True, slots=True)
class DomainAccount:
    """An account of a directory, as its Kerberos ticket (and the directory) tell of it.

    ``principal`` is `name@REALM`. ``login`` is by what the org knows a person: the UPN where there is one; of
    a computer it is its DNS name, or its name without `$`. ``sid`` and ``guid`` are None without Active
    Directory. SIDs are unique in all forests together, since each domain's part is random (MS-DTYP §2.4.2).
    """

    principal: str
    realm: str
    login: str
    sid: str | None = None
    guid: str | None = None

    @property
    def directory_key(self) -> str:
        """What is compared when the account comes again: the SID, which no later account gets again, and
        only without one the principal."""
        return f"principal:{self.principal}" if self.sid is None else f"sid:{self.sid}"


@dataclass(frozen=True, slots=True)
class DeviceToken:
    token_id: str
    issuer: str
    device: DomainAccount
    key_thumbprint: str  # `thumbprints.key_thumbprint` of the key to be certified
    nonce: str  # of the org
    issued: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class UserToken:
    token_id: str
    issuer: str
    audience: str
    device: DomainAccount
    user: DomainAccount
    key_thumbprint: str
    nonce: str
    issued: datetime
    expires: datetime


def sign_device_token(token: DeviceToken, key: EllipticCurvePrivateKey, key_id: str) -> str:
    claims = {
        **_common(token.token_id, token.issuer, token.issuer, token.issued, token.expires),
        **_bound(token.key_thumbprint, token.nonce),
        "device": _account_claims(token.device),
    }
    return jwt.encode(claims, key, ALGORITHM, {"typ": DEVICE_TOKEN_TYPE, "kid": key_id})


def sign_user_token(token: UserToken, key: EllipticCurvePrivateKey, key_id: str) -> str:
    claims = {
        **_common(token.token_id, token.issuer, token.audience, token.issued, token.expires),
        **_bound(token.key_thumbprint, token.nonce),
        "sub": token.user.login,
        "device": _account_claims(token.device),
        "user": _account_claims(token.user),
    }
    return jwt.encode(claims, key, ALGORITHM, {"typ": USER_TOKEN_TYPE, "kid": key_id})


def token_key_id(text: str) -> str:
    """Which key a token says that it was signed with; nothing of it is verified. Raises TokenInvalid."""
    return _text(_header(text), "kid")


def verify_device_token(text: str, key: EllipticCurvePublicKey, *, issuer: str, now: datetime) -> DeviceToken:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before."""
    claims = _verified(text, key, DEVICE_TOKEN_TYPE)
    _check_common(claims, issuer, issuer, DEVICE_TOKEN_LIFETIME, now)
    return DeviceToken(
        token_id=_text(claims, "jti"),
        issuer=issuer,
        device=_account(claims, "device"),
        key_thumbprint=_thumbprint(claims),
        nonce=_text(claims, "nonce"),
        issued=_moment(claims, "iat"),
        expires=_moment(claims, "exp"),
    )


def verify_user_token(
    text: str, key: EllipticCurvePublicKey, *, issuer: str, audience: str, now: datetime
) -> UserToken:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before, whether
    the nonce is one of the org, or whether the accounts are known."""
    claims = _verified(text, key, USER_TOKEN_TYPE)
    _check_common(claims, issuer, audience, USER_TOKEN_LIFETIME, now)
    user = _account(claims, "user")
    if claims.get("sub") != user.login:
        raise TokenInvalid("sub is not the user's login")
    return UserToken(
        token_id=_text(claims, "jti"),
        issuer=issuer,
        audience=audience,
        device=_account(claims, "device"),
        user=user,
        key_thumbprint=_thumbprint(claims),
        nonce=_text(claims, "nonce"),
        issued=_moment(claims, "iat"),
        expires=_moment(claims, "exp"),
    )


def _common(
    token_id: str, issuer: str, audience: str, issued: datetime, expires: datetime
) -> dict[str, object]:
    return {
        "jti": token_id,
        "iss": issuer,
        "aud": audience,
        "iat": int(issued.timestamp()),
        "exp": int(expires.timestamp()),
    }


def _bound(key_thumbprint: str, nonce: str) -> dict[str, object]:
    return {"cnf": {"spki#S256": key_thumbprint}, "nonce": nonce}


def _account_claims(account: DomainAccount) -> dict[str, str]:
    claims = {
        "principal": account.principal,
        "realm": account.realm,
        "login": account.login,
        "sid": account.sid,
        "guid": account.guid,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _header(text: str) -> Mapping[str, Any]:
    if len(text) > MAX_TOKEN_CHARACTERS or not text.isascii():
        raise TokenInvalid("too long, or not ASCII")
    try:
        return jwt.get_unverified_header(text)
    except _UNREADABLE as error:
        raise TokenInvalid(f"not a JWT: {error}") from None


def _verified(text: str, key: EllipticCurvePublicKey, token_type: str) -> Mapping[str, Any]:
    if _header(text).get("typ") != token_type:
        raise TokenInvalid(f"typ is not {token_type}")
    try:
        claims = json.loads(jwt.api_jws.decode(text, key, [ALGORITHM]))
    except _UNREADABLE as error:
        raise TokenInvalid(str(error)) from None
    if not isinstance(claims, dict):
        raise TokenInvalid("the claims are no object")
    return claims


# PyJWT lets some exceptions of its parsers through.
_UNREADABLE: Final = (jwt.PyJWTError, binascii.Error, ValueError, TypeError, RecursionError)


def _check_common(
    claims: Mapping[str, Any], issuer: str, audience: str, lifetime: timedelta, now: datetime
) -> None:
    if claims.get("iss") != issuer:
        raise TokenInvalid("iss is another one")
    if claims.get("aud") != audience:
        raise TokenInvalid("aud is another one")
    issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
    if not timedelta(0) < expires - issued <= lifetime:
        raise TokenInvalid("valid for longer than such tokens are")
    if issued > now + ALLOWED_SKEW:
        raise TokenInvalid("issued in the future")
    if now >= expires + ALLOWED_SKEW:
        raise TokenExpired("too old")


def _account(claims: Mapping[str, Any], name: str) -> DomainAccount:
    account = claims.get(name)
    if not isinstance(account, dict):
        raise TokenInvalid(f"{name} is no object")
    principal, realm = _text(account, "principal"), _text(account, "realm")
    if not principal.endswith(f"@{realm}"):
        raise TokenInvalid(f"{name}: the principal is not of the realm")
    return DomainAccount(
        principal, realm, _text(account, "login"), _optional(account, "sid"), _optional(account, "guid")
    )


def _optional(claims: Mapping[str, Any], name: str) -> str | None:
    return _text(claims, name) if name in claims else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT_CHARACTERS or not value.isprintable():
        raise TokenInvalid(f"{name} is no text of 1 to {MAX_TEXT_CHARACTERS} characters")
    return value


def _thumbprint(claims: Mapping[str, Any]) -> str:
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict):
        raise TokenInvalid("cnf is no object")
    value = _text(confirmation, "spki#S256")
    if len(value) != THUMBPRINT_CHARACTERS:
        raise TokenInvalid("cnf is no thumbprint")
    return value


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TokenInvalid(f"{name} is no whole number")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError):
        raise TokenInvalid(f"{name} is no time") from None
