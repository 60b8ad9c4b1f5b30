"""The trust evaluation: is this a device that an authority vouches for, now?

The checks run in one order, and the first that fails is the reason:

    enabled → presented → path to an authority → dates → usage → revocation → freshness → device

The user is a question of its own (`bind_user`), asked when the assertion is at hand: whether the one who
signs on is active, and whose certificate it is.
"""

import base64
import hashlib
from dataclasses import replace
from datetime import datetime

from gateway.model.device import CertificateId, NotTrusted, PeerCertificate, TrustVerdict, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.pki.authority import Authority, TrustSnapshot
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.certificate_profile import VERIFIED_TPM_FIXED
from gateway.pki.identity import device_of, user_of
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.path import CertificationPath, SearchBudget, build_path
from gateway.pki.path_cache import CheckedPath, PathCache
from gateway.pki.revocation import RevocationStatus

# A client sends its issuer and perhaps two more. Each certificate here costs 50 to 100 µs to parse.
MAX_PRESENTED_CERTIFICATES = 10

_REVOKED_STATUS = {
    RevocationStatus.REVOKED: (TrustReason.REVOKED, "is revoked"),
    RevocationStatus.UNKNOWN: (TrustReason.REVOCATION_UNKNOWN, "is covered by no CRL"),
    RevocationStatus.STALE: (TrustReason.REVOCATION_UNKNOWN, "is covered by a stale CRL only"),
}

_NOTHING_IS_KNOWN = NotTrusted(
    TrustReason.REVOCATION_UNKNOWN, "what the org says of devices and users is not loaded yet"
)
_DEVICE_IS_INACTIVE = NotTrusted(TrustReason.DEVICE_DEACTIVATED, "the device is deactivated")


def verify_device(
    peer: PeerCertificate | None, trust: TrustSnapshot, now: datetime, cache: PathCache
) -> TrustVerdict:
    """Judge what a client presented in a handshake that proved possession of the key.

    ``peer`` is None when it presented nothing; ``now`` is aware. Authorities are tried in their order and
    the first with a valid path decides, also when that path turns out to be revoked. Never raises for
    what a peer sent. Only this function and `recheck` make a `VerifiedDevice`.
    """
    if not trust.enabled:
        return NotTrusted(TrustReason.DEVICE_TRUST_DISABLED)
    if peer is None:
        return NotTrusted(TrustReason.NO_CERTIFICATE)
    if trust.own is None:
        return _NOTHING_IS_KNOWN
    sha256 = hashlib.sha256(peer.end_entity_der).digest()
    checked = cache.get(sha256, trust, now)
    if checked is None:
        found = _check_path(peer, trust, now, cache)
        if isinstance(found, NotTrusted):
            thumbprint = base64.urlsafe_b64encode(sha256).rstrip(b"=").decode("ascii")
            return replace(found, certificate_thumbprint=thumbprint)
        checked, path = found
        cache.put(sha256, trust, checked, path)
    revoked = _check_revocation(
        checked.certificate_ids, checked.distribution_points, checked.authority, trust, now
    )
    if revoked is None:
        device = checked.verdict.device
        if device is None or not trust.own.is_inactive_device(device):
            return checked.verdict
        revoked = _DEVICE_IS_INACTIVE
    return replace(
        revoked, device=checked.verdict.device, certificate_thumbprint=checked.verdict.certificate_thumbprint
    )


def recheck(device: VerifiedDevice, trust: TrustSnapshot, now: datetime) -> TrustVerdict:
    """Judge a device again that was verified earlier, from its sealed values alone, without certificates.

    For tickets and sessions, at every use: device trust still on, its authority and trust anchor still
    configured, dates, revocation and freshness of every certificate on its path, the device still active. The
    result carries the
    authority's present ``user_binding_required``. Not noticed: a change of *where* the authority's
    settings take device and user from, and the removal of a configured intermediate.
    """
    if not trust.enabled:
        return _not_trusted(device, TrustReason.DEVICE_TRUST_DISABLED, "")
    if trust.own is None:
        return _not_trusted(device, _NOTHING_IS_KNOWN.reason, _NOTHING_IS_KNOWN.detail)
    authority = trust.authority(device.authority)
    path = device.certification_path
    if authority is None or not path or all(a.issuer_hash != path[-1].issuer for a in authority.anchors):
        return _not_trusted(device, TrustReason.UNKNOWN_ISSUER, "its authority is not configured any more")
    if now.replace(microsecond=0) > device.not_after:
        return _not_trusted(device, TrustReason.EXPIRED, "a certificate on its path has expired")
    revoked = _check_revocation(path, None, authority, trust, now)
    if revoked is not None:
        return _not_trusted(device, revoked.reason, revoked.detail)
    if trust.own.is_inactive_device(device.device):
        return _not_trusted(device, _DEVICE_IS_INACTIVE.reason, _DEVICE_IS_INACTIVE.detail)
    required = authority.settings.user_binding_required
    # An authority that took the name of the built-in one has verified no key.
    hardware_key = device.hardware_key and authority.settings.builtin
    if device.user_binding_required == required and device.hardware_key == hardware_key:
        return device
    return replace(device, user_binding_required=required, hardware_key=hardware_key)


def bind_user(verdict: TrustVerdict, user: str, own: OwnRevocations | None) -> TrustVerdict:
    """Check that the assertion's user is active by what the org says, and that the certificate's user is the
    same: equal after case folding, nothing else.

    Where the authority requires the binding, the certificate has to name a user; otherwise one that names
    none fits anybody, and one that names another still does not fit.
    """
    if isinstance(verdict, NotTrusted):
        return verdict
    if own is None:
        return _not_trusted(verdict, _NOTHING_IS_KNOWN.reason, _NOTHING_IS_KNOWN.detail)
    if own.is_inactive_user(user):
        return _not_trusted(verdict, TrustReason.USER_DEACTIVATED, "the user is deactivated")
    if verdict.user is None:
        if not verdict.user_binding_required:
            return verdict
        return _not_trusted(verdict, TrustReason.USER_MISMATCH, "the certificate names no user")
    if verdict.user.casefold() != user.casefold():
        return _not_trusted(verdict, TrustReason.USER_MISMATCH, "the certificate is another user's")
    return verdict


