"""Making the authority's own CRLs: full ones, with a number, divided into shards (RFC 5280 §5).

A shard is a full CRL for the certificates that name its address as their distribution point. So a fleet of a
million certificates has lists of a size that a device or a proxy can fetch, and a revocation signs a small
part of them again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from gateway.model.issued import RevocationReason, RevokedEntry
from gateway.pki import der as asn1
from gateway.pki import der_writing as write
from gateway.pki.certificate import MAX_SERIAL_NUMBER_BYTES, Certificate
from gateway.pki.crl import Covers
from gateway.pki.signer import Signer, signed_document

MAX_SHARDS = 4_096

_CRL_NUMBER = "2.5.29.20"
_REASON_CODE = "2.5.29.21"
_ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_VERSION_2 = write.integer(1)

# RFC 5280 §5.3.1.
REASON_NUMBERS: Final = {
    RevocationReason.UNSPECIFIED: 0,
    RevocationReason.KEY_COMPROMISE: 1,
    RevocationReason.CA_COMPROMISE: 2,
    RevocationReason.AFFILIATION_CHANGED: 3,
    RevocationReason.SUPERSEDED: 4,
    RevocationReason.CESSATION_OF_OPERATION: 5,
    RevocationReason.CERTIFICATE_HOLD: 6,
    RevocationReason.REMOVE_FROM_CRL: 8,
    RevocationReason.PRIVILEGE_WITHDRAWN: 9,
    RevocationReason.AA_COMPROMISE: 10,
}
# Ready-made entry extensions. "unspecified" is left out (RFC 5280 §5.3.1); removeFromCRL is for delta CRLs.
_REASONS: Final[Mapping[RevocationReason, bytes]] = {
    reason: write.sequence(write.extension(_REASON_CODE, write.enumerated(number))) if number else b""
    for reason, number in REASON_NUMBERS.items()
    if reason is not RevocationReason.REMOVE_FROM_CRL
}


def shard_of(serial_number: int, shards: int) -> int:
    """Which of an authority's ``shards`` (at least one) has a certificate: always the same, while the number
    of shards is. Serial numbers are random, so that shards are of about one size."""
    return serial_number % shards


def build_crl(
    issuer: Certificate,
    signer: Signer,
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    entries: Iterable[RevokedEntry],
    distribution_points: Sequence[str] = (),
    covers: Covers = Covers.ALL,
) -> bytes:
    """The DER of a CRL. ``distribution_points`` are the addresses of the shard, which the certificates name
    too; with none, and ``covers`` everything, it is one list for all the issuer's certificates.

    The same arguments make the same list up to the signature: entries are in the order of their numbers.
    Raises `SigningFailed`, and ValueError for removeFromCRL or a serial number that no certificate has.
    """
    extensions = [
        write.extension(
            _AUTHORITY_KEY_IDENTIFIER,
            x509.AuthorityKeyIdentifier(issuer.extensions.subject_key_identifier, None, None).public_bytes(),
        ),
        write.extension(_CRL_NUMBER, write.integer(number)),
    ]
    if distribution_points or covers is not Covers.ALL:
        point = _issuing_distribution_point(distribution_points, covers)
        extensions.append(write.extension(_ISSUING_DISTRIBUTION_POINT, point, critical=True))
    written = _entries(entries)
    tbs_der = write.sequence(
        _VERSION_2,
        signer.algorithm_der,
        issuer.subject_der,
        write.time(this_update),
        write.time(next_update),
        written,
        write.explicit(0, write.sequence(*extensions)),
    )
    return signed_document(tbs_der, signer)


def lists_exactly(crl_der: bytes, entries: Iterable[RevokedEntry]) -> bool:
    """Whether a list that `build_crl` made has these entries and no others. No signature is checked."""
    tbs_start, tbs_end = asn1.content_of(crl_der, asn1.SEQUENCE)
    _, _, tbs_start, tbs_end = next(asn1.elements(crl_der, tbs_start, tbs_end, 3))
    fields = list(asn1.elements(crl_der, tbs_start, tbs_end, 7))
    held = b"".join(crl_der[offset:end] for tag, offset, _, end in fields[4:] if tag == asn1.SEQUENCE)
    return held == _entries(entries)


def _entries(entries: Iterable[RevokedEntry]) -> bytes:
    """revokedCertificates, which is left out when there are none (RFC 5280 §5.1.2.6). Written for speed: an
    entry takes a microsecond or two."""
    times: dict[datetime, bytes] = {}
    parts = []
    for entry in sorted(entries, key=lambda each: each.serial_number):
        serial_number = entry.serial_number
        width = serial_number.bit_length() // 8 + 1
        if serial_number <= 0 or width > MAX_SERIAL_NUMBER_BYTES:
            raise ValueError("a serial number in a CRL is positive and has at most 20 bytes")
        at = times.get(entry.revoked_at)
        if at is None:
            at = times[entry.revoked_at] = write.time(entry.revoked_at)
        reason = _REASONS.get(entry.reason)
        if reason is None:
            raise ValueError(f"{entry.reason} is no reason for a full CRL")
        # All of it is shorter than 128 bytes, so that each length is one.
        length = 2 + width + len(at) + len(reason)
        parts.append(bytes((0x30, length, 0x02, width)) + serial_number.to_bytes(width) + at + reason)
    return write.sequence_of(parts) if parts else b""


def _issuing_distribution_point(urls: Sequence[str], covers: Covers) -> bytes:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url) for url in urls] or None,
        relative_name=None,
        only_contains_user_certs=covers is Covers.END_ENTITIES,
        only_contains_ca_certs=covers is Covers.AUTHORITIES,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    ).public_bytes()
