"""What proxies put in front of a connection: headers of the PROXY protocol, version 2, byte by byte."""

from ipaddress import IPv4Address, ip_address

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
FAMILIES = {"unspecified": 0x00, "tcp4": 0x11, "udp4": 0x12, "tcp6": 0x21, "udp6": 0x22, "unix stream": 0x31}


def proxy_header(
    source: str | None,
    *,
    command: int = 0x21,
    kind: int | None = None,
    block: bytes = b"",
    fields: bytes = b"",
) -> bytes:
    """A header for a client at ``source``; without one, with the address ``block`` as it is told."""
    if source is not None:
        address = ip_address(source)
        four = isinstance(address, IPv4Address)
        kind = FAMILIES["tcp4" if four else "tcp6"] if kind is None else kind
        destination = ip_address("192.0.2.1" if four else "2001:db8::1")
        block = address.packed + destination.packed + (4711).to_bytes(2) + (443).to_bytes(2)
    rest = block + fields
    return SIGNATURE + bytes((command, kind or 0)) + len(rest).to_bytes(2) + rest


def tlv(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(2) + content
