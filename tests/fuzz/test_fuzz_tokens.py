"""Tokens, tickets in targets, paths and cookies from anybody: a value, or TokenRefused, and nothing leaks."""

import json
from ipaddress import IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.addresses import client_address, peer_address
from gateway.proxy.cookies import split_cookies
from gateway.proxy.headers import request_headers
from gateway.proxy.sealing import Sealer, TokenRefused
from gateway.proxy.targets import (
    PathKind,
    classify_path,
    fold_path,
    query_names_message,
    take_ticket,
    with_ticket,
)
from gateway.proxy.tokens import (
    FLOW_PURPOSE,
    SESSION_PURPOSE,
    TICKET_PURPOSE,
    open_flow,
    open_session,
    open_ticket,
)

bounded = settings(deadline=None, max_examples=200)

SEALER = Sealer(b"k" * 32)
NOW = 1_800_000_000.0
OPENERS = {FLOW_PURPOSE: open_flow, TICKET_PURPOSE: open_ticket, SESSION_PURPOSE: open_session}
BASE64URL = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=", max_size=300)


@bounded
@given(st.one_of(st.text(max_size=200), BASE64URL), st.sampled_from(sorted(OPENERS)))
def test_no_text_from_outside_opens(token: str, purpose: str) -> None:
    try:
        OPENERS[purpose](SEALER, token, now_seconds=NOW)
    except TokenRefused:
        return
    raise AssertionError("a token that nobody sealed was opened")


@bounded
@given(st.sampled_from(sorted(OPENERS)), st.data())
def test_a_change_of_a_sealed_token_never_opens_it_to_something_else(
    purpose: str, data: st.DataObject
) -> None:
    token = SEALER.seal(purpose, b'{"a":1}', now_seconds=NOW, nonce=bytes(12))
    position = data.draw(st.integers(0, len(token) - 1))
    changed = token[:position] + data.draw(st.characters(max_codepoint=255)) + token[position + 1 :]
    try:
        assert (
            SEALER.open(purpose, changed, now_seconds=NOW) == b'{"a":1}'
        )  # the same bits, written otherwise
    except TokenRefused:
        assert changed != token


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ifveaudbxpnrmgct"), inner, max_size=9)
    ),
    max_leaves=12,
)


@bounded
@given(
    st.sampled_from(sorted(OPENERS)),
    st.one_of(st.binary(max_size=40), JSON.map(lambda v: json.dumps(v).encode())),
)
def test_sealed_contents_of_any_other_version_are_refused(purpose: str, content: bytes) -> None:
    token = SEALER.seal(purpose, content, now_seconds=NOW, nonce=bytes(12))
    try:
        OPENERS[purpose](SEALER, token, now_seconds=NOW)
    except TokenRefused:
        return
    assert {"i", "v", "e"} <= json.loads(content).keys()  # only what has the shape of one opens


QUERY_PIECES = st.lists(
    st.sampled_from(
        [b"dt_ticket=T", b"dt_ticket", b"a=b", b"", b"x=dt_ticket=", b"%64t_ticket=T", b"b?c", b"="]
    ),
    max_size=5,
)


@bounded
@given(st.one_of(st.binary(max_size=60), QUERY_PIECES.map(lambda p: b"/p?" + b"&".join(p))))
def test_no_ticket_is_left_in_a_target(target: bytes) -> None:
    rest, ticket = take_ticket(target)

    assert take_ticket(rest) == (rest, None)
    if ticket is None:
        assert rest == target
    assert take_ticket(with_ticket(rest, "Abc-_")) == (rest, "Abc-_")


# What `checked_head` lets through as a path.
PATHS = st.one_of(
    st.from_regex(rb"/[!\"$->@-~]{0,60}", fullmatch=True),
    st.lists(
        st.sampled_from(
            [
                b"/",
                b"//",
                b".",
                b"..",
                b"saml",
                b"ACS",
                b"%2f",
                b"%252f",
                b"%2e",
                b"%00",
                b"%20",
                b";x",
                b"\\",
                b"%u002f",
                b"%",
                b"%u",
            ]
        ),
        max_size=12,
    ).map(lambda parts: b"/" + b"".join(parts)),
)


@bounded
@given(PATHS)
def test_folding_a_path_twice_changes_nothing(path: bytes) -> None:
    folded = fold_path(path)

    assert folded.startswith(b"/")
    assert b"//" not in folded
    assert fold_path(folded) == folded or b"%" in folded  # more encodings than any server undoes
    assert classify_path(path, frozenset({folded}), frozenset({folded})) in (
        PathKind.ENDPOINT,
        PathKind.DISGUISED_ENDPOINT,
    )


@bounded
@given(st.binary(max_size=100))
def test_any_query_is_looked_at(query: bytes) -> None:
    assert query_names_message(query) in (True, False)


COOKIES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.lists(
            st.sampled_from(
                [
                    b"__Host-dt-session=x",
                    b"__Host-dt-flow-a=y",
                    b"a=b",
                    b"; ",
                    b";",
                    b" ",
                    b"\t",
                    b"=",
                    b"__Host-dt-",
                    b'"',
                ]
            ),
            max_size=8,
        ).map(b"".join),
    ),
    max_size=3,
)


@bounded
@given(COOKIES)
def test_no_cookie_of_ours_goes_to_the_app(fields: list[bytes]) -> None:
    ours, theirs = split_cookies(fields)

    assert all(name.startswith(b"__Host-dt-") for name in ours)
    for pair in (theirs or b"").split(b";"):
        assert not pair.strip().startswith(b"__Host-dt-")
    if theirs is not None and ours:
        assert split_cookies([theirs]) == ({}, theirs)


NAMES = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.from_regex(
        rb"(?i:x[-_.]device[-_.]trust|x[-_]client[-_]cert|ssl[-_]client)[-_A-Za-z0-9]{0,9}", fullmatch=True
    ),
)


@bounded
@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=8))
def test_no_identity_header_comes_in_and_ours_are_always_there(headers: list[tuple[bytes, bytes]]) -> None:
    statement = (b"X-Device-Trust", b"not-trusted")
    fields = request_headers(tuple(headers), host=b"app", added=(statement,), cookie=None)

    assert fields[0] == (b"Host", b"app")
    assert fields[-1] == statement
    for name, _ in fields[1:-1]:
        plain = name.lower().replace(b"_", b"-").replace(b".", b"-")
        assert not plain.startswith((b"x-device-trust", b"x-client-cert", b"ssl-client"))


@bounded
@given(
    st.lists(st.one_of(st.binary(max_size=30), st.ip_addresses().map(lambda a: str(a).encode())), max_size=4)
)
def test_any_chain_of_proxies_gives_an_address(chain: list[bytes]) -> None:
    peer = peer_address("10.0.0.1")
    assert client_address(peer, chain, [], ())[0] == peer
    client, passed_on = client_address(peer, chain, [], (IPv4Network("10.0.0.0/8"),))
    assert client.version in (4, 6)
    assert (passed_on is None) is (not chain)
