"""OCSP (RFC 6960): requests read within bounds, answers signed by the issuing key itself (§4.2.2.2).

Answers speak about the certificates of one issuer. Which status a certificate has is the caller's to say.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Final, assert_never

from gateway.model.issued import RevocationReason
from gateway.pki import der as asn1
from gateway.pki import der_writing as write
from gateway.pki.certificate import MAX_SERIAL_NUMBER_BYTES, Certificate
from gateway.pki.crl_building import REASON_NUMBERS
from gateway.pki.signer import Signer, key_bits, signed_document

# A request about one certificate has about 120 bytes.
MAX_OCSP_REQUEST_BYTES: Final = 16_384
# Browsers and servers ask about one; openssl about as many as it is told. Each costs a look-up in the store.
MAX_ASKED: Final = 32
# RFC 8954 §2.1 asked for 1 to 32 bytes, RFC 9654 §2.1 for up to 128.
MAX_NONCE_BYTES: Final = 128
_MAX_EXTENSIONS = 16

_NONCE_OID = "1.3.6.1.5.5.7.48.1.2"
_BASIC_OID = "1.3.6.1.5.5.7.48.1.1"
_NONCE = write.object_identifier(_NONCE_OID)
# The hash of a CertID, by its OBJECT IDENTIFIER. RFC 5019 and most clients use SHA-1, which names and keys
# that we made ourselves are safe under; RFC 9654 asks for SHA-256.
_HASHES = {
    write.object_identifier("1.3.14.3.2.26"): "sha1",
    write.object_identifier("2.16.840.1.101.3.4.2.1"): "sha256",
    write.object_identifier("2.16.840.1.101.3.4.2.2"): "sha384",
    write.object_identifier("2.16.840.1.101.3.4.2.3"): "sha512",
}
_TRUE_CONTENT = b"\xff"
_NULL = bytes.fromhex("0500")
# The tags of version, requestorName, requestList and requestExtensions.
_FIELD_ORDER = (0xA0, 0xA1, 0x30, 0xA2)
_VERSION_1 = bytes.fromhex("a003020100")


class OcspFailure(IntEnum):
    """The answers that are not signed (RFC 6960 §4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


class OcspRequestRefused(Exception):
    """A request that gets an unsigned answer. The one exception of reading requests."""

    def __init__(self, failure: OcspFailure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class CertId:
    """A certificate as a client names it. ``der`` is repeated in the answer; ``hash_name`` is None for a hash
    that we do not know."""

    der: bytes
    hash_name: str | None
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: int


@dataclass(frozen=True, slots=True)
class OcspRequest:
    asked: tuple[CertId, ...]  # at least one
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class Good:
    pass


@dataclass(frozen=True, slots=True)
class Revoked:
    at: datetime
    reason: RevocationReason = RevocationReason.UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing that this issuer issued."""


CertStatus = Good | Revoked | Unknown


class OcspIssuer:
    """An authority whose certificates are asked about: its certificate, and the hashes that name it."""

    __slots__ = ("_hashes", "certificate")

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        bits = key_bits(certificate.spki_der)
        self._hashes = {
            name: (hashlib.new(name, certificate.subject_der).digest(), hashlib.new(name, bits).digest())
            for name in _HASHES.values()
        }

    def is_named_by(self, asked: CertId) -> bool:
        if asked.hash_name is None:
            return False
        return self._hashes[asked.hash_name] == (asked.issuer_name_hash, asked.issuer_key_hash)


def parse_ocsp_request(der: bytes) -> OcspRequest:
    """Read a request. Raises `OcspRequestRefused` with the answer to give.

    A requestor's signature is not checked: nobody has to be known to ask (RFC 6960 §4.1.2). Extensions other
    than the nonce are passed over, unless they are critical.
    """
    if len(der) > MAX_OCSP_REQUEST_BYTES:
        raise _malformed(f"larger than {MAX_OCSP_REQUEST_BYTES} bytes")
    try:
        return _read_request(der)
    except asn1.DerError as problem:
        raise _malformed(str(problem)) from None


def failure_answer(failure: OcspFailure) -> bytes:
    """An answer without a signature, which says why there is none with."""
    return write.sequence(write.enumerated(failure))


def signed_answer(
    statuses: Sequence[tuple[CertId, CertStatus]],
    signer: Signer,
    *,
    this_update: datetime,
    next_update: datetime | None,
    produced_at: datetime,
    nonce: bytes | None = None,
    responder_spki_der: bytes,
) -> bytes:
    """The DER of a successful answer. ``signer`` holds the key of ``responder_spki_der``, the issuer's own.

    ``next_update`` None says that newer information is always there: for answers that nobody may keep.
    Raises `SigningFailed`.
    """
    single = [_single(asked, status, this_update, next_update) for asked, status in statuses]
    responder = hashlib.sha1(key_bits(responder_spki_der), usedforsecurity=False).digest()
    parts = [
        write.explicit(2, write.octet_string(responder)),
        write.generalized_time(produced_at),
        write.sequence(*single),
    ]
    if nonce is not None:
        extension = write.extension(_NONCE_OID, write.octet_string(nonce))
        parts.append(write.explicit(1, write.sequence(extension)))
    basic = signed_document(write.sequence(*parts), signer)
    return write.sequence(
        write.enumerated(0),
        write.explicit(0, write.sequence(write.object_identifier(_BASIC_OID), write.octet_string(basic))),
    )


def _single(asked: CertId, status: CertStatus, this_update: datetime, next_update: datetime | None) -> bytes:
    match status:
        case Good():
            told = write.implicit(0, b"", constructed=False)
        case Unknown():
            told = write.implicit(2, b"", constructed=False)
        case Revoked(at, reason):
            number = REASON_NUMBERS[reason]
            why = write.explicit(0, write.enumerated(number)) if number else b""
            told = write.implicit(1, write.generalized_time(at) + why, constructed=True)
        case _:
            assert_never(status)
    until = b"" if next_update is None else write.explicit(0, write.generalized_time(next_update))
    return write.sequence(asked.der, told, write.generalized_time(this_update), until)


def _read_request(der: bytes) -> OcspRequest:
    start, end = asn1.content_of(der, asn1.SEQUENCE)
    outer = list(asn1.elements(der, start, end, 2))
    if not outer or outer[0][0] != asn1.SEQUENCE or any(tag != 0xA0 for tag, *_ in outer[1:]):
        raise asn1.DerError("not an OCSP request")
    fields = list(asn1.elements(der, outer[0][2], outer[0][3], 4))
    tags = [tag for tag, *_ in fields]
    if asn1.SEQUENCE not in tags or tags != [tag for tag in _FIELD_ORDER if tag in tags]:
        raise asn1.DerError("not an OCSP request")
    nonce: bytes | None = None
    asked: list[CertId] = []
    for tag, offset, content, content_end in fields:
        if tag == 0xA0 and der[offset:content_end] != _VERSION_1:
            raise asn1.DerError("not a version 1 request")
        if tag == asn1.SEQUENCE:
            asked += [_cert_id(der, one) for one in asn1.elements(der, content, content_end, MAX_ASKED)]
        elif tag == 0xA2:
            nonce = _nonce(der[content:content_end])
    if not asked:
        raise asn1.DerError("asks about nothing")
    return OcspRequest(tuple(asked), nonce)


def _cert_id(der: bytes, request: tuple[int, int, int, int]) -> CertId:
    tag, _, start, end = request
    parts = list(asn1.elements(der, start, end, 2))
    if tag != asn1.SEQUENCE or not parts or parts[0][0] != asn1.SEQUENCE:
        raise asn1.DerError("not a request about a certificate")
    if len(parts) == 2:
        if parts[1][0] != 0xA0:
            raise asn1.DerError("not a request about a certificate")
        for _, critical, _ in _extensions(der[parts[1][2] : parts[1][3]]):
            if critical:
                raise asn1.DerError("unknown critical extension")
    _, offset, content, content_end = parts[0]
    fields = list(asn1.elements(der, content, content_end, 4))
    expected = [asn1.SEQUENCE, asn1.OCTET_STRING, asn1.OCTET_STRING, asn1.INTEGER]
    if [found for found, *_ in fields] != expected:
        raise asn1.DerError("not a CertID")
    algorithm, name_hash, key_hash, serial = fields
    if not 1 <= serial[3] - serial[2] <= MAX_SERIAL_NUMBER_BYTES + 1:
        raise asn1.DerError("serial number is too long")
    return CertId(
        der=der[offset:content_end],
        hash_name=_hash_name(der, algorithm[2], algorithm[3]),
        issuer_name_hash=der[name_hash[2] : name_hash[3]],
        issuer_key_hash=der[key_hash[2] : key_hash[3]],
        serial_number=int.from_bytes(der[serial[2] : serial[3]], signed=True),
    )


def _hash_name(der: bytes, start: int, end: int) -> str | None:
    """Parameters are absent or NULL (RFC 5754 §2). Whatever else stood there would come back in the answer,
    and name the same certificate in as many ways as somebody likes."""
    parts = list(asn1.elements(der, start, end, 2))
    identifier = der[parts[0][1] : parts[0][3]] if parts else b""
    name = _HASHES.get(identifier)
    if name is not None and len(parts) == 2 and der[parts[1][1] : end] != _NULL:
        raise asn1.DerError("a hash with parameters")
    return name


def _nonce(extensions: bytes) -> bytes | None:
    found: bytes | None = None
    for identifier, critical, value in _extensions(extensions):
        if identifier == _NONCE:
            start, end = asn1.content_of(value, asn1.OCTET_STRING)
            if found is not None or not 1 <= end - start <= MAX_NONCE_BYTES:
                raise asn1.DerError("the nonce is empty, too long, or there twice")
            found = value[start:end]
        elif critical:
            raise asn1.DerError("unknown critical extension")
    return found


def _extensions(data: bytes) -> list[tuple[bytes, bool, bytes]]:
    """Identifier, whether it is critical, value."""
    found = []
    start, end = asn1.content_of(data, asn1.SEQUENCE)
    for tag, _, inner, inner_end in asn1.elements(data, start, end, _MAX_EXTENSIONS):
        parts = list(asn1.elements(data, inner, inner_end, 3))
        tags = [part_tag for part_tag, *_ in parts]
        if tag != asn1.SEQUENCE or tags not in ([0x06, 0x04], [0x06, 0x01, 0x04]):
            raise asn1.DerError("not an extension")
        critical = len(parts) == 3 and data[parts[1][2] : parts[1][3]] == _TRUE_CONTENT
        identifier = data[parts[0][1] : parts[0][3]]
        found.append((identifier, critical, data[parts[-1][2] : parts[-1][3]]))
    return found


def _malformed(detail: str) -> OcspRequestRefused:
    return OcspRequestRefused(OcspFailure.MALFORMED_REQUEST, f"not an OCSP request: {detail}")
