"""Certificate revocation lists: parsed, verified, and kept as serial numbers only (RFC 5280 §5, §6.3)."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from gateway.pki import der as asn1
from gateway.pki.certificate import MAX_SERIAL_NUMBER_BYTES, PARSER_ERRORS, Certificate
from gateway.pki.names import read_name
from gateway.pki.serials import SerialSet
from gateway.pki.signature import is_signature_algorithm_allowed, verify_signature

# About 1,800,000 entries with a reason each. The largest public CRLs are a tenth of it.
MAX_CRL_BYTES = 100 * 1024 * 1024
# RFC 5280 §5.2.3.
MAX_CRL_NUMBER = 2 ** (8 * 20) - 1
# Entries share a few extension values (the reasons); those that do not are parsed one by one.
_REMEMBERED_ENTRY_EXTENSIONS = 256
# RFC 5280 §5.3 defines three.
_MAX_ENTRY_EXTENSIONS = 8
_TBS_FIELDS = 7
# With every length in one byte.
_SHORT_ENTRY_BYTES = 2 + 0x7F
_UTC_TIME_HEAD = bytes.fromhex("170d")
_UTC_TIME_BYTES = 2 + 13

_PEM_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM_END = b"-----END X509 CRL-----"
_VERSION_2 = bytes.fromhex("020101")
_REASON_CODE = bytes.fromhex("551d15")
_REMOVE_FROM_CRL = bytes.fromhex("0a0108")
_TRUE = bytes.fromhex("0101ff")
_PROCESSED = frozenset({ExtensionOID.DELTA_CRL_INDICATOR, ExtensionOID.ISSUING_DISTRIBUTION_POINT})


class CrlReason(StrEnum):
    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    ISSUER_UNKNOWN = "ISSUER_UNKNOWN"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    UNSUPPORTED = "UNSUPPORTED"
    OLDER_THAN_HELD = "OLDER_THAN_HELD"
    NUMBER_REUSED = "NUMBER_REUSED"
    BASE_MISSING = "BASE_MISSING"


class CrlRejected(Exception):
    """A CRL that must not be used. The one exception for CRLs; what was held before stays."""

    def __init__(self, reason: CrlReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Covers(StrEnum):
    """onlyContainsUserCerts, onlyContainsCACerts, or neither (RFC 5280 §5.2.5)."""

    ALL = "all"
    END_ENTITIES = "end_entities"
    AUTHORITIES = "authorities"


@dataclass(frozen=True, slots=True)
class CrlScope:
    """Which certificates of its issuer a CRL speaks about.

    Where ``distribution_points`` (URIs) are named, those only that name one of them as well.
    """

    covers: Covers = Covers.ALL
    distribution_points: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CrlSnapshot:
    """A verified CRL. ``issuer`` is as in `CertificateId`; a delta CRL has a ``base_number``. ``sha256`` is
    of its DER, so that two with the same one have the same entries."""

    issuer: bytes
    scope: CrlScope
    number: int
    base_number: int | None
    this_update: datetime
    next_update: datetime
    revoked: SerialSet = field(compare=False)
    removed: SerialSet = field(compare=False)  # removeFromCRL, in delta CRLs only
    sha256: bytes

    @property
    def is_delta(self) -> bool:
        return self.base_number is not None


def parse_crl(data: bytes, issuers: Sequence[Certificate]) -> CrlSnapshot:
    """Parse a CRL in PEM or DER and verify its signature with the key of one of ``issuers``.

    ``issuers`` are configured certificates: trusted, or checked wherever they are on a path. The one that
    signs must bear the CRL's issuer name and, if it has keyUsage, cRLSign (RFC 5280 §6.3.3 f).
    Raises `CrlRejected`, also for what RFC 5280 allows and we do not support: indirect CRLs, CRLs for some
    reasons only, for attribute certificates, or for a relative distribution point; unknown critical
    extensions; version 1; no CRL number; no nextUpdate.
    Not checked: whether it is fresh (that is a question at the time of use), and thisUpdate, because a CRL
    from the near future only means that our clock is behind.
    """
    if len(data) > MAX_CRL_BYTES:
        raise CrlRejected(CrlReason.TOO_LARGE, f"larger than {MAX_CRL_BYTES} bytes")
    der = _from_pem(data) if data.lstrip()[: len(_PEM_BEGIN)].startswith(b"-----") else data
    try:
        layout = _read_layout(der)
        parsed = x509.load_der_x509_crl(der)
        issuer = _verified_issuer(parsed, layout, issuers)
        scope, number, base_number = _read_extensions(parsed.extensions)
        next_update = parsed.next_update_utc
        if next_update is None or next_update < parsed.last_update_utc:
            raise _malformed("nextUpdate is missing or before thisUpdate")
        revoked, removed = _read_entries(der, *layout.entries, is_delta=base_number is not None)
        sha256 = hashlib.sha256(der).digest()
        return CrlSnapshot(
            issuer=issuer.issuer_hash,
            scope=scope,
            number=number,
            base_number=base_number,
            this_update=parsed.last_update_utc,
            next_update=next_update,
            revoked=SerialSet.of(revoked, sha256),
            removed=SerialSet.of(removed, sha256),
            sha256=sha256,
        )
    except asn1.DerError as problem:
        raise _malformed(str(problem)) from None
    except PARSER_ERRORS as problem:
        raise _malformed(type(problem).__name__) from None


@dataclass(frozen=True, slots=True)
class _Layout:
    tbs_der: bytes
    issuer_der: bytes
    signature_algorithm_der: bytes
    entries: tuple[int, int]  # offsets of the content of revokedCertificates; equal when there are none


def _from_pem(data: bytes) -> bytes:
    begin, end = data.find(_PEM_BEGIN), data.find(_PEM_END)
    if not 0 <= begin < end:
        raise _malformed("not a CRL in PEM")
    try:
        return base64.b64decode(b"".join(data[begin + len(_PEM_BEGIN) : end].split()), validate=True)
    except binascii.Error:
        raise _malformed("not base64") from None


def _read_layout(der: bytes) -> _Layout:
    start, end = asn1.content_of(der, asn1.SEQUENCE)
    outer = list(asn1.elements(der, start, end, 3))
    if len(outer) != 3 or outer[0][0] != asn1.SEQUENCE:
        raise asn1.DerError("not a CRL")
    (_, tbs_offset, tbs_start, tbs_end), (_, algorithm_offset, _, algorithm_end), _ = outer
    fields = list(asn1.elements(der, tbs_start, tbs_end, _TBS_FIELDS))
    if len(fields) < 5 or der[fields[0][1] : fields[0][3]] != _VERSION_2:
        raise asn1.DerError("not a version 2 CRL")
    algorithm_der = der[algorithm_offset:algorithm_end]
    if der[fields[1][1] : fields[1][3]] != algorithm_der:
        raise asn1.DerError("the two signature algorithms differ")
    if not is_signature_algorithm_allowed(algorithm_der):
        raise CrlRejected(CrlReason.UNSUPPORTED, "signature algorithm is not allowed")
    entries = next(((s, e) for tag, _, s, e in fields[4:] if tag == asn1.SEQUENCE), (tbs_end, tbs_end))
    return _Layout(der[tbs_offset:tbs_end], der[fields[2][1] : fields[2][3]], algorithm_der, entries)


def _verified_issuer(
    parsed: x509.CertificateRevocationList, layout: _Layout, issuers: Sequence[Certificate]
) -> Certificate:
    name, _ = read_name(layout.issuer_der)
    named = [issuer for issuer in issuers if issuer.subject == name]
    if not named:
        raise CrlRejected(CrlReason.ISSUER_UNKNOWN, "its issuer is not a configured authority")
    for issuer in named:
        if not issuer.extensions.is_ca:
            continue
        usage = issuer.extensions.key_usage
        if (usage is None or usage.crl_sign) and verify_signature(
            issuer.public_key, layout.signature_algorithm_der, layout.tbs_der, parsed.signature
        ):
            return issuer
    raise CrlRejected(
        CrlReason.SIGNATURE_INVALID, "not signed by a configured authority of that name that may sign CRLs"
    )


def _read_extensions(extensions: x509.Extensions) -> tuple[CrlScope, int, int | None]:
    scope = CrlScope()
    number: int | None = None
    base_number: int | None = None
    for extension in extensions:
        value = extension.value
        if extension.critical and extension.oid not in _PROCESSED:
            raise CrlRejected(CrlReason.UNSUPPORTED, f"critical extension {extension.oid.dotted_string}")
        if isinstance(value, x509.CRLNumber):
            number = value.crl_number
        elif isinstance(value, x509.DeltaCRLIndicator):
            base_number = value.crl_number
        elif isinstance(value, x509.IssuingDistributionPoint):
            scope = _scope(value)
    if number is None:
        raise _malformed("no CRL number")
    for each in (number, base_number or 0):
        if not 0 <= each <= MAX_CRL_NUMBER:
            raise _malformed("CRL number out of range")
    return scope, number, base_number


def _scope(point: x509.IssuingDistributionPoint) -> CrlScope:
    if point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs:
        raise CrlRejected(CrlReason.UNSUPPORTED, "indirect, for some reasons, or for attribute certificates")
    uris = frozenset(
        name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier)
    )
    if point.relative_name or (point.full_name and not uris):
        raise CrlRejected(CrlReason.UNSUPPORTED, "its distribution point is not named by a URI")
    if point.only_contains_user_certs:
        return CrlScope(Covers.END_ENTITIES, uris)
    if point.only_contains_ca_certs:
        return CrlScope(Covers.AUTHORITIES, uris)
    return CrlScope(Covers.ALL, uris)


def _read_entries(data: bytes, start: int, end: int, *, is_delta: bool) -> tuple[list[bytes], list[bytes]]:
    """The serial numbers of revoked and removed certificates. There may be millions, so that no more is made
    of an entry than its serial number, and what entries have in common is looked into once."""
    revoked: list[bytes] = []
    removed: list[bytes] = []
    kinds: dict[bytes, bool] = {b"": False}
    offset = start
    while offset < end:
        serial_start, serial_end, time_end, entry_end = _read_entry(data, offset, end)
        extensions = data[time_end:entry_end]
        removes = kinds.get(extensions)
        if removes is None:
            removes = _removes_from_crl(extensions)
            if len(kinds) < _REMEMBERED_ENTRY_EXTENSIONS:
                kinds[extensions] = removes
        if removes and not is_delta:
            raise _malformed("removeFromCRL outside of a delta CRL")
        # Negative and longer numbers are skipped: no certificate that bears one is ever accepted.
        if data[serial_start] < 0x80 and serial_end - serial_start <= MAX_SERIAL_NUMBER_BYTES:
            (removed if removes else revoked).append(data[serial_start:serial_end])
        offset = entry_end
    return revoked, removed


def _read_entry(data: bytes, offset: int, end: int) -> tuple[int, int, int, int]:
    """Where parts of one entry, SEQUENCE { INTEGER, Time, extensions? }, begin and end: begin and end of the
    number, end of the time, end of the entry."""
    if end - offset > _SHORT_ENTRY_BYTES:
        # As nearly all are: lengths of one byte, a UTCTime. Read in place, at a third of the time.
        entry_end = offset + 2 + data[offset + 1]
        serial_start = offset + 4
        serial_end = serial_start + data[offset + 3]
        time_end = serial_end + _UTC_TIME_BYTES
        if (
            data[offset] == asn1.SEQUENCE
            and data[offset + 2] == asn1.INTEGER
            and serial_start < serial_end
            and data[serial_end : serial_end + 2] == _UTC_TIME_HEAD
            and time_end <= entry_end <= offset + _SHORT_ENTRY_BYTES
        ):
            return serial_start, serial_end, time_end, entry_end
    tag, content, entry_end = asn1.read_element(data, offset, end)
    serial_tag, serial_start, serial_end = asn1.read_element(data, content, entry_end)
    time_tag, _, time_end = asn1.read_element(data, serial_end, entry_end)
    if (
        tag != asn1.SEQUENCE
        or serial_tag != asn1.INTEGER
        or serial_start == serial_end
        or time_tag not in {asn1.UTC_TIME, asn1.GENERALIZED_TIME}
    ):
        raise _malformed("an entry is not a revoked certificate")
    return serial_start, serial_end, time_end, entry_end


def _removes_from_crl(extensions: bytes) -> bool:
    """Whether the reason of an entry is removeFromCRL. Raises on critical extensions, among them
    certificateIssuer, which makes an entry speak about another issuer (RFC 5280 §5.3.3)."""
    removes = False
    seen: set[bytes] = set()
    start, end = asn1.content_of(extensions, asn1.SEQUENCE)
    for _, _, extension_start, extension_end in asn1.elements(extensions, start, end, _MAX_ENTRY_EXTENSIONS):
        parts = list(asn1.elements(extensions, extension_start, extension_end, 3))
        if len(parts) < 2 or parts[0][0] != asn1.OBJECT_IDENTIFIER or parts[-1][0] != asn1.OCTET_STRING:
            raise _malformed("an entry extension is malformed")
        identifier = extensions[parts[0][2] : parts[0][3]]
        if identifier in seen:
            raise _malformed("an entry extension stands twice")
        seen.add(identifier)
        if identifier == _REASON_CODE:
            removes = extensions[parts[-1][2] : parts[-1][3]] == _REMOVE_FROM_CRL
        elif len(parts) == 3 and extensions[parts[1][1] : parts[1][3]] == _TRUE:
            raise CrlRejected(CrlReason.UNSUPPORTED, "an entry has a critical extension")
    return removes


def _malformed(detail: str) -> CrlRejected:
    return CrlRejected(CrlReason.MALFORMED, f"not an acceptable CRL: {detail}")
