"""Issuing a device's certificate, in three steps that a crash may come between:

    reserve (commit: this serial number is about to be signed) → sign → complete (commit, with the log)

A certificate is given out after `complete` only. What was reserved and never completed is withdrawn later
(`abandon_reservations`), and was never served to anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateStatus,
    IssuedCertificate,
    RevocationReason,
)
from gateway.model.org import Device, SettingName, User
from gateway.model.settings import CaSettings
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.certificate_profile import DEVICE, HARDWARE_DEVICE
from gateway.pki.certification_request import CertificationRequest
from gateway.pki.crl_building import shard_of
from gateway.pki.issuance import (
    DeviceIdentity,
    IssuanceRefused,
    PreparedCertificate,
    prepare_device,
    sign,
)
from gateway.pki.publication import device_publication
from gateway.services.authority_ports import AuthorityStore, AuthorityView, AuthorityWork, SigningKeys
from gateway.services.ports import Randomness
from gateway.services.revoking import revoke
from gateway.system_log.catalog import Occasion
from gateway.system_log.certificate_events import (
    certificate_enrolled,
    certificate_issued,
    certificate_renewed,
    issuance_refused,
)

# Signing takes milliseconds, an HSM's at most seconds. Later, whoever reserved has crashed.
RESERVATION_LIFETIME: Final = timedelta(minutes=10)
_SERIAL_NUMBER_BYTES: Final = 20


class IssuingRefusal(StrEnum):
    READ_ONLY = "READ_ONLY"
    NO_AUTHORITY = "NO_AUTHORITY"
    USER_INACTIVE = "USER_INACTIVE"
    DEVICE_INACTIVE = "DEVICE_INACTIVE"
    TOO_MANY_CERTIFICATES = "TOO_MANY_CERTIFICATES"
    NAME_REFUSED = "NAME_REFUSED"
    NOT_VALID = "NOT_VALID"  # of a certificate to renew
    NOT_DUE = "NOT_DUE"
    REVOKED_MEANWHILE = "REVOKED_MEANWHILE"
    HARDWARE_KEY_NEEDED = "HARDWARE_KEY_NEEDED"


class IssuingRefused(Exception):
    """No certificate is issued. The detail is a sentence for whoever asked."""

    def __init__(self, reason: IssuingRefusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reservation:
    """A serial number that is taken, and the certificate that is to be signed under it."""

    prepared: PreparedCertificate
    row: IssuedCertificate
    authority: AuthorityRecord
    device: Device
    user: User | None
    former: IssuedCertificate | None
    enrolled: bool
    superseded: tuple[IssuedCertificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Issued:
    """``chain`` is the certificate and its issuer: what a client has to present."""

    row: IssuedCertificate
    certificate: Certificate
    issuer: Certificate
    device: Device
    user: User | None

    @property
    def chain(self) -> tuple[Certificate, Certificate]:
        return self.certificate, self.issuer


@lru_cache(maxsize=64)
def certificate_of(der: bytes) -> Certificate:
    """An authority's certificate, parsed once."""
    return parse_certificate(der)


def issue(
    store: AuthorityStore,
    keys: SigningKeys,
    request: CertificationRequest,
    device_id: str,
    user_id: str | None,
    rules: CaSettings,
    occasion: Occasion,
    randomness: Randomness,
) -> Issued:
    """All three steps, for callers that may block. Raises IssuingRefused, which is then in the log as well,
    SigningFailed, StoreUnavailable."""
    try:
        with store.begin() as work:
            reservation = reserve(work, request, device_id, user_id, rules, occasion, randomness)
        return sign_and_complete(store, keys, reservation, occasion)
    except IssuingRefused as refused:
        with store.begin() as work:
            log_refusal(work, refused, device_id, user_id, occasion)
        raise


