"""An IWA web app without Kerberos: it vouches for whom a test names, with a key of its own."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.enrollment.iwa_keys import key_id_of, public_jwk
from gateway.enrollment.parties import iwa_issuer, org_audience
from gateway.enrollment.reports import HealthValue, IwaReport, sign_report
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.enrollment.tokens import DeviceToken, DomainAccount, UserToken, sign_user_token

REALM = "CORP.EXAMPLE.TEST"
AUDIENCE = org_audience("acme")
COMPUTER = DomainAccount(f"WS-1$@{REALM}", REALM, "ws-1.corp.example.test", "S-1-5-21-1-2-3-1105")
ALICE = DomainAccount(f"alice@{REALM}", REALM, "alice@example.test", "S-1-5-21-1-2-3-1106", "guid-of-alice")
THUMBPRINT = "t" * 43

_numbers = count(1)


def a_device_token(now: datetime, **others: Any) -> DeviceToken:
    token = DeviceToken(
        f"device-{next(_numbers)}",
        iwa_issuer("iwa1"),
        COMPUTER,
        THUMBPRINT,
        "nonce",
        now,
        now + timedelta(minutes=5),
    )
    return replace(token, **others)


def a_user_token(now: datetime, **others: Any) -> UserToken:
    token = UserToken(
        f"user-{next(_numbers)}",
        iwa_issuer("iwa1"),
        AUDIENCE,
        COMPUTER,
        ALICE,
        THUMBPRINT,
        "nonce",
        now,
        now + timedelta(minutes=5),
    )
    return replace(token, **others)


@dataclass
class MadeUpIwa:
    """``id`` is what the org calls it once it is registered."""

    name: str = "hq-1"
    id: str = ""
    audience: str = AUDIENCE
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def key_id(self) -> str:
        return key_id_of(self.key.public_key())

    def registration(self) -> dict[str, Any]:
        """The body of `POST /api/v1/iwas`."""
        return {
            "name": self.name,
            "url": f"https://{self.name}.corp.example.test/iwa",
            "public_jwk": public_jwk(self.key.public_key()),
            "version": "1.2.3",
            "realms": [REALM],
        }

    def user_token(self, nonce: str, public_key: Any, *, now: datetime | None = None, **others: Any) -> str:
        """``public_key``: of the certification request that is to come."""
        token = a_user_token(
            now or datetime.now(UTC),
            issuer=iwa_issuer(self.id),
            audience=self.audience,
            nonce=nonce,
            key_thumbprint=key_thumbprint(public_key),
        )
        return sign_user_token(replace(token, **others), self.key, self.key_id)

    def report(self, now: datetime | None = None, **health: HealthValue) -> str:
        at = now or datetime.now(UTC)
        report = IwaReport(
            f"report-{next(_numbers)}", self.audience, "1.2.4", health, at, at + timedelta(minutes=1)
        )
        return sign_report(report, self.key, self.key_id)
