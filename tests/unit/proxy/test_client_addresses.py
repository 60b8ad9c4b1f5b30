"""Whose address a request comes from: only what a trusted proxy says counts."""

from ipaddress import IPv4Network, IPv6Network, ip_address

import pytest

from gateway.proxy.addresses import AddressesDisagree, client_address, peer_address

PROXIES = (IPv4Network("10.0.0.0/8"), IPv6Network("2001:db8:aaaa::/48"))
PROXY, OTHER_PROXY, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.9"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_the_address_of_a_peer(text: str, address: str) -> None:
    assert peer_address(text) == ip_address(address)


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        pytest.param(CLIENT, [], CLIENT, id="no proxy, no chain"),
        pytest.param(CLIENT, [b"10.0.0.5"], CLIENT, id="a stranger's chain is not believed"),
        pytest.param(PROXY, [], PROXY, id="a proxy that says nothing is the client"),
        pytest.param(PROXY, [b"203.0.113.9"], CLIENT, id="a proxy's word counts"),
        pytest.param(PROXY, [b"198.51.100.7, 203.0.113.9"], CLIENT, id="what the client claimed does not"),
        pytest.param(PROXY, [b"10.0.0.5, 203.0.113.9"], CLIENT, id="not even an address of a proxy"),
        pytest.param(PROXY, [b"203.0.113.9, 10.0.0.2"], CLIENT, id="two proxies"),
        pytest.param(PROXY, [b"198.51.100.7, 203.0.113.9, 10.0.0.2"], CLIENT, id="two proxies and a claim"),
        pytest.param(PROXY, [b"198.51.100.7", b"203.0.113.9"], CLIENT, id="two fields are one chain"),
        pytest.param(PROXY, [b"10.0.0.3, 10.0.0.2"], "10.0.0.3", id="nobody but proxies"),
        pytest.param(PROXY, [b" 203.0.113.9 "], CLIENT, id="blanks"),
        pytest.param(PROXY, [b"203.0.113.9:51234"], CLIENT, id="with a port"),
        pytest.param(PROXY, [b"[2001:db8::9]:51234"], "2001:db8::9", id="IPv6 with a port"),
        pytest.param(PROXY, [b"[2001:db8::9]"], "2001:db8::9", id="IPv6 in brackets"),
        pytest.param(PROXY, [b"2001:db8::9"], "2001:db8::9", id="IPv6"),
        pytest.param(PROXY, [b"::ffff:203.0.113.9"], CLIENT, id="IPv4 mapped into IPv6"),
        pytest.param(
            PROXY, [b"198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7", id="a proxy mapped into IPv6"
        ),
        pytest.param("2001:db8:aaaa::1", [b"203.0.113.9"], CLIENT, id="a proxy with IPv6"),
        pytest.param(PROXY, [b"garbage"], PROXY, id="garbage: the proxy is the client"),
        pytest.param(PROXY, [b"unknown"], PROXY, id="unknown"),
        pytest.param(PROXY, [b""], PROXY, id="an empty chain"),
        pytest.param(PROXY, [b"203.0.113.9,"], PROXY, id="an empty last hop"),
        pytest.param(PROXY, [b"203.0.113.9, garbage"], PROXY, id="garbage ends the chain"),
        pytest.param(PROXY, [b"garbage, 203.0.113.9"], CLIENT, id="garbage before the client"),
        pytest.param(PROXY, [b"203.0.113.9, garbage, 10.0.0.2"], OTHER_PROXY, id="garbage in between"),
        pytest.param(PROXY, [b"\xff\xfe"], PROXY, id="not ASCII"),
        pytest.param(PROXY, [b"203.0.113.999:1"], PROXY, id="an impossible address with a port"),
        pytest.param(PROXY, [b"3405803785"], PROXY, id="an address as a number"),
        pytest.param(PROXY, [b"0313.0.0161.9"], PROXY, id="an octal address"),
    ],
)
def test_the_client_of_a_request(peer: str, chain: list[bytes], client: str) -> None:
    assert client_address(ip_address(peer), chain, [], PROXIES)[0] == ip_address(client)