def sign_and_complete(
    store: AuthorityStore, keys: SigningKeys, reservation: Reservation, occasion: Occasion
) -> Issued:
    """The second and the third step. Raises as `issue` does."""
    certificate = sign_reserved(reservation, keys)
    with store.begin() as work:
        row = complete(work, reservation, certificate, occasion)
    issuer = certificate_of(reservation.authority.certificate_der)
    return Issued(row, certificate, issuer, reservation.device, reservation.user)


def reserve(
    work: AuthorityWork,
    request: CertificationRequest,
    device_id: str,
    user_id: str | None,
    rules: CaSettings,
    occasion: Occasion,
    randomness: Randomness,
    *,
    former: IssuedCertificate | None = None,
    enrolled: bool = True,
    hardware_key: bool = False,
    superseded: Sequence[IssuedCertificate] = (),
) -> Reservation:
    """Check everything that can be, and take a serial number. Device and user are those whom the caller has
    authenticated; that the user uses the device is written down. ``former``: the one that is renewed.
    ``hardware_key``: the caller has verified that the request's key cannot leave its TPM, and the certificate
    says so. ``superseded`` are revoked when the new one is made, and do not count until then. Raises
    IssuingRefused."""
    _check_writable(work)
    device = work.devices.get(device_id, lock=True)
    if device is None or not device.active:
        raise IssuingRefused(IssuingRefusal.DEVICE_INACTIVE, "the device is not registered, or not active")
    user = None if user_id is None else work.users.get(user_id, lock=True)
    if user_id is not None and (user is None or not user.active):
        raise IssuingRefused(IssuingRefusal.USER_INACTIVE, "the user is not known, or not active")
    authority = active_authority(work)
    replaced = (*superseded,) if former is None else (former, *superseded)
    _check_number(work, device, user_id, rules, occasion, replaced)
    issuer = certificate_of(authority.certificate_der)
    serial_number = new_serial_number(randomness)
    shard = shard_of(serial_number, authority.crl_shards)
    profile = replace(HARDWARE_DEVICE if hardware_key else DEVICE, lifetime=rules.certificate_lifetime)
    try:
        prepared = prepare_device(
            request,
            DeviceIdentity(device.certificate_name, None if user is None else user.login, device.name),
            issuer,
            serial_number=serial_number,
            now=occasion.at,
            publication=device_publication(issuer, authority.generation, shard),
            profile=profile,
        )
    except IssuanceRefused as refused:
        raise IssuingRefused(IssuingRefusal.NAME_REFUSED, str(refused)) from None
    row = IssuedCertificate(
        issuer_hash=authority.issuer_hash,
        serial_number=serial_number,
        authority_id=authority.id,
        device_id=device.id,
        user_id=user_id,
        profile=profile.name,
        status=CertificateStatus.RESERVED,
        not_before=prepared.not_before,
        not_after=prepared.not_after,
        created=occasion.at,
        crl_shard=shard,
        replaces=None if former is None else former.thumbprint,
    )
    work.certificates.reserve(row)
    if user_id is not None:
        work.devices.link(device.id, user_id, occasion.at)
    return Reservation(prepared, row, authority, device, user, former, enrolled, tuple(superseded))


def sign_reserved(reservation: Reservation, keys: SigningKeys) -> Certificate:
    """Sign. Raises SigningFailed. The certificate must not be given out before `complete`."""
    return sign(reservation.prepared, keys.signer(reservation.authority))


