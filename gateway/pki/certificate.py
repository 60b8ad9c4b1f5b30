"""One X.509 certificate, parsed once into a frozen value (RFC 5280 §4.1)."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.model.device import CertificateId
from gateway.model.reasons import TrustReason
from gateway.pki import der as asn1
from gateway.pki.extensions import Extensions, read_extensions
from gateway.pki.names import Attributes, NameKey, read_name
from gateway.pki.signature import (
    KeyRefused,
    PublicKey,
    is_signature_algorithm_allowed,
    load_public_key,
    verify_signature,
)

# Client certificates are 1 to 4 KiB, with ML-DSA keys and signatures about 9 KiB. What is larger is
# refused before a byte of it is read: a peer may send certificates for the price of a handshake.
MAX_CERTIFICATE_BYTES = 16_384
# Certificates of public CAs carry about 10 extensions.
MAX_EXTENSIONS = 32
# Names, policies, usages, constraint subtrees, each per extension. Every name is compared with every
# constraint above it, so their number counts squared.
MAX_EXTENSION_ELEMENTS = 256
# RFC 5280 §4.1.2.2: at most 20 octets. The revocation index stores them at that width.
MAX_SERIAL_NUMBER_BYTES = 20
# What the library raises for a certificate or a CRL that it does not read, at once or at an attribute.
PARSER_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UserWarning,  # the library's own, where a process runs with warnings as errors
)

_VERSION_3 = bytes.fromhex("a003020102")
_VERSION_TAG = 0xA0
_EXTENSIONS_TAG = 0xA3
_TBS_FIELDS = 10
_STANDARD_EXTENSIONS = (bytes.fromhex("551d"), bytes.fromhex("2b060105050701"))  # id-ce, id-pe


class CertificateRejected(Exception):
    """A certificate or its path does not count. The one exception of path validation.

    ``chained`` is True when signatures led to a trust anchor all the same, so that the certificate's
    names are known to be its issuer's words and may go to a log.
    """

    def __init__(self, reason: TrustReason, detail: str, *, chained: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.chained = chained


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate whose structure, key and algorithms are acceptable. Nothing about it is verified.

    The ``_der`` fields are the bytes as sent, not encoded again. Equal means the same bytes.
    """

    der: bytes
    sha256: bytes = field(compare=False, repr=False)
    tbs_der: bytes = field(compare=False, repr=False)
    issuer_der: bytes = field(compare=False, repr=False)
    subject_der: bytes = field(compare=False, repr=False)
    spki_der: bytes = field(compare=False, repr=False)
    signature_algorithm_der: bytes = field(compare=False, repr=False)
    signature: bytes = field(compare=False, repr=False)
    serial_number: int = field(compare=False)
    not_before: datetime = field(compare=False)
    not_after: datetime = field(compare=False)
    issuer: NameKey = field(compare=False)
    subject: NameKey = field(compare=False)
    subject_attributes: Attributes = field(compare=False, repr=False)
    public_key: PublicKey = field(compare=False, repr=False)
    extensions: Extensions = field(compare=False, repr=False)
    issuer_hash: bytes = field(compare=False, repr=False)  # of this certificate *as* an issuer

    @property
    def thumbprint(self) -> str:
        """``x5t#S256``: base64url of the SHA-256, without padding (RFC 8705 §3.1)."""
        return base64.urlsafe_b64encode(self.sha256).rstrip(b"=").decode("ascii")

    @property
    def is_self_issued(self) -> bool:
        return self.subject == self.issuer

    def certificate_id(self, issuer: "Certificate") -> CertificateId:
        """This certificate's name in revocation. ``issuer`` is the one above it on a checked path."""
        return CertificateId(issuer.issuer_hash, self.serial_number)

    def is_signed_by(self, issuer: "Certificate") -> bool:
        """Whether the issuer's key made the signature. Names are not compared."""
        return verify_signature(issuer.public_key, self.signature_algorithm_der, self.tbs_der, self.signature)


