"""Whatever bytes come, in whatever pieces: events or HttpRefused, and the pieces make no difference."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.http import RequestHead
from gateway.proxy.headers import response_headers
from gateway.proxy.http1 import (
    End,
    Event,
    HttpRefused,
    RequestParser,
    RequestStart,
    ResponseEvent,
    ResponseParser,
    ResponseStart,
)
from gateway.proxy.known_heads import KnownHeads
from gateway.proxy.whole_response import WholeResponses

bounded = settings(deadline=None, max_examples=200)

# Bytes that mean something to HTTP, so that streams get past their first line.
TOKENS = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"/",
        b"/a?b=c",
        b"http://a/",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"X: y\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b":",
        b"abc",
        b"3\r\nabc\r\n",
        b"3;x=y\r\nabc\r\n",
        b"0\r\n\r\n",
        b"0\r\nT: x\r\n\r\n",
        b"\x00",
        b"\xff",
    ]
)
STREAMS = st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=16).map(b"".join))
CUTS = st.lists(st.integers(0, 400), max_size=6)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(ends) if begin < end]


def merged(events: list[Event] | list[ResponseEvent]) -> list[object]:
    """Events with the pieces of each body joined: how a body is cut is the network's choice."""
    joined: list[object] = []
    for event in events:
        if isinstance(event, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += event
        else:
            joined.append(event)
    return joined


def requests(stream_pieces: list[bytes]) -> tuple[list[object], int | None]:
    """(events, the status of a refusal or None). What follows a switch of protocols is one more event."""
    parser, events = RequestParser(65_536, 32_768), []
    for number, piece in enumerate(stream_pieces):
        try:
            events += parser.feed(piece)
        except HttpRefused as refused:
            return merged(events), refused.status
        if parser.switched:
            return [*merged(events), parser.leftover + b"".join(stream_pieces[number + 1 :])], None
    return merged(events), None


def responses(stream_pieces: list[bytes], *, head_only: bool) -> tuple[list[object], int | None]:
    parser, events = ResponseParser(head_only, 65_536), []
    for number, piece in enumerate(stream_pieces):
        try:
            events += parser.feed(piece)
        except HttpRefused as refused:
            return merged(events), refused.status
        if any(isinstance(event, ResponseStart) and event.head.status == 101 for event in events):
            return [*merged(events), parser.leftover + b"".join(stream_pieces[number + 1 :])], None
    return merged(events), None


def same_reading(one: tuple[list[object], int | None], other: tuple[list[object], int | None]) -> bool:
    """Where a stream is refused, the longer pieces may have lost events that came just before."""
    if one[1] != other[1]:
        return False
    if one[1] is None:
        return one[0] == other[0]
    fewer, more = sorted((one[0], other[0]), key=lambda events: (len(events), _length_of_last(events)))
    if fewer and isinstance(fewer[-1], bytes) and len(fewer) <= len(more):
        last = more[len(fewer) - 1]
        return fewer[:-1] == more[: len(fewer) - 1] and isinstance(last, bytes) and last.startswith(fewer[-1])
    return more[: len(fewer)] == fewer


def _length_of_last(events: list[object]) -> int:
    return len(events[-1]) if events and isinstance(events[-1], bytes) else 0


@bounded
@given(STREAMS, CUTS)
def test_requests_read_alike_however_they_are_cut(stream: bytes, cuts: list[int]) -> None:
    if stream:
        whole = requests([stream])
        assert same_reading(whole, requests(pieces(stream, cuts)))
        assert same_reading(whole, requests([stream[at : at + 1] for at in range(len(stream))]))


@bounded
@given(STREAMS, CUTS, st.booleans())
def test_responses_read_alike_however_they_are_cut(stream: bytes, cuts: list[int], head_only: bool) -> None:
    if stream:
        whole = responses([stream], head_only=head_only)
        assert same_reading(whole, responses(pieces(stream, cuts), head_only=head_only))
        one_by_one = [stream[at : at + 1] for at in range(len(stream))]
        assert same_reading(whole, responses(one_by_one, head_only=head_only))


METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND"])
NAMES = st.from_regex(rb"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.from_regex(rb"([!-~\x80-\xff]([ \t!-~\x80-\xff]{0,30}[!-~\x80-\xff])?)?", fullmatch=True)
TARGETS = st.from_regex(rb"/[!\"$-~]{0,40}", fullmatch=True)
BODIES = st.one_of(
    st.none(), st.binary(max_size=300), st.lists(st.binary(min_size=1, max_size=100), max_size=4)
)


@bounded
@given(METHODS, TARGETS, st.lists(st.tuples(NAMES, VALUES), max_size=6), BODIES, CUTS)
def test_what_is_written_is_what_is_read(
    method: bytes,
    target: bytes,
    fields: list[tuple[bytes, bytes]],
    body: bytes | list[bytes] | None,
    cuts: list[int],
) -> None:
    headers = [(b"Host", b"a"), *fields]
    content = b""
    if isinstance(body, bytes):
        headers.append((b"Content-Length", b"%d" % len(body)))
        content = body
    elif body is not None:
        headers.append((b"Transfer-Encoding", b"chunked"))
        content = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in body) + b"0\r\n\r\n"
    head = method + b" " + target + b" HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % field for field in headers)
    stream = head + b"\r\n" + content
    events, refused = requests(pieces(stream, cuts))

    assert refused is None
    start = events[0]
    assert isinstance(start, RequestStart)
    assert start.head == RequestHead(method, target, "1.1", tuple(headers))
    assert b"".join(event for event in events if isinstance(event, bytes)) == (
        b"".join(body) if isinstance(body, list) else body or b""
    )
    assert events[-1] is End.MESSAGE


@bounded
@given(STREAMS, st.booleans())
def test_a_response_that_is_passed_on_whole_is_one_that_the_parser_accepts(
    data: bytes, head_only: bool
) -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + data
    whole = WholeResponses(1_000).read(data, head_only=head_only)
    if whole is None:
        return
    status, passed = whole
    head, _, body = passed.partition(b"\r\n\r\n")
    events = ResponseParser(head_only, 1_000).feed(data)
    assert isinstance(events[0], ResponseStart)
    assert events[0].head.status == status
    assert events[0].keep_alive
    assert b"".join(event for event in events if isinstance(event, bytes)) == body
    assert events[-1] is End.MESSAGE
    fields = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
    assert [(n, v.strip(b" \t")) for n, v in fields] == response_headers(events[0].head.headers)


@bounded
@given(STREAMS, STREAMS)
def test_a_request_that_is_known_is_what_the_parser_makes_of_it(first: bytes, second: bytes) -> None:
    first, second = (b"GET / HTTP/1.1\r\nHost: a\r\n" + data for data in (first, second))
    known, parser = KnownHeads(1_000), RequestParser(1_000, 1_000)
    try:
        known.learn(first, parser.feed(first))
        start = known.find(second)
        assert start is None or parser.is_between_requests
        events = parser.feed(second) if not parser.switched else []
    except HttpRefused:
        return
    if start is not None:
        assert events == [start._replace(known=None), End.MESSAGE]