def complete(
    work: AuthorityWork, reservation: Reservation, certificate: Certificate, occasion: Occasion
) -> IssuedCertificate:
    """Write down what was signed. Raises IssuingRefused where its device or user was deactivated meanwhile,
    or the reservation given up."""
    row = reservation.row
    if reservation.superseded:  # whoever revokes others of the device, or of the user, is done, or waits
        work.devices.get(row.device_id, lock=True)
        if row.user_id is not None:
            work.users.get(row.user_id, lock=True)
    if not work.certificates.complete(
        row.issuer_hash,
        row.serial_number,
        certificate_der=certificate.der,
        thumbprint=certificate.thumbprint,
    ):
        raise IssuingRefused(
            IssuingRefusal.REVOKED_MEANWHILE, "the certificate was revoked while it was made; ask again"
        )
    done = work.certificates.get(row.issuer_hash, row.serial_number)
    assert done is not None
    device, user = reservation.device, reservation.user
    if reservation.former is not None:
        work.log_event(certificate_renewed(occasion, done, reservation.former, device, user))
    else:
        work.log_event(certificate_issued(occasion, done, device, user))
        if reservation.enrolled:
            work.log_event(certificate_enrolled(occasion, done, device, user))
    if reservation.superseded:
        revoke(work, reservation.superseded, RevocationReason.SUPERSEDED, occasion)
    return done


def log_refusal(
    work: AuthorityWork,
    refused: IssuingRefused,
    device_id: str | None,
    user_id: str | None,
    occasion: Occasion,
) -> None:
    """In a transaction of its own: the one in which it was refused has left nothing."""
    device = None if device_id is None else work.devices.get(device_id)
    user = None if user_id is None else work.users.get(user_id)
    work.log_event(issuance_refused(occasion, refused.reason.value, device, user, refused.detail))


def abandon_reservations(work: AuthorityWork, occasion: Occasion) -> Sequence[IssuedCertificate]:
    """Withdraw what was reserved and never completed: nobody got it, and if it was signed, nobody shall use
    it. What was withdrawn."""
    left = work.certificates.reserved_before(occasion.at - RESERVATION_LIFETIME)
    return revoke(work, left, RevocationReason.CESSATION_OF_OPERATION, occasion).revoked


def active_authority(view: AuthorityView) -> AuthorityRecord:
    """The one that issues now. Raises IssuingRefused."""
    issuing = [
        each for each in view.authorities.all(AuthorityKind.ISSUING) if each.status is AuthorityStatus.ACTIVE
    ]
    if not issuing:
        raise IssuingRefused(
            IssuingRefusal.NO_AUTHORITY, "there is no certification authority yet; run: devicetrust ca init"
        )
    return issuing[-1]


def new_serial_number(randomness: Randomness) -> int:
    """159 bits of which 158 are random: positive, and always 20 bytes long."""
    return int.from_bytes(randomness.bytes(_SERIAL_NUMBER_BYTES)) >> 2 | 1 << 158


def _check_writable(work: AuthorityWork) -> None:
    if work.settings.get(SettingName.READ_ONLY) is True:
        raise IssuingRefused(
            IssuingRefusal.READ_ONLY,
            "the organization is read-only: no certificates are issued now. Sign-ons and revocation go on",
        )


def _check_number(
    work: AuthorityWork,
    device: Device,
    user_id: str | None,
    rules: CaSettings,
    occasion: Occasion,
    replaced: Sequence[IssuedCertificate],
) -> None:
    """Revoked and expired ones do not count, so that enrolling again needs no cleaning up."""
    valid = [
        each
        for each in work.certificates.usable_of_device(device.id, occasion.at)
        if each.user_id == user_id and _may_be_used(each, occasion)
    ]
    gone = {each.certificate_id for each in replaced}
    others = [each for each in valid if each.certificate_id not in gone]
    if len(others) >= rules.max_certificates:
        raise IssuingRefused(
            IssuingRefusal.TOO_MANY_CERTIFICATES,
            f"the device has {len(others)} valid certificates for this user already; revoke one first, or "
            "raise device_trust.ca.max_certificates",
        )


def _may_be_used(certificate: IssuedCertificate, occasion: Occasion) -> bool:
    match certificate.status:
        case CertificateStatus.ISSUED | CertificateStatus.HELD:
            return True
        case CertificateStatus.RESERVED:
            return certificate.created > occasion.at - RESERVATION_LIFETIME
        case CertificateStatus.REVOKED:
            return False
