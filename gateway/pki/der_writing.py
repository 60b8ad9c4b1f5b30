"""A small writer of DER elements (X.690 §8, §10), for what the authority signs.

The library's builders take a private key object of their own; ours may be in an HSM, and a CRL of 100,000
entries takes them seconds. What is inside an extension or a name is still encoded by the library.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

NULL = b"\x05\x00"
TRUE = b"\x01\x01\xff"

_SEQUENCE = 0x30
_SET = 0x31
# RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
_FIRST_GENERALIZED_YEAR = 2050


def element(tag: int, content: bytes) -> bytes:
    """One element with a tag of one byte."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    length_bytes = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length_bytes))) + length_bytes + content


def sequence(*parts: bytes) -> bytes:
    return element(_SEQUENCE, b"".join(parts))


def sequence_of(parts: Iterable[bytes]) -> bytes:
    return element(_SEQUENCE, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """In the order that DER asks for (X.690 §11.6)."""
    return element(_SET, b"".join(sorted(parts)))


def integer(value: int) -> bytes:
    """Two's complement, as short as it can be."""
    return element(0x02, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def enumerated(value: int) -> bytes:
    return element(0x0A, bytes((value,)))


def octet_string(content: bytes) -> bytes:
    return element(0x04, content)


def bit_string(content: bytes) -> bytes:
    """Of whole bytes, as keys and signatures are."""
    return element(0x03, b"\x00" + content)


@lru_cache(maxsize=64)
def object_identifier(dotted: str) -> bytes:
    """Of a string such as ``2.5.29.15``."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content += bytes(reversed(groups))
    return element(0x06, bytes(content))


def generalized_time(at: datetime) -> bytes:
    """``at`` is aware; fractions of a second are cut off (RFC 5280 §4.1.2.5.2)."""
    return element(0x18, at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode())


def time(at: datetime) -> bytes:
    """UTCTime or GeneralizedTime, as RFC 5280 §4.1.2.5 says which. ``at`` is aware."""
    utc = at.astimezone(UTC)
    if utc.year >= _FIRST_GENERALIZED_YEAR:
        return generalized_time(utc)
    return element(0x17, utc.strftime("%y%m%d%H%M%SZ").encode())


def explicit(number: int, content: bytes) -> bytes:
    """``content``, a whole element, within a context tag."""
    return element(0xA0 | number, content)


def implicit(number: int, content: bytes, *, constructed: bool) -> bytes:
    """A context tag in place of the element's own."""
    return element((0xA0 if constructed else 0x80) | number, content)


def extension(dotted: str, value_der: bytes, *, critical: bool = False) -> bytes:
    """An extension of a certificate, CRL or OCSP answer (RFC 5280 §4.1)."""
    return sequence(object_identifier(dotted), TRUE if critical else b"", octet_string(value_der))
