"""The PROXY protocol, version 2: who a proxy in front of us says that it speaks for.

Source: "The PROXY protocol, versions 1 & 2", §2.2 (haproxy.org). The header is a signature of twelve bytes, a
byte each for version and command, and for address family and transport, the length of the rest, the
addresses, and then type-length-value fields of any kind.

The text form, version 1, is refused. Of the type-length-value fields only the framing is checked; what they
say, a checksum too, is not used. Whether the sender may say any of this is for the caller to know.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from gateway.proxy.addresses import IPAddress, unmapped

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
# Addresses take at most 216 bytes. Some load balancers add fields of a few hundred; a client certificate
# (PP2_SUBTYPE_SSL_CLIENT_CERT), the largest that there is, fits in.
MAX_REST_BYTES: Final = 4_096

_FIXED_BYTES: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
# By family and transport: bytes of the address block. Datagrams cannot have brought a TCP connection here.
_ADDRESS_BYTES: Final = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}
_UNSPECIFIED: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21


class ProxyHeaderRefused(Exception):
    """The connection does not begin with a well-formed version 2 header."""


class ProxyHeaderReader:
    """Bytes in until the header is whole. `source` is then the client's address, or None where the proxy
    speaks for itself (LOCAL), or does not know."""

    __slots__ = ("_received", "source")

    def __init__(self) -> None:
        self._received = b""
        self.source: IPAddress | None = None

    def feed(self, data: bytes) -> bytes | None:
        """The bytes behind the header, once it is whole; None until then. Raises ProxyHeaderRefused as soon
        as the bytes cannot become a header."""
        received = self._received = self._received + data
        signature = received[: len(SIGNATURE)]
        if signature != SIGNATURE[: len(signature)]:
            raise ProxyHeaderRefused("no signature of version 2")
        if len(received) < _FIXED_BYTES:
            return None
        command, kind = received[12], received[13]
        length = int.from_bytes(received[14:16])
        if command not in (_LOCAL, _PROXY):
            raise ProxyHeaderRefused("an unknown version or command")
        if length > MAX_REST_BYTES:
            raise ProxyHeaderRefused("the header is too large")
        if len(received) < _FIXED_BYTES + length:
            return None
        rest = received[_FIXED_BYTES : _FIXED_BYTES + length]
        if command == _PROXY:
            self.source = _source(kind, rest)
        self._received = b""
        return received[_FIXED_BYTES + length :]


def _source(kind: int, rest: bytes) -> IPAddress | None:
    address_bytes = _ADDRESS_BYTES.get(kind)
    if address_bytes is None:
        raise ProxyHeaderRefused("an address family or transport that no TCP connection has")
    if len(rest) < address_bytes:
        raise ProxyHeaderRefused("the address block is cut off")
    if kind != _UNSPECIFIED:  # which may be followed by anything: it is to be ignored
        _check_fields(rest[address_bytes:])
    if kind == _TCP4:
        return IPv4Address(rest[:4])
    if kind == _TCP6:
        return unmapped(IPv6Address(rest[:16]))
    return None


def _check_fields(fields: bytes) -> None:
    position = 0
    while position < len(fields):
        if position + 3 > len(fields):
            raise ProxyHeaderRefused("a field is cut off")
        position += 3 + int.from_bytes(fields[position + 1 : position + 3])
    if position != len(fields):
        raise ProxyHeaderRefused("a field is cut off")