def parse_certificate(der: bytes) -> Certificate:
    """Parse a DER certificate within the limits of this module.

    Raises `CertificateRejected` with ``INVALID_CHAIN`` for what is not a version 3 certificate with an
    allowed key and signature algorithm. Checks no signature, no date and no purpose; an unknown critical
    extension is only noted, as it must not disturb where the certificate is not on the path.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise _malformed(f"larger than {MAX_CERTIFICATE_BYTES} bytes")
    try:
        layout = _read_layout(der)
        public_key = load_public_key(layout.spki_der, layout.key_algorithm_der)
        parsed = x509.load_der_x509_certificate(der)
        issuer, _ = read_name(layout.issuer_der)
        subject, subject_attributes = read_name(layout.subject_der)
        return Certificate(
            der=der,
            sha256=hashlib.sha256(der).digest(),
            tbs_der=layout.tbs_der,
            issuer_der=layout.issuer_der,
            subject_der=layout.subject_der,
            spki_der=layout.spki_der,
            signature_algorithm_der=layout.signature_algorithm_der,
            signature=parsed.signature,
            serial_number=layout.serial_number,
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            issuer=issuer,
            subject=subject,
            subject_attributes=subject_attributes,
            public_key=public_key,
            extensions=read_extensions(parsed.extensions),
            issuer_hash=hashlib.sha256(layout.subject_der + layout.spki_der).digest(),
        )
    except (KeyRefused, asn1.DerError) as problem:
        raise _malformed(str(problem)) from None
    except PARSER_ERRORS as problem:
        # The parser's own words are not for logs that others read: they may quote the certificate.
        raise _malformed(f"not a certificate ({type(problem).__name__})") from None


def _malformed(detail: str) -> CertificateRejected:
    return CertificateRejected(TrustReason.INVALID_CHAIN, f"certificate refused: {detail}")


class _Layout(NamedTuple):
    tbs_der: bytes
    serial_number: int
    signature_algorithm_der: bytes
    issuer_der: bytes
    subject_der: bytes
    spki_der: bytes
    key_algorithm_der: bytes


def _read_layout(der: bytes) -> _Layout:
    """Cut out the parts whose bytes count, and bound what the library would build objects from."""
    start, end = asn1.content_of(der, asn1.SEQUENCE)
    outer = list(asn1.elements(der, start, end, 3))
    if len(outer) != 3:
        raise asn1.DerError("not a certificate")
    (tbs_tag, tbs_offset, tbs_start, tbs_end), (_, algorithm_offset, _, algorithm_end), _ = outer
    if tbs_tag != asn1.SEQUENCE:
        raise asn1.DerError("not a certificate")
    fields = list(asn1.elements(der, tbs_start, tbs_end, _TBS_FIELDS))
    raw = [der[offset:field_end] for _, offset, _, field_end in fields]
    if len(raw) < 7 or fields[0][0] != _VERSION_TAG or raw[0] != _VERSION_3:
        raise asn1.DerError("not a version 3 certificate")
    signature_algorithm_der = der[algorithm_offset:algorithm_end]
    if raw[2] != signature_algorithm_der:
        raise asn1.DerError("the two signature algorithms differ")
    if not is_signature_algorithm_allowed(signature_algorithm_der):
        raise asn1.DerError("signature algorithm is not allowed")
    _, _, spki_start, spki_end = fields[6]
    _, key_algorithm_offset, _, key_algorithm_end = next(asn1.elements(der, spki_start, spki_end, 1))
    for tag, _, extensions_start, extensions_end in fields[7:]:
        if tag == _EXTENSIONS_TAG:
            _bound_extensions(der[extensions_start:extensions_end])
    return _Layout(
        tbs_der=der[tbs_offset:tbs_end],
        serial_number=_serial_number(der, fields[1]),
        signature_algorithm_der=signature_algorithm_der,
        issuer_der=raw[3],
        subject_der=raw[5],
        spki_der=raw[6],
        key_algorithm_der=der[key_algorithm_offset:key_algorithm_end],
    )


def _serial_number(der: bytes, element: tuple[int, int, int, int]) -> int:
    tag, _, start, end = element
    if tag != asn1.INTEGER or not 1 <= end - start <= MAX_SERIAL_NUMBER_BYTES:
        raise asn1.DerError("serial number is not an integer of at most 20 bytes")
    serial_number = int.from_bytes(der[start:end], signed=True)
    if serial_number <= 0:
        raise asn1.DerError("serial number is not positive")
    return serial_number


def _bound_extensions(data: bytes) -> None:
    """Count extensions, and the elements on the two upper levels of each value."""
    start, end = asn1.content_of(data, asn1.SEQUENCE)
    for _, _, extension_start, extension_end in asn1.elements(data, start, end, MAX_EXTENSIONS):
        parts = list(asn1.elements(data, extension_start, extension_end, 3))
        if not parts:
            raise asn1.DerError("empty extension")
        if not data.startswith(_STANDARD_EXTENSIONS, parts[0][2]):
            continue  # a private one: the library builds nothing from it, and its value need not be DER
        _, _, value_start, value_end = parts[-1]
        for tag, _, inner_start, inner_end in asn1.elements(data, value_start, value_end, 1):
            if tag != asn1.SEQUENCE:
                continue
            for inner_tag, _, leaf_start, leaf_end in asn1.elements(
                data, inner_start, inner_end, MAX_EXTENSION_ELEMENTS
            ):
                if inner_tag & 0x20:
                    for _ in asn1.elements(data, leaf_start, leaf_end, MAX_EXTENSION_ELEMENTS):
                        pass
