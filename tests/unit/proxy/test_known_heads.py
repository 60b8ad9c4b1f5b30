"""Requests whose fields are known: read as llhttp read them the first time, and only what is that simple."""

import pytest

from gateway.proxy.http1 import End, RequestParser
from gateway.proxy.known_heads import MAX_KNOWN_BYTES, MAX_KNOWN_HEADS, KnownHeads

FIELDS = b"\r\nHost: a\r\nAccept: */*\r\nCookie: x=1\r\n\r\n"
FIRST = b"GET /one?a=b HTTP/1.1" + FIELDS


def after(*requests: bytes) -> KnownHeads:
    """What a connection knows after these reads."""
    known, parser = KnownHeads(1_000), RequestParser(10_000, 1_000)
    for data in requests:
        known.learn(data, parser.feed(data))
    return known


@pytest.mark.parametrize(
    ("line", "method", "target"),
    [
        (b"GET /one?a=b HTTP/1.1", b"GET", b"/one?a=b"),
        (b"GET / HTTP/1.1", b"GET", b"/"),
        (b"HEAD /two//%61;b HTTP/1.1", b"HEAD", b"/two//%61;b"),
    ],
)
def test_the_same_fields_are_known_under_another_request_line(
    line: bytes, method: bytes, target: bytes
) -> None:
    start = after(FIRST).find(line + FIELDS)
    assert start is not None
    again = RequestParser(10_000, 1_000).feed(line + FIELDS)
    assert [start._replace(known=None), End.MESSAGE] == again
    assert (start.head.method, start.head.target, start.keep_alive) == (method, target, True)


def test_what_the_owner_made_of_the_fields_is_found_with_them() -> None:
    known = after(FIRST)
    first = known.find(FIRST)
    assert first is not None
    assert first.known is not None
    first.known.passage = "made of them"
    second = known.find(b"GET /two HTTP/1.1" + FIELDS)
    assert second is not None
    assert second.known is first.known


NOT_KNOWN = [
    ("nothing", b""),
    ("a part of it", FIRST[:-1]),
    ("one field more", FIRST[:-2] + b"X: y\r\n\r\n"),
    ("one letter in another case", FIRST.replace(b"Host", b"host")),
    ("the same and the beginning of another", FIRST + b"G"),
    ("the same twice", FIRST + FIRST),
    ("another method", b"POST / HTTP/1.1" + FIELDS),
    ("another version", b"GET / HTTP/1.0" + FIELDS),
    ("no target", b"GET  HTTP/1.1" + FIELDS),
    ("two targets", b"GET / / HTTP/1.1" + FIELDS),
    ("a target with a fragment", b"GET /#x HTTP/1.1" + FIELDS),
    ("a target in absolute form", b"GET http://a/ HTTP/1.1" + FIELDS),
    ("a target that is no ASCII", b"GET /\xff HTTP/1.1" + FIELDS),
    ("a bare line feed", b"GET / HTTP/1.1\nX: y" + FIELDS),
    ("a line before", b"\r\nGET / HTTP/1.1" + FIELDS),
    ("too long a target", b"GET /" + b"a" * 1_000 + b" HTTP/1.1" + FIELDS),
]


@pytest.mark.parametrize("data", [n[1] for n in NOT_KNOWN], ids=[n[0] for n in NOT_KNOWN])
def test_nothing_else_is_known(data: bytes) -> None:
    assert after(FIRST).find(data) is None


NOT_LEARNED = [
    ("a body", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"),
    ("an empty body", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
    ("chunks", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("an upgrade", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ("an upgrade without its connection", b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n"),
    ("an expectation", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
    ("HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
    ("another method", b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("two requests", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a request and a beginning", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /"),
    ("an empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("long fields", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * MAX_KNOWN_BYTES + b"\r\n\r\n"),
]


@pytest.mark.parametrize("data", [n[1] for n in NOT_LEARNED], ids=[n[0] for n in NOT_LEARNED])
def test_what_is_not_plain_is_not_learned(data: bytes) -> None:
    known, parser = KnownHeads(1_000), RequestParser(10_000, 1_000)
    known.learn(data, parser.feed(data))
    assert known.find(data) is None


def test_a_request_in_two_pieces_is_not_learned() -> None:
    known, parser = KnownHeads(1_000), RequestParser(10_000, 1_000)
    for piece in (FIRST[:20], FIRST[20:]):
        known.learn(piece, parser.feed(piece))
    assert known.find(FIRST) is None
    assert known.find(FIRST[20:]) is None


def test_few_heads_are_kept_the_newest() -> None:
    heads = [b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % n for n in range(MAX_KNOWN_HEADS + 1)]
    known = after(*heads)
    assert [known.find(head) is not None for head in heads] == [False] + [True] * MAX_KNOWN_HEADS


def test_the_parser_says_when_a_request_has_begun() -> None:
    parser = RequestParser(10_000, 1_000)
    said = [parser.is_between_requests]
    for piece in (b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nG", b"E"):
        parser.feed(piece)
        said.append(parser.is_between_requests)
    assert said == [True, False, True, False, False]
