"""What can be read of a service ticket without any key: for which service it is, and with which of its keys
the KDC has sealed it.

A client's first message (RFC 4121 §4.1, its mechanism being Kerberos itself, not SPNEGO) is an AP-REQ in the
frame of GSS-API; the ticket in it (RFC 4120 §5.3) names kvno and encryption type in the clear. Nothing is
verified here.
"""

from dataclasses import dataclass
from typing import Final

from gateway.pki.der import DerError, content_of, elements, read_element

MAX_MESSAGE_BYTES: Final = 131_072
_FRAME: Final = 0x60  # [APPLICATION 0], RFC 2743 §3.1
_KERBEROS: Final = bytes.fromhex("06092a864886f712010202")
_AP_REQ: Final = b"\x01\x00"
_AP_REQ_TAG: Final = 0x6E  # [APPLICATION 14]
_TICKET_TAG: Final = 0x61  # [APPLICATION 1]
_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_GENERAL_STRING: Final = 0x1B
_FIELDS: Final = 16
_MAX_INTEGER_BYTES: Final = 8

# RC4 with an MD4 of the password (RFC 8429 takes it out of use), and its export form.
RC4_ENCRYPTION: Final = frozenset({23, 24})
ENCRYPTION_NAMES: Final = {
    17: "aes128-cts-hmac-sha1-96",
    18: "aes256-cts-hmac-sha1-96",
    19: "aes128-cts-hmac-sha256-128",
    20: "aes256-cts-hmac-sha384-192",
    23: "arcfour-hmac (RC4)",
    24: "arcfour-hmac-exp (RC4)",
}


class TicketUnreadable(Exception):
    """Not a Kerberos AP-REQ in its frame."""


@dataclass(frozen=True, slots=True)
class SealedTicket:
    """``key_version`` is the kvno of the service's key, None where the KDC does not say; ``encryption`` its
    type (RFC 3961)."""

    service: str  # HTTP/host@REALM
    key_version: int | None
    encryption: int


def sealed_ticket(message: bytes) -> SealedTicket:
    """Of the first message of a client. Raises TicketUnreadable."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise TicketUnreadable(f"larger than {MAX_MESSAGE_BYTES} bytes")
    try:
        return _read(message)
    except (DerError, UnicodeDecodeError):
        raise TicketUnreadable("not a Kerberos AP-REQ") from None


def encryption_name(number: int) -> str:
    return ENCRYPTION_NAMES.get(number, f"encryption type {number}")


def _read(message: bytes) -> SealedTicket:
    start, end = content_of(message, _FRAME)
    body = message[start:end]
    if not body.startswith(_KERBEROS + _AP_REQ):
        raise DerError("another mechanism")
    request = _fields(body[len(_KERBEROS) + len(_AP_REQ) :], _AP_REQ_TAG)
    ticket = _fields(_field(request, 3), _TICKET_TAG)
    realm = _text(_field(ticket, 1))
    name = _fields(_field(ticket, 2))
    sealed = _fields(_field(ticket, 3))
    start, end = content_of(_field(name, 1), _SEQUENCE)
    parts = [
        _text(_field(name, 1)[offset:after])
        for _, offset, _, after in elements(_field(name, 1), start, end, _FIELDS)
    ]
    version = sealed.get(1)
    return SealedTicket(
        f"{'/'.join(parts)}@{realm}",
        None if version is None else _integer(version) & 0xFFFFFFFF,
        _integer(_field(sealed, 0)),
    )


def _fields(data: bytes, application: int | None = None) -> dict[int, bytes]:
    """A SEQUENCE, within an application tag where one is given: its explicitly tagged fields by number."""
    if application is not None:
        start, end = content_of(data, application)
        data = data[start:end]
    start, end = content_of(data, _SEQUENCE)
    return {
        tag & 0x1F: data[content:after]
        for tag, _, content, after in elements(data, start, end, _FIELDS)
        if tag & 0xE0 == 0xA0
    }


def _field(fields: dict[int, bytes], number: int) -> bytes:
    if number not in fields:
        raise DerError(f"field {number} is missing")
    return fields[number]


def _text(data: bytes) -> str:
    start, end = content_of(data, _GENERAL_STRING)
    return data[start:end].decode()


def _integer(data: bytes) -> int:
    tag, start, end = read_element(data, 0, len(data))
    if tag != _INTEGER or not 0 < end - start <= _MAX_INTEGER_BYTES:
        raise DerError("not a small integer")
    return int.from_bytes(data[start:end], signed=True)
