"""The certificate of a TPM's endorsement key (TCG EK Credential Profile), up to the authority of its vendor.

It is an encryption key's, and its subject is usually empty: the TPM is named by a critical subjectAltName
with a directoryName of vendor, model and version, of which nothing is read. Not looked at: whether it is
revoked. Vendors publish lists for authorities whose keys got lost, seldom for single TPMs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tpm_structures import TpmPublicKey
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.path import ANY_EXTENDED_KEY_USAGE, build_path

# tcg-kp-EKCertificate (EK Credential Profile §3.2.16).
EK_CERTIFICATE: Final = "2.23.133.8.1"
# Vendors have one or two between root and TPM.
MAX_PRESENTED: Final = 6


@dataclass(frozen=True, slots=True)
class VendorAuthorities:
    """The TPM vendors that are believed; every certificate is trusted by itself, root or not."""

    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class EndorsementKey:
    """An endorsement key that a vendor has vouched for. Only `verify_endorsement` makes one. ``fingerprint``
    is the hex SHA-256 of its subject public key: it stays when the certificate is issued anew."""

    public_key: TpmPublicKey
    fingerprint: str


def verify_endorsement(
    certificate_der: bytes, chain_der: Sequence[bytes], vendors: VendorAuthorities, now: datetime
) -> EndorsementKey:
    """``chain_der`` are intermediates that the device knows; they are candidates, and need not be good.

    Raises EnrollmentRefused: ATTESTATION_INVALID for what is no EK certificate, ATTESTATION_UNTRUSTED for one
    of a vendor that is not configured, or that is not valid.
    """
    if len(chain_der) > MAX_PRESENTED:
        raise _refused(EnrollmentRefusal.ATTESTATION_INVALID, f"more than {MAX_PRESENTED} issuers sent along")
    try:
        certificate = parse_certificate(certificate_der)
    except CertificateRejected as rejected:
        raise _refused(
            EnrollmentRefusal.ATTESTATION_INVALID,
            f"the certificate of the endorsement key: {rejected.detail}",
        ) from None
    usages = certificate.extensions.extended_key_usage or frozenset()
    if EK_CERTIFICATE not in usages or ANY_EXTENDED_KEY_USAGE in usages:
        # A vendor's authority may certify other keys as well, some of them outside of TPMs.
        raise _refused(EnrollmentRefusal.ATTESTATION_INVALID, "not the certificate of an endorsement key")
    try:
        build_path(
            certificate,
            vendors.certificates,
            (),
            [found for each in chain_der if (found := _candidate(each)) is not None],
            now,
            required_usage=EK_CERTIFICATE,
            signs=False,
        )
    except CertificateRejected as rejected:
        raise _refused(
            EnrollmentRefusal.ATTESTATION_UNTRUSTED,
            f"the certificate of the endorsement key: {rejected.detail}",
        ) from None
    key = certificate.public_key
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise _refused(EnrollmentRefusal.ATTESTATION_INVALID, "an endorsement key is RSA or ECC")
    return EndorsementKey(key, hashlib.sha256(certificate.spki_der).hexdigest())


def _candidate(certificate_der: bytes) -> Certificate | None:
    try:
        return parse_certificate(certificate_der)
    except CertificateRejected:
        return None


def _refused(reason: EnrollmentRefusal, detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(reason, detail)
