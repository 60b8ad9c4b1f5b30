"""The two tokens of the IWA web app (JWT, RFC 7519, ES256):

    device token   for the IWA web app itself: this computer's ticket was seen. Useless anywhere else
    user token     for the org: this person's ticket was seen together with that device token

Both name the key that the certificate is to be for, and the org's nonce that the enrollment began with, so
that a token which was stolen helps with no other key and at no other time. Lifetimes are minutes. That a
token is used once is for the caller to see to: ``token_id`` until ``expires``.

Which of the two a token is stands in its header (``typ``, RFC 8725 §3.11), so that neither passes for the
other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from gateway.enrollment.claims import (
    ALGORITHM,
    check_audience,
    check_lifetime,
    header_of,
    moment,
    optional_text,
    text_of,
    thumbprint_of,
    verified_claims,
)
from gateway.enrollment.claims import ALLOWED_SKEW as ALLOWED_SKEW
from gateway.enrollment.claims import MAX_TOKEN_CHARACTERS as MAX_TOKEN_CHARACTERS
from gateway.enrollment.claims import TokenExpired as TokenExpired
from gateway.enrollment.claims import TokenInvalid as TokenInvalid

DEVICE_TOKEN_TYPE: Final = "dt-device+jwt"  # noqa: S105 - a type, not a secret
USER_TOKEN_TYPE: Final = "dt-user+jwt"  # noqa: S105
DEVICE_TOKEN_LIFETIME: Final = timedelta(minutes=5)
USER_TOKEN_LIFETIME: Final = timedelta(minutes=5)


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
    return text_of(header_of(text), "kid")


def verify_device_token(text: str, key: EllipticCurvePublicKey, *, issuer: str, now: datetime) -> DeviceToken:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before."""
    claims = verified_claims(text, key, DEVICE_TOKEN_TYPE)
    _check_common(claims, issuer, issuer, DEVICE_TOKEN_LIFETIME, now)
    return DeviceToken(
        token_id=text_of(claims, "jti"),
        issuer=issuer,
        device=_account(claims, "device"),
        key_thumbprint=_thumbprint(claims),
        nonce=text_of(claims, "nonce"),
        issued=moment(claims, "iat"),
        expires=moment(claims, "exp"),
    )


def verify_user_token(
    text: str, key: EllipticCurvePublicKey, *, issuer: str, audience: str, now: datetime
) -> UserToken:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before, whether
    the nonce is one of the org, or whether the accounts are known."""
    claims = verified_claims(text, key, USER_TOKEN_TYPE)
    _check_common(claims, issuer, audience, USER_TOKEN_LIFETIME, now)
    user = _account(claims, "user")
    if claims.get("sub") != user.login:
        raise TokenInvalid("sub is not the user's login")
    return UserToken(
        token_id=text_of(claims, "jti"),
        issuer=issuer,
        audience=audience,
        device=_account(claims, "device"),
        user=user,
        key_thumbprint=_thumbprint(claims),
        nonce=text_of(claims, "nonce"),
        issued=moment(claims, "iat"),
        expires=moment(claims, "exp"),
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


def _check_common(
    claims: Mapping[str, Any], issuer: str, audience: str, lifetime: timedelta, now: datetime
) -> None:
    if claims.get("iss") != issuer:
        raise TokenInvalid("iss is another one")
    check_audience(claims, audience)
    check_lifetime(claims, lifetime, now)


def _account(claims: Mapping[str, Any], name: str) -> DomainAccount:
    account = claims.get(name)
    if not isinstance(account, dict):
        raise TokenInvalid(f"{name} is no object")
    principal, realm = text_of(account, "principal"), text_of(account, "realm")
    if not principal.endswith(f"@{realm}"):
        raise TokenInvalid(f"{name}: the principal is not of the realm")
    return DomainAccount(
        principal,
        realm,
        text_of(account, "login"),
        optional_text(account, "sid"),
        optional_text(account, "guid"),
    )


def _thumbprint(claims: Mapping[str, Any]) -> str:
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, dict):
        raise TokenInvalid("cnf is no object")
    return thumbprint_of(confirmation, "spki#S256")
