"""Revocation lists of any length, fast: the DER is put together from bytes and signed once (RFC 5280 §5.1).

pyca's builder needs an object and a call for each entry, which takes minutes for a million of them.
"""

import base64
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from support.pki import Authority

_SERIAL_BYTES: Final = 20
_INTEGER, _BIT_STRING, _OCTET_STRING, _UTC_TIME, _SEQUENCE = 0x02, 0x03, 0x04, 0x17, 0x30
_EXPLICIT_0: Final = 0xA0
_VERSION_2: Final = bytes.fromhex("020101")
_ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_CRL_NUMBER: Final = bytes.fromhex("0603551d14")
_AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("0603551d23")


def crl_of(authority: Authority, entries: int, revoked: Iterable[int] = ()) -> bytes:
    """A CRL in PEM with ``entries`` random serial numbers, and those of ``revoked``. Its number is the
    next one of the authority."""
    now = datetime.now(UTC)
    date = _time(now)
    content = b"".join([*_random_entries(entries, date), *(_entry(serial, date) for serial in revoked)])
    authority.crl_number += 1
    key = authority.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    extensions = _extension(_CRL_NUMBER, x509.CRLNumber(authority.crl_number))
    extensions += _extension(_AUTHORITY_KEY_IDENTIFIER, identifier)
    signed = _element(
        _SEQUENCE,
        _VERSION_2,
        _ECDSA_WITH_SHA256,
        authority.certificate.subject.public_bytes(),
        date,
        _time(now + timedelta(hours=2)),
        _element(_SEQUENCE, content) if content else b"",
        _element(_EXPLICIT_0, _element(_SEQUENCE, extensions)),
    )
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = _element(_SEQUENCE, signed, _ECDSA_WITH_SHA256, _element(_BIT_STRING, b"\0", signature))
    encoded = base64.b64encode(der)
    lines = (encoded[at : at + 64] for at in range(0, len(encoded), 64))
    return b"-----BEGIN X509 CRL-----\n" + b"\n".join(lines) + b"\n-----END X509 CRL-----\n"


def _random_entries(count: int, date: bytes) -> list[bytes]:
    numbers = os.urandom(_SERIAL_BYTES * count)
    head = bytes([_SEQUENCE, 2 + _SERIAL_BYTES + len(date), _INTEGER, _SERIAL_BYTES])
    # A first byte between 0x40 and 0x7f makes every number positive, and this its shortest form.
    return [
        head + bytes([0x40 | numbers[at] & 0x3F]) + numbers[at + 1 : at + _SERIAL_BYTES] + date
        for at in range(0, len(numbers), _SERIAL_BYTES)
    ]


def _entry(serial_number: int, date: bytes) -> bytes:
    octets = serial_number.to_bytes(serial_number.bit_length() // 8 + 1)
    return _element(_SEQUENCE, _element(_INTEGER, octets), date)


def _time(moment: datetime) -> bytes:
    return _element(_UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())


def _extension(identifier: bytes, value: x509.ExtensionType) -> bytes:
    return _element(_SEQUENCE, identifier, _element(_OCTET_STRING, value.public_bytes()))


def _element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content
