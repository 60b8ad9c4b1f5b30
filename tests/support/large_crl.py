"""CRLs with a million entries in a second: the entries are put together as bytes, and signed once."""

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import chain

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Name
from support.pki import SigningKey

_RANDOM_BYTES = 15
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_CRL_NUMBER = bytes.fromhex("0603551d14")
_KEY_COMPROMISE = bytes.fromhex("300c300a0603551d1504030a0101")


def large_serials(count: int, seed: str = "") -> list[int]:
    """The serial numbers of `large_crl`: 16 bytes, as most authorities give, and always the same."""
    digits = hashlib.shake_128(seed.encode()).digest(_RANDOM_BYTES * count)
    steps = range(0, len(digits), _RANDOM_BYTES)
    return [int.from_bytes(b"\x01" + digits[at : at + _RANDOM_BYTES]) for at in steps]


def large_crl(
    issuer: Name,
    key: SigningKey,
    count: int,
    *,
    number: int,
    also: tuple[int, ...] = (),
    seed: str = "",
) -> bytes:
    """A CRL in DER with the `large_serials`, a reason each, and ``also``; it ends in two hours. About 49
    bytes for each entry. ``key`` is elliptic."""
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic key")
    now = datetime.now(UTC)
    revoked_at = _time(now - timedelta(days=1)) + _KEY_COMPROMISE
    entries = (
        _element(0x30, _integer(serial) + revoked_at) for serial in chain(also, large_serials(count, seed))
    )
    crl_number = _element(0x30, _CRL_NUMBER + _element(0x04, _integer(number)))
    to_be_signed = _element(
        0x30,
        _integer(1)
        + _ECDSA_SHA256
        + issuer.public_bytes()
        + _time(now)
        + _time(now + timedelta(hours=2))
        + _element(0x30, b"".join(entries))
        + _element(0xA0, _element(0x30, crl_number)),
    )
    signature = key.sign(to_be_signed, ec.ECDSA(hashes.SHA256()))
    return _element(0x30, to_be_signed + _ECDSA_SHA256 + _element(0x03, b"\0" + signature))


def _integer(value: int) -> bytes:
    return _element(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def _time(moment: datetime) -> bytes:
    return _element(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(size))) + size + content
