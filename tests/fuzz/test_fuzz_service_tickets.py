"""The first message of a Kerberos client, as anybody may send it: a ticket's outside, or TicketUnreadable."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.enrollment.service_tickets import SealedTicket, TicketUnreadable, sealed_ticket

# An AP-REQ for HTTP/localhost, made by hand: RFC 4120 §5.5.1 with an empty authenticator.


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size) + content


def _integer(value: int) -> bytes:
    return _tlv(2, value.to_bytes(value.bit_length() // 8 + 1))


def message(
    version: int | None, encryption: int = 18, name: tuple[str, ...] = ("HTTP", "localhost")
) -> bytes:
    parts = b"".join(_tlv(0x1B, part.encode()) for part in name)
    principal = _tlv(0x30, _tlv(0xA0, _integer(2)) + _tlv(0xA1, _tlv(0x30, parts)))
    number = b"" if version is None else _tlv(0xA1, _integer(version))
    sealed = _tlv(0x30, _tlv(0xA0, _integer(encryption)) + number + _tlv(0xA2, _tlv(4, b"x" * 200)))
    realm = _tlv(0x1B, b"CORP.EXAMPLE.TEST")
    ticket = _tlv(
        0x61,
        _tlv(
            0x30,
            _tlv(0xA0, _integer(5)) + _tlv(0xA1, realm) + _tlv(0xA2, principal) + _tlv(0xA3, sealed),
        ),
    )
    request = _tlv(0x6E, _tlv(0x30, _tlv(0xA0, _integer(5)) + _tlv(0xA1, _integer(14)) + _tlv(0xA3, ticket)))
    return _tlv(0x60, bytes.fromhex("06092a864886f712010202") + b"\x01\x00" + request)


def outcome(data: bytes) -> SealedTicket | str:
    try:
        return sealed_ticket(data)
    except TicketUnreadable:
        return "unreadable"


def test_service_key_number_and_encryption_are_read() -> None:
    assert outcome(message(3)) == SealedTicket("HTTP/localhost@CORP.EXAMPLE.TEST", 3, 18)
    assert outcome(message(None, 23)) == SealedTicket("HTTP/localhost@CORP.EXAMPLE.TEST", None, 23)
    assert outcome(b"") == outcome(message(3)[:-1]) == outcome(b"\x60" * 200_000) == "unreadable"


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert isinstance(outcome(data), SealedTicket | str)


@given(st.integers(0, len(message(3)) - 1), st.integers(0, 255))
def test_any_byte_of_a_good_one_changed(place: int, value: int) -> None:
    data = bytearray(message(3))
    data[place] = value
    assert isinstance(outcome(bytes(data)), SealedTicket | str)
