"""Revoking certificates, one or all of a device or a user; holding and releasing; deactivating for good.

What is revoked is recorded as changes in the same transaction, so that every gateway enforces it at once. All
of this may be done again without harm, and is allowed while the organization is read-only.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.model.changes import (
    certificate_released as released_change,
)
from gateway.model.changes import (
    certificate_revoked as revoked_change,
)
from gateway.model.changes import (
    device_activated,
    device_deactivated,
    user_activated,
    user_deactivated,
)
from gateway.model.issued import CertificateStatus, IssuedCertificate, RevocationReason
from gateway.model.org import Device, DeviceStatus, User, UserStatus
from gateway.services.authority_ports import AuthorityWork
from gateway.system_log.administration import device_event, user_event
from gateway.system_log.catalog import EventType, Occasion
from gateway.system_log.certificate_events import certificate_released, certificate_revoked


@dataclass(frozen=True, slots=True)
class Revocation:
    """What this revoked, or put on hold, and how many of those meant were so before."""

    revoked: tuple[IssuedCertificate, ...]
    already: int = 0


def revoke(
    work: AuthorityWork,
    certificates: Iterable[IssuedCertificate],
    reason: RevocationReason,
    occasion: Occasion,
) -> Revocation:
    """Revoke these; with ``certificateHold`` until they are released. Raises ValueError for removeFromCRL,
    which is no reason to revoke anything."""
    if reason is RevocationReason.REMOVE_FROM_CRL:
        raise ValueError("removeFromCRL is no reason to revoke a certificate")
    meant = list(certificates)
    done = [
        row
        for each in meant
        if (row := work.certificates.revoke(each.issuer_hash, each.serial_number, occasion.at, reason))
    ]
    devices = work.devices.by_ids({row.device_id for row in done})
    users = work.users.by_ids({row.user_id for row in done if row.user_id is not None})
    for row in done:
        device = devices.get(row.device_id)
        user = None if row.user_id is None else users.get(row.user_id)
        work.record(
            revoked_change(
                row.certificate_id,
                reason,
                device=None if device is None else device.certificate_name,
                user=None if user is None else user.login_key,
            )
        )
        work.log_event(certificate_revoked(occasion, row, reason, device, user))
    return Revocation(tuple(done), len(meant) - len(done))


def revoke_of_device(
    work: AuthorityWork, device_id: str, reason: RevocationReason, occasion: Occasion
) -> Revocation:
    """All that are not expired, also what is being issued at this moment: whoever issues holds the lock."""
    work.devices.get(device_id, lock=True)
    return revoke(work, _not_expired(work.certificates.of_device(device_id), occasion), reason, occasion)


def revoke_of_user(
    work: AuthorityWork, user_id: str, reason: RevocationReason, occasion: Occasion
) -> Revocation:
    """The same, on all the user's devices."""
    work.users.get(user_id, lock=True)
    return revoke(work, _not_expired(work.certificates.of_user(user_id), occasion), reason, occasion)


def release(work: AuthorityWork, certificate: IssuedCertificate, occasion: Occasion) -> bool:
    """End a hold. False: it is not on hold. A revocation for any other reason is for good."""
    row = work.certificates.release(certificate.issuer_hash, certificate.serial_number)
    if row is None:
        return False
    work.record(released_change(row.certificate_id))
    device = work.devices.get(row.device_id)
    user = None if row.user_id is None else work.users.get(row.user_id)
    work.log_event(certificate_released(occasion, row, device, user))
    return True


def deactivate_user(work: AuthorityWork, user: User, occasion: Occasion) -> Revocation:
    """The user signs on from no device any more, and all their certificates are revoked for good."""
    if work.users.set_status(user.id, UserStatus.DEPROVISIONED, occasion.at):
        work.record(user_deactivated(user.login_key))
        work.log_event(user_event(occasion, EventType.USER_DEACTIVATED, user))
    return revoke_of_user(work, user.id, RevocationReason.AFFILIATION_CHANGED, occasion)


def activate_user(work: AuthorityWork, user: User, occasion: Occasion) -> bool:
    """From any other status. Their revoked certificates stay revoked: devices enroll again."""
    if not work.users.set_status(user.id, UserStatus.ACTIVE, occasion.at):
        return False
    work.record(user_activated(user.login_key))
    again = user.status is UserStatus.DEPROVISIONED
    work.log_event(
        user_event(occasion, EventType.USER_REACTIVATED if again else EventType.USER_ACTIVATED, user)
    )
    return True


def deactivate_device(work: AuthorityWork, device: Device, occasion: Occasion) -> Revocation:
    """Nobody signs on from the device any more, and all its certificates are revoked for good."""
    if work.devices.set_status(device.id, DeviceStatus.DEACTIVATED, occasion.at):
        work.record(device_deactivated(device.certificate_name))
        work.log_event(device_event(occasion, EventType.DEVICE_DEACTIVATED, device))
    return revoke_of_device(work, device.id, RevocationReason.CESSATION_OF_OPERATION, occasion)


def activate_device(work: AuthorityWork, device: Device, occasion: Occasion) -> bool:
    """From any other status. Its revoked certificates stay revoked: it enrolls again."""
    if not work.devices.set_status(device.id, DeviceStatus.ACTIVE, occasion.at):
        return False
    work.record(device_activated(device.certificate_name))
    work.log_event(device_event(occasion, EventType.DEVICE_ACTIVATED, device))
    return True


def _not_expired(
    certificates: Iterable[IssuedCertificate], occasion: Occasion
) -> Iterable[IssuedCertificate]:
    """Only what may still be used: of the rest, nobody asks any more."""
    return (
        each
        for each in certificates
        if each.not_after > occasion.at and each.status is not CertificateStatus.REVOKED
    )
