"""Events of certificates and authorities: enrolled, issued, renewed, revoked, released."""

from gateway.model.issued import AuthorityRecord, IssuedCertificate, RevocationReason
from gateway.model.log_event import LogEvent, Outcome, Target
from gateway.model.org import Device, User
from gateway.system_log.catalog import EventType, Occasion, event
from gateway.system_log.targets import (
    authority_target,
    certificate_target,
    device_target,
    logged_device,
    user_target,
)


def certificate_enrolled(
    occasion: Occasion, certificate: IssuedCertificate, device: Device, user: User | None
) -> LogEvent:
    """A device was enrolled: by an administrator, an agent or EST. Goes with `certificate_issued`."""
    return _about(occasion, EventType.CERTIFICATE_ENROLLED, certificate, device, user)


def certificate_issued(
    occasion: Occasion, certificate: IssuedCertificate, device: Device, user: User | None
) -> LogEvent:
    return _about(occasion, EventType.CERTIFICATE_ISSUED, certificate, device, user)


def issuance_refused(
    occasion: Occasion, reason: str, device: Device | None, user: User | None, detail: str = ""
) -> LogEvent:
    """Somebody asked for a certificate and got none. ``reason``: a short name or sentence."""
    targets = _people(device, user)
    return event(
        occasion,
        EventType.CERTIFICATE_ISSUED,
        *targets,
        outcome=Outcome.FAILURE,
        reason=reason,
        device=None if device is None else logged_device(device),
        debug_data={"deviceId": None if device is None else device.id, "reason": reason, "detail": detail},
    )


def certificate_renewed(
    occasion: Occasion,
    certificate: IssuedCertificate,
    former: IssuedCertificate,
    device: Device,
    user: User | None,
) -> LogEvent:
    """``certificate`` takes the place of ``former``, which works until the new one was seen."""
    return _about(
        occasion,
        EventType.CERTIFICATE_RENEWED,
        certificate,
        device,
        user,
        formerSerialNumber=former.serial_hex,
        formerCertificateThumbprint=former.thumbprint,
    )


def certificate_revoked(
    occasion: Occasion,
    certificate: IssuedCertificate,
    reason: RevocationReason,
    device: Device | None,
    user: User | None,
) -> LogEvent:
    """Also for one that is put on hold: ``reason`` is certificateHold then."""
    return _about(occasion, EventType.CERTIFICATE_REVOKED, certificate, device, user, reason=reason.value)


def certificate_released(
    occasion: Occasion, certificate: IssuedCertificate, device: Device | None, user: User | None
) -> LogEvent:
    return _about(occasion, EventType.CERTIFICATE_RELEASED, certificate, device, user)


def authority_added(occasion: Occasion, authority: AuthorityRecord) -> LogEvent:
    return event(occasion, EventType.AUTHORITY_ADDED, authority_target(authority))


def authority_renewed(occasion: Occasion, authority: AuthorityRecord, former: AuthorityRecord) -> LogEvent:
    """A new generation takes over from the former one."""
    return event(occasion, EventType.AUTHORITY_RENEWED, authority_target(authority), authority_target(former))


def authority_deleted(occasion: Occasion, authority: AuthorityRecord) -> LogEvent:
    """An authority whose certificates are trusted no more."""
    return event(occasion, EventType.AUTHORITY_DELETED, authority_target(authority))


def crl_download_failed(occasion: Occasion, authority_name: str, location: str, detail: str) -> LogEvent:
    return event(
        occasion,
        EventType.CRL_DOWNLOAD_FAILED,
        Target(authority_name, "CertificateAuthority", authority_name, authority_name),
        outcome=Outcome.FAILURE,
        reason=detail,
        debug_data={"url": location},
    )


def _about(
    occasion: Occasion,
    event_type: EventType,
    certificate: IssuedCertificate,
    device: Device | None,
    user: User | None,
    **more: object,
) -> LogEvent:
    return event(
        occasion,
        event_type,
        certificate_target(certificate),
        *_people(device, user),
        reason=None if more.get("reason") is None else str(more["reason"]),
        device=None if device is None else logged_device(device),
        debug_data={
            "deviceId": certificate.device_id,
            "certificateThumbprint": certificate.thumbprint,
            "serialNumber": certificate.serial_hex,
            "notAfter": certificate.not_after,
            **more,
        },
    )


def _people(device: Device | None, user: User | None) -> list[Target]:
    targets = [] if device is None else [device_target(device)]
    return targets if user is None else [*targets, user_target(user)]
