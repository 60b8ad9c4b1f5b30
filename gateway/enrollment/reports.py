"""How an IWA web app says, every half minute, that it is there and how it is: a JWT by its key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

from gateway.enrollment.claims import (
    ALGORITHM,
    TokenInvalid,
    check_audience,
    check_lifetime,
    moment,
    text_of,
    verified_claims,
)

REPORT_TYPE: Final = "dt-iwa+jwt"
REPORT_LIFETIME: Final = timedelta(minutes=5)
REPORT_SECONDS: Final = 30.0  # from one report to the next
MAX_HEALTH_FIELDS: Final = 32
MAX_VERSION_CHARACTERS: Final = 64

HealthValue = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class IwaReport:
    """``health`` is for people to read: short names and plain values."""

    report_id: str
    audience: str
    version: str
    health: Mapping[str, HealthValue]
    issued: datetime
    expires: datetime


def sign_report(report: IwaReport, key: EllipticCurvePrivateKey, key_id: str) -> str:
    claims = {
        "jti": report.report_id,
        "aud": report.audience,
        "version": report.version,
        "health": dict(report.health),
        "iat": int(report.issued.timestamp()),
        "exp": int(report.expires.timestamp()),
    }
    return jwt.encode(claims, key, ALGORITHM, {"typ": REPORT_TYPE, "kid": key_id})


def verify_report(text: str, key: EllipticCurvePublicKey, *, audience: str, now: datetime) -> IwaReport:
    """``now`` is aware. Raises TokenInvalid, TokenExpired. Does not see whether it was used before."""
    claims = verified_claims(text, key, REPORT_TYPE)
    check_audience(claims, audience)
    check_lifetime(claims, REPORT_LIFETIME, now)
    return IwaReport(
        report_id=text_of(claims, "jti"),
        audience=audience,
        version=text_of(claims, "version", MAX_VERSION_CHARACTERS),
        health=_health(claims.get("health")),
        issued=moment(claims, "iat"),
        expires=moment(claims, "exp"),
    )


def _health(value: object) -> Mapping[str, HealthValue]:
    if not isinstance(value, dict) or len(value) > MAX_HEALTH_FIELDS:
        raise TokenInvalid(f"health is no object of at most {MAX_HEALTH_FIELDS} fields")
    for name, each in value.items():
        text_of({"name": name}, "name")
        if isinstance(each, str):
            if each:
                text_of({"value": each}, "value")
        elif isinstance(each, float):
            if not -1e300 < each < 1e300:
                raise TokenInvalid("health: a number is none")
        elif isinstance(each, int):
            if abs(each) >= 2**53:
                raise TokenInvalid("health: a number is too large")
        elif each is not None:
            raise TokenInvalid("health: a value is neither text, number nor truth")
    return value
