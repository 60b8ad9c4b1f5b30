"""What the data plane has to know at once: the rows of the change feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.model.device import CertificateId
from gateway.model.issued import RevocationReason, serial_hex


class ChangeKind(StrEnum):
    CERTIFICATE_REVOKED = "certificate.revoked"
    CERTIFICATE_RELEASED = "certificate.released"
    DEVICE_DEACTIVATED = "device.deactivated"
    DEVICE_ACTIVATED = "device.activated"
    USER_DEACTIVATED = "user.deactivated"
    USER_ACTIVATED = "user.activated"
    STATE_CHANGED = "state.changed"


class StatePart(StrEnum):
    """What STATE_CHANGED speaks of."""

    SETTINGS = "settings"
    POLICIES = "policies"
    ZONES = "zones"
    AUTHORITIES = "authorities"
    EVERYTHING = "everything"  # the store was restored


@dataclass(frozen=True, slots=True)
class Change:
    """One change. The store gives it its number and its time when the transaction commits."""

    kind: ChangeKind
    payload: Mapping[str, object]
    number: int = 0
    at: datetime | None = None


def certificate_revoked(
    certificate: CertificateId, reason: RevocationReason, *, device: str | None, user: str | None
) -> Change:
    """``device``: as certificates name it, ``user``: a login key. Their connections are closed."""
    return Change(
        ChangeKind.CERTIFICATE_REVOKED,
        {**_named(certificate), "device": device, "user": user, "reason": reason.value},
    )


def certificate_released(certificate: CertificateId) -> Change:
    """A certificate that was on hold is valid again."""
    return Change(ChangeKind.CERTIFICATE_RELEASED, _named(certificate))


def device_deactivated(certificate_name: str) -> Change:
    return Change(ChangeKind.DEVICE_DEACTIVATED, {"device": certificate_name})


def device_activated(certificate_name: str) -> Change:
    return Change(ChangeKind.DEVICE_ACTIVATED, {"device": certificate_name})


def user_deactivated(login_key: str) -> Change:
    return Change(ChangeKind.USER_DEACTIVATED, {"user": login_key})


def user_activated(login_key: str) -> Change:
    return Change(ChangeKind.USER_ACTIVATED, {"user": login_key})


def state_changed(part: StatePart) -> Change:
    """Workers get a whole new state document."""
    return Change(ChangeKind.STATE_CHANGED, {"what": part.value})


def _named(certificate: CertificateId) -> dict[str, object]:
    return {"issuer": certificate.issuer.hex(), "serial": serial_hex(certificate.serial_number)}
