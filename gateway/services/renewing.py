"""Renewing a certificate, and what becomes of the old one.

Both are valid until a gateway has seen the new one in use: a device whose new certificate got lost on the way
still has the old one. Then the old one is revoked, or runs out, as it is configured.
"""

from datetime import timedelta
from typing import Final

from gateway.model.issued import CertificateStatus, IssuedCertificate, RevocationReason
from gateway.model.settings import CaSettings
from gateway.pki.certificate_profile import HARDWARE_DEVICE
from gateway.pki.certification_request import CertificationRequest
from gateway.services.authority_ports import AuthorityStore, AuthorityWork, SigningKeys
from gateway.services.issuing import (
    Issued,
    IssuingRefusal,
    IssuingRefused,
    Reservation,
    certificate_of,
    log_refusal,
    reserve,
    sign_and_complete,
)
from gateway.services.ports import Randomness
from gateway.services.revoking import Revocation, revoke
from gateway.system_log.catalog import Occasion

# Renewals of one device before they are due.
MAX_FORCED: Final = 6
FORCED_WITHIN: Final = timedelta(hours=1)


def renew(
    store: AuthorityStore,
    keys: SigningKeys,
    request: CertificationRequest,
    former: IssuedCertificate,
    rules: CaSettings,
    occasion: Occasion,
    randomness: Randomness,
    *,
    force: bool = False,
    hardware_key_needed: bool = False,
) -> Issued:
    """All steps, for callers that may block. Raises IssuingRefused, SigningFailed, StoreUnavailable."""
    try:
        with store.begin() as work:
            reservation = reserve_renewal(
                work,
                request,
                former,
                rules,
                occasion,
                randomness,
                force=force,
                hardware_key_needed=hardware_key_needed,
            )
        return sign_and_complete(store, keys, reservation, occasion)
    except IssuingRefused as refused:
        with store.begin() as work:
            log_refusal(work, refused, former.device_id, former.user_id, occasion)
        raise


def reserve_renewal(
    work: AuthorityWork,
    request: CertificationRequest,
    former: IssuedCertificate,
    rules: CaSettings,
    occasion: Occasion,
    randomness: Randomness,
    *,
    force: bool = False,
    hardware_key_needed: bool = False,
    attested: bool = False,
) -> Reservation:
    """The first step, for a certificate whose holder the caller has authenticated. Device and user stay what
    they are; the key may be another. A key that was in hardware when it was attested is there for good, so
    the same key stays known for it; of another one nothing is known unless the caller has verified it
    (``attested``). ``force``: although it is not due. ``hardware_key_needed``: no other key gets a
    certificate. Raises IssuingRefused."""
    now = work.certificates.get(former.issuer_hash, former.serial_number, lock=True)
    if now is None or now.status is not CertificateStatus.ISSUED or now.not_after <= occasion.at:
        raise IssuingRefused(
            IssuingRefusal.NOT_VALID,
            "the certificate is revoked, on hold or expired, and cannot be renewed; enroll the device again",
        )
    due = now.not_after - rules.renew_before
    if not force and occasion.at < due:
        raise IssuingRefused(
            IssuingRefusal.NOT_DUE, f"the certificate is to be renewed from {due:%Y-%m-%d %H:%M} UTC on"
        )
    hardware_key = attested or _is_hardware_key(request, now)
    if hardware_key_needed and not hardware_key:
        raise IssuingRefused(
            IssuingRefusal.HARDWARE_KEY_NEEDED, "the key is not known to be in a TPM; enroll the device again"
        )
    if force:
        _check_not_often(work, now, occasion)
    reservation = reserve(
        work,
        request,
        now.device_id,
        now.user_id,
        rules,
        occasion,
        randomness,
        former=now,
        enrolled=False,
        hardware_key=hardware_key,
    )
    if not force and reservation.row.not_after <= now.not_after:
        # It would be due again at once: each device would renew, and have one revoked, whenever it asks.
        raise IssuingRefused(
            IssuingRefusal.NOT_DUE,
            "a new certificate would end no later than this one, because the authority itself ends; an "
            "administrator has to make a new one: devicetrust ca rollover",
        )
    return reservation


def _is_hardware_key(request: CertificationRequest, former: IssuedCertificate) -> bool:
    if former.profile != HARDWARE_DEVICE.name or former.certificate_der is None:
        return False
    return certificate_of(former.certificate_der).spki_der == request.spki_der


def _check_not_often(work: AuthorityWork, former: IssuedCertificate, occasion: Occasion) -> None:
    """A device asks by itself, over the certificate that it has. Each renewal leaves a revoked one behind,
    in the lists and in the memory of every gateway."""
    lately = [
        each
        for each in work.certificates.of_device(former.device_id)
        if each.replaces is not None and each.created > occasion.at - FORCED_WITHIN
    ]
    if len(lately) >= MAX_FORCED:
        raise IssuingRefused(
            IssuingRefusal.NOT_DUE, f"the device has renewed {len(lately)} times within an hour; try later"
        )


def certificate_seen(
    work: AuthorityWork, thumbprint: str, rules: CaSettings, occasion: Occasion
) -> Revocation:
    """A gateway let a device in with this certificate. At the first time, the one that it replaces has done
    its duty. What was revoked."""
    row = work.certificates.mark_seen(thumbprint, occasion.at)
    if row is None or row.replaces is None or not rules.revoke_superseded:
        return Revocation(())
    former = work.certificates.by_thumbprint(row.replaces)
    if former is None or former.status is not CertificateStatus.ISSUED or former.not_after <= occasion.at:
        return Revocation(())
    return revoke(work, [former], RevocationReason.SUPERSEDED, occasion)
