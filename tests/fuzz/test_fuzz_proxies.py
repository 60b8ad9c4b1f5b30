"""What a proxy says of a connection: any bytes give one client, or none and the end of the connection."""

import itertools
from ipaddress import IPv4Network, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from support.proxy_headers import SIGNATURE, proxy_header, tlv

from gateway.proxy.addresses import AddressesDisagree, client_address, peer_address
from gateway.proxy.forwarded import ForwardedRefused, forwarded_for
from gateway.proxy.proxy_protocol import MAX_REST_BYTES, ProxyHeaderReader, ProxyHeaderRefused

bounded = settings(deadline=None, max_examples=200)

TRUSTED = (IPv4Network("10.0.0.0/8"),)
PEER = peer_address("10.0.0.1")
headers = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=80).map(lambda rest: SIGNATURE + rest),
    st.builds(
        lambda command, kind, block, fields: proxy_header(
            None, command=command, kind=kind, block=block, fields=fields
        ),
        st.sampled_from([0x20, 0x21, 0x22, 0x10]),
        st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x22, 0x31]),
        st.sampled_from([bytes(12), bytes(36), bytes(216), b""]),
        st.binary(max_size=20),
    ),
)


def read(header: bytes, cuts: list[int]) -> tuple[object, bytes | None] | None:
    """(source, rest) as the reader has it in the end; None where it refused."""
    reader, rest = ProxyHeaderReader(), None
    edges = sorted({0, len(header), *(cut % (len(header) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        if rest is not None:
            rest += header[start:end]
            continue
        try:
            rest = reader.feed(header[start:end])
        except ProxyHeaderRefused:
            return None
    return reader.source, rest


@bounded
@given(headers, st.lists(st.integers(0, 200), max_size=5))
def test_a_header_says_the_same_however_it_is_cut(header: bytes, cuts: list[int]) -> None:
    assert read(header, cuts) == read(header, [])


@bounded
@given(headers)
def test_a_reader_never_holds_more_than_the_largest_header(header: bytes) -> None:
    reader = ProxyHeaderReader()
    try:
        reader.feed(header)
        for _ in range(20):
            if reader.feed(bytes(1_000)) is not None:
                return
        assert len(reader._received) <= 16 + MAX_REST_BYTES
    except ProxyHeaderRefused:
        pass


@bounded
@given(
    st.ip_addresses(),
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=9)), max_size=4),
    st.binary(),
)
def test_a_good_header_gives_its_client_and_all_that_follows(
    address: object, fields: list[tuple[int, bytes]], rest: bytes
) -> None:
    header = proxy_header(str(address), fields=b"".join(tlv(*field) for field in fields))
    assert read(header + rest, []) == (peer_address(str(address)), rest)


@bounded
@given(
    st.one_of(st.binary(max_size=60), st.from_regex(rb'[a-z]=("?)[0-9.;,="\\ a-z]{0,30}\1', fullmatch=True))
)
def test_a_field_has_hops_or_is_refused(field: bytes) -> None:
    try:
        hops = forwarded_for([field])
    except ForwardedRefused:
        return
    assert len(hops) == len(forwarded_for([field + b", for=192.0.2.1"])) - 1


@bounded
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.just(b"for=203.0.113.9"), st.just(b"for=10.0.0.7")), max_size=3
    )
)
def test_what_a_client_writes_before_a_proxys_own_hop_changes_nothing_but_a_refusal(
    claims: list[bytes],
) -> None:
    """The proxy appends who spoke to it; whatever stood there before, that is the client."""
    try:
        client, _ = client_address(PEER, [], [*claims, b"for=198.51.100.7"], TRUSTED)
    except AddressesDisagree:
        return
    assert client == ip_address("198.51.100.7")
