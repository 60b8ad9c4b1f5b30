"""The header of the PROXY protocol, version 2, that a proxy puts in front of TLS."""

from ipaddress import ip_address

import pytest
from support.proxy_headers import FAMILIES, proxy_header, tlv

from gateway.proxy.proxy_protocol import (
    MAX_REST_BYTES,
    SIGNATURE,
    ProxyHeaderReader,
    ProxyHeaderRefused,
)

HELLO = b"\x16\x03\x01 and so on"


@pytest.mark.parametrize(
    ("header", "source"),
    [
        pytest.param(proxy_header("203.0.113.9"), "203.0.113.9", id="TCP over IPv4"),
        pytest.param(proxy_header("2001:db8::9"), "2001:db8::9", id="TCP over IPv6"),
        pytest.param(proxy_header("::ffff:203.0.113.9"), "203.0.113.9", id="IPv4 mapped into IPv6"),
        pytest.param(
            proxy_header("203.0.113.9", fields=tlv(0x04, bytes(3)) + tlv(0xEA, b"vpce-1")),
            "203.0.113.9",
            id="fields of any kind follow",
        ),
        pytest.param(proxy_header("203.0.113.9", fields=tlv(0x04, b"")), "203.0.113.9", id="an empty field"),
        pytest.param(proxy_header("203.0.113.9", command=0x20), None, id="LOCAL: the proxy itself"),
        pytest.param(proxy_header(None, command=0x20), None, id="LOCAL without addresses"),
        pytest.param(proxy_header(None), None, id="of a family that it cannot tell"),
        pytest.param(proxy_header(None, fields=b"\x00\x00"), None, id="the same, with what is to be ignored"),
        pytest.param(
            proxy_header(None, kind=FAMILIES["unix stream"], block=bytes(216)), None, id="Unix socket"
        ),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 10_000])
def test_a_header_names_its_source_however_it_is_cut(
    header: bytes, source: str | None, piece_bytes: int
) -> None:
    reader, stream, rest = ProxyHeaderReader(), header + HELLO, None
    at = 0
    while rest is None:
        rest = reader.feed(stream[at : at + piece_bytes])
        at += piece_bytes
    assert reader.source == (None if source is None else ip_address(source))
    assert rest + stream[at:] == HELLO


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"PROXY TCP4 203.0.113.9 192.0.2.1 5 443\r\n", id="version 1, which is text"),
        pytest.param(HELLO, id="no header at all"),
        pytest.param(SIGNATURE[:-1] + b"\r", id="a signature that ends otherwise"),
        pytest.param(proxy_header("203.0.113.9", command=0x11), id="another version"),
        pytest.param(proxy_header("203.0.113.9", command=0x22), id="an unknown command"),
        pytest.param(proxy_header(None, kind=FAMILIES["udp4"], block=bytes(12)), id="datagrams over IPv4"),
        pytest.param(proxy_header(None, kind=FAMILIES["udp6"], block=bytes(36)), id="datagrams over IPv6"),
        pytest.param(proxy_header(None, kind=0x41, block=bytes(12)), id="an unknown family"),
        pytest.param(proxy_header(None, kind=0x11, block=bytes(11)), id="an IPv4 block that is cut off"),
        pytest.param(proxy_header(None, kind=0x21, block=bytes(12)), id="an IPv6 block as long as IPv4's"),
        pytest.param(proxy_header("203.0.113.9", fields=b"\x04"), id="a field without a length"),
        pytest.param(proxy_header("203.0.113.9", fields=b"\x04\x00\x05abc"), id="a field that is cut off"),
        pytest.param(SIGNATURE + b"\x21\x11" + (MAX_REST_BYTES + 1).to_bytes(2), id="too large, said early"),
    ],
)
def test_everything_else_is_refused(header: bytes) -> None:
    with pytest.raises(ProxyHeaderRefused):
        ProxyHeaderReader().feed(header)


def test_a_header_may_be_as_large_as_its_bound() -> None:
    field = tlv(0x20, bytes(MAX_REST_BYTES - 12 - 3))
    reader = ProxyHeaderReader()
    assert reader.feed(proxy_header("203.0.113.9", fields=field) + HELLO) == HELLO
