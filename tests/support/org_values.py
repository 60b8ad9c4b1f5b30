"""Values of the organization for tests: each has what it needs, and takes what a test wants otherwise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from gateway.model.ids import IdKind, new_id
from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateStatus,
    IssuedCertificate,
)
from gateway.model.iwa import Iwa, IwaStatus
from gateway.model.log_event import Actor, LogEvent, Outcome, Severity, Target, Transaction
from gateway.model.org import (
    Device,
    DeviceStatus,
    Group,
    GroupType,
    User,
    UserSource,
    UserStatus,
    default_certificate_name,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
ISSUER = bytes(range(32))

_numbers = count(1)


def next_id(kind: IdKind) -> str:
    """Ids that differ, and sort in the order in which they were made."""
    return kind.value + new_id(kind, next(_numbers).to_bytes(13, "big"))[:2:-1]


def a_user(login: str | None = None, **others: Any) -> User:
    made = next_id(IdKind.USER)
    login = login or f"{made}@example.test"
    user = User(made, login, login, "First", "Last", UserStatus.ACTIVE, UserSource.LOCAL, NOW, NOW)
    return replace(user, **others)


def a_group(name: str | None = None, **others: Any) -> Group:
    made = next_id(IdKind.GROUP)
    return replace(Group(made, name or made, "", GroupType.OKTA_GROUP, NOW, NOW), **others)


def a_device(name: str = "laptop", **others: Any) -> Device:
    made = next_id(IdKind.DEVICE)
    device = Device(made, name, default_certificate_name(made), "WINDOWS", DeviceStatus.ACTIVE, NOW, NOW)
    return replace(device, **others)


def an_authority(**others: Any) -> AuthorityRecord:
    made = next_id(IdKind.AUTHORITY)
    authority = AuthorityRecord(
        id=made,
        name="builtin",
        kind=AuthorityKind.ISSUING,
        generation=1,
        status=AuthorityStatus.ACTIVE,
        certificate_der=b"certificate",
        issuer_hash=ISSUER,
        key_reference=None,
        created=NOW,
        not_after=NOW + timedelta(days=3650),
        crl_shards=4,
        key_pem=b"encrypted",
    )
    return replace(authority, **others)


def a_certificate(authority_id: str, serial_number: int, **others: Any) -> IssuedCertificate:
    """An issued one; of serial numbers, the lower were made earlier."""
    certificate = IssuedCertificate(
        issuer_hash=ISSUER,
        serial_number=serial_number,
        authority_id=authority_id,
        device_id="guo00000000000000001",
        user_id="00u00000000000000001",
        profile="device",
        status=CertificateStatus.ISSUED,
        not_before=NOW,
        not_after=NOW + timedelta(days=365),
        created=NOW + timedelta(seconds=serial_number % 1_000_000),
        crl_shard=serial_number % 4,
        certificate_der=b"der of %d" % serial_number,
        thumbprint=f"thumbprint-{serial_number}",
    )
    return replace(certificate, **others)


def reserved(certificate: IssuedCertificate) -> IssuedCertificate:
    """The same before it was signed."""
    return replace(certificate, status=CertificateStatus.RESERVED, certificate_der=None, thumbprint=None)


def an_iwa(name: str = "hq-1", **others: Any) -> Iwa:
    made = next_id(IdKind.IWA)
    iwa = Iwa(
        id=made,
        name=name,
        url=f"https://{name}.corp.example.test/iwa",
        public_jwk={"kty": "EC", "crv": "P-256", "x": made, "y": made},
        key_id=f"key of {made}",
        version="1.0.0",
        realms=["CORP.EXAMPLE.TEST"],
        status=IwaStatus.ENABLED,
        is_primary=False,
        created=NOW,
        last_updated=NOW,
    )
    return replace(iwa, **others)


def an_event(event_type: str = "pki.cert.revoke", *targets: str, **others: Any) -> LogEvent:
    event = LogEvent(
        uuid=str(UUID(int=next(_numbers), version=4)),
        published=NOW,
        event_type=event_type,
        display_message="Device Trust certificate revocation",
        severity=Severity.INFO,
        outcome=Outcome.SUCCESS,
        actor=Actor("00u00000000000000001", "User", "admin@example.test", "Admin"),
        transaction=Transaction("transaction"),
        targets=tuple(Target(target, "Device", target, target) for target in targets),
    )
    return replace(event, **others)