def _check_path(
    peer: PeerCertificate, trust: TrustSnapshot, now: datetime, cache: PathCache
) -> tuple[CheckedPath, CertificationPath] | NotTrusted:
    if len(peer.presented_chain_der) > MAX_PRESENTED_CERTIFICATES:
        return NotTrusted(
            TrustReason.INVALID_CHAIN, f"more than {MAX_PRESENTED_CERTIFICATES} certificates presented"
        )
    try:
        end_entity = parse_certificate(peer.end_entity_der)
    except CertificateRejected as rejected:
        return NotTrusted(rejected.reason, rejected.detail)
    presented, refused = _presented(peer, trust, cache)
    budget = SearchBudget(verified=cache.signatures(trust))
    failure: NotTrusted | None = None
    for authority in trust.authorities:
        try:
            path = build_path(
                end_entity, authority.anchors, authority.intermediates, presented, now, budget=budget
            )
        except CertificateRejected as rejected:
            if failure is None or _rank(rejected.reason) > _rank(failure.reason):
                device = _device_for_log(end_entity, authority) if rejected.chained else None
                failure = NotTrusted(rejected.reason, rejected.detail, device)
        else:
            return _checked(path, authority), path
    if failure is None:
        return NotTrusted(TrustReason.UNKNOWN_ISSUER, "no authority is configured")
    if failure.reason is TrustReason.UNKNOWN_ISSUER and refused:
        return replace(failure, detail=f"{failure.detail}; a presented certificate was left out: {refused}")
    return failure


def _presented(
    peer: PeerCertificate, trust: TrustSnapshot, cache: PathCache
) -> tuple[list[Certificate], str]:
    """The usable presented certificates, and why one was left out. A bad one is no more than absent."""
    usable: list[Certificate] = []
    refused = ""
    for certificate_der in dict.fromkeys(peer.presented_chain_der):
        try:
            usable.append(cache.issuer(certificate_der, trust) or parse_certificate(certificate_der))
        except CertificateRejected as rejected:
            refused = rejected.detail
    return usable, refused


def _checked(path: CertificationPath, authority: Authority) -> CheckedPath:
    end_entity = path.certificates[0]
    verdict: TrustVerdict
    try:
        verdict = VerifiedDevice(
            authority=authority.name,
            device=device_of(end_entity, authority.settings.device_from),
            user=user_of(end_entity, authority.settings.user_from),
            user_binding_required=authority.settings.user_binding_required,
            certificate_thumbprint=end_entity.thumbprint,
            certification_path=path.certificate_ids,
            not_after=path.not_after,
            hardware_key=authority.settings.builtin and _says_hardware_key(end_entity),
        )
    except CertificateRejected as rejected:
        device = _device_for_log(end_entity, authority)
        verdict = NotTrusted(rejected.reason, rejected.detail, device, end_entity.thumbprint)
    return CheckedPath(
        authority=authority,
        certificate_ids=path.certificate_ids,
        distribution_points=tuple(c.extensions.crl_distribution_points for c in path.certificates[:-1]),
        not_before=path.not_before,
        not_after=path.not_after,
        verdict=verdict,
    )


def _says_hardware_key(end_entity: Certificate) -> bool:
    """Whether its issuer has verified that the key is in a TPM. Only of our own authority is it known what it
    verifies before it says so."""
    return VERIFIED_TPM_FIXED in (end_entity.extensions.policy.policies or ())


def _device_for_log(end_entity: Certificate, authority: Authority) -> str | None:
    try:
        return device_of(end_entity, authority.settings.device_from)
    except CertificateRejected:
        return None


def _check_revocation(
    path: tuple[CertificateId, ...],
    distribution_points: tuple[frozenset[str], ...] | None,
    authority: Authority,
    trust: TrustSnapshot,
    now: datetime,
) -> NotTrusted | None:
    """Every certificate but the anchor. Any revoked one comes before any of unknown status."""
    failure: NotTrusted | None = None
    own = trust.own
    for position, certificate in enumerate(path):
        if own is not None and own.is_revoked(certificate):
            return NotTrusted(TrustReason.REVOKED, f"{_place(position)} is revoked")
        status = trust.revocation.status(
            certificate,
            now,
            is_end_entity=position == 0,
            stale_allowed_for=authority.settings.stale_crl_allowed_for,
            distribution_points=distribution_points[position] if distribution_points is not None else None,
        )
        if status is RevocationStatus.GOOD:
            continue
        # Another authority's CRL may speak about this issuer too, and a revocation always counts.
        if status is not RevocationStatus.REVOKED and not authority.has_crls:
            continue
        reason, what = _REVOKED_STATUS[status]
        place = _place(position)
        if status is RevocationStatus.REVOKED:
            return NotTrusted(reason, f"{place} {what}")
        failure = failure or NotTrusted(reason, f"{place} {what}")
    return failure


def _place(position: int) -> str:
    return "the end entity certificate" if position == 0 else f"intermediate certificate {position}"


def _rank(reason: TrustReason) -> int:
    return list(TrustReason).index(reason)


def _not_trusted(device: VerifiedDevice, reason: TrustReason, detail: str) -> NotTrusted:
    return NotTrusted(reason, detail, device.device, device.certificate_thumbprint)