@pytest.mark.parametrize(
    ("chain", "passed_on"),
    [
        (b"203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        (b"198.51.100.7, 203.0.113.9:1, 10.0.0.2", b"203.0.113.9, 10.0.0.2, 10.0.0.1"),
        (b"garbage", b"10.0.0.1"),
    ],
    ids=["one proxy", "a claim before two proxies", "garbage"],
)
def test_only_what_is_believed_is_passed_on(chain: bytes, passed_on: bytes) -> None:
    assert client_address(ip_address(PROXY), [chain], [], PROXIES)[1] == passed_on


def test_a_strangers_chain_is_not_passed_on() -> None:
    assert client_address(ip_address(CLIENT), [b"198.51.100.7"], [], PROXIES)[1] is None
    assert client_address(ip_address(PROXY), [b"198.51.100.7"], [], ())[1] is None


def test_a_chain_that_is_too_long_ends_at_a_proxy() -> None:
    chain = b"203.0.113.9, " + b", ".join([b"10.0.0.2"] * 40)
    assert client_address(ip_address(PROXY), [chain], [], PROXIES)[0] == ip_address(OTHER_PROXY)


@pytest.mark.parametrize(
    ("field", "client"),
    [
        pytest.param(b"for=203.0.113.9", CLIENT, id="a proxy's word counts"),
        pytest.param(b"for=198.51.100.7, for=203.0.113.9", CLIENT, id="what the client claimed does not"),
        pytest.param(b"for=198.51.100.7;by=10.0.0.2, for=10.0.0.2", "198.51.100.7", id="two proxies"),
        pytest.param(b'for="203.0.113.9:4711";proto=https', CLIENT, id="with a port"),
        pytest.param(b'for="[2001:db8::9]:4711"', "2001:db8::9", id="IPv6"),
        pytest.param(b"for=unknown", PROXY, id="unknown: the proxy is the client"),
        pytest.param(b"for=_hidden", PROXY, id="a made-up name"),
        pytest.param(b"proto=https", PROXY, id="no client at all"),
    ],
)
def test_the_client_by_the_field_of_rfc_7239(field: bytes, client: str) -> None:
    assert client_address(ip_address(PROXY), [], [field], PROXIES)[0] == ip_address(client)
    assert client_address(ip_address(CLIENT), [], [field], PROXIES)[0] == ip_address(CLIENT)


@pytest.mark.parametrize(
    ("x_forwarded_for", "forwarded"),
    [
        pytest.param([b"203.0.113.9"], [b"for=198.51.100.7"], id="two clients"),
        pytest.param([b"203.0.113.9"], [b"for=unknown"], id="one is unknown"),
        pytest.param([b"203.0.113.9"], [b"proto=https"], id="one names nobody"),
        pytest.param([b"garbage"], [b"for=203.0.113.9"], id="one is garbage"),
        pytest.param([], [b"for="], id="malformed"),
        pytest.param([b"203.0.113.9"], [b'for="203.0.113.9'], id="malformed beside one that reads well"),
    ],
)
def test_fields_that_disagree_leave_no_client(x_forwarded_for: list[bytes], forwarded: list[bytes]) -> None:
    with pytest.raises(AddressesDisagree):
        client_address(ip_address(PROXY), x_forwarded_for, forwarded, PROXIES)
    assert client_address(ip_address(CLIENT), x_forwarded_for, forwarded, PROXIES)[0] == ip_address(CLIENT)


def test_fields_that_agree_are_one() -> None:
    ip, chain = client_address(ip_address(PROXY), [b"203.0.113.9"], [b"for=203.0.113.9"], PROXIES)
    assert (ip, chain) == (ip_address(CLIENT), b"203.0.113.9, 10.0.0.1")


def test_a_hop_longer_than_any_address_is_none() -> None:
    """What was parsed is remembered: 60 KB of scope would be, too."""
    hop = b"fe80::1%" + b"a" * 60_000
    assert client_address(ip_address(PROXY), [hop], [], PROXIES)[0] == ip_address(PROXY)
