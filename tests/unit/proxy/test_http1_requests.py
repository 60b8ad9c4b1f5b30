"""Requests as events: what is smuggling is refused with its status, what is not comes out in order."""

import pytest

from gateway.model.http import RequestHead
from gateway.proxy.http1 import (
    MAX_BYTES_BETWEEN_BODY,
    MAX_HEADER_FIELDS,
    End,
    Event,
    HttpRefused,
    RequestParser,
    RequestStart,
    Trailers,
)

HOST = b"Host: a\r\n"


def parser(max_head_bytes: int = 65_536, max_target_bytes: int = 32_768) -> RequestParser:
    return RequestParser(max_head_bytes, max_target_bytes)


def post(fields: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n" + body


def get(fields: bytes = b"", target: bytes = b"/", version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n"


def starts(events: list[Event]) -> list[RequestStart]:
    return [event for event in events if isinstance(event, RequestStart)]


def body(events: list[Event]) -> bytes:
    return b"".join(event for event in events if isinstance(event, bytes))


TE = b"Transfer-Encoding"

SMUGGLING = [
    # Two lengths.
    ("Content-Length and chunked", post(b"Content-Length: 5\r\n" + TE + b": chunked\r\n"), 400),
    ("chunked and Content-Length", post(TE + b": chunked\r\nContent-Length: 5\r\n"), 400),
    ("Content-Length: 0 and chunked", post(b"Content-Length: 0\r\n" + TE + b": chunked\r\n"), 400),
    ("two different Content-Lengths", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400),
    ("the same Content-Length twice", post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400),
    ("a list of Content-Lengths", post(b"Content-Length: 5, 5\r\n", b"hello"), 400),
    # Lengths that some read and some do not.
    ("an empty Content-Length", post(b"Content-Length: \r\n"), 400),
    ("a Content-Length with a sign", post(b"Content-Length: +5\r\n", b"hello"), 400),
    ("a negative Content-Length", post(b"Content-Length: -5\r\n", b"hello"), 400),
    ("a hexadecimal Content-Length", post(b"Content-Length: 0x5\r\n", b"hello"), 400),
    ("a Content-Length with an underscore", post(b"Content-Length: 1_0\r\n", b"hello"), 400),
    ("a Content-Length with a blank inside", post(b"Content-Length: 1 0\r\n", b"hello"), 400),
    ("a Content-Length past 64 bits", post(b"Content-Length: 99999999999999999999\r\n"), 400),
    # Transfer-Encoding in disguise.
    ("chunked in HTTP/1.0", post(TE + b": chunked\r\n", version=b"1.0"), 400),
    ("chunked twice", post(TE + b": chunked\r\n" + TE + b": chunked\r\n"), 400),
    ("chunked, chunked", post(TE + b": chunked, chunked\r\n"), 400),
    ("chunked and more", post(TE + b": chunked, identity\r\n"), 400),
    ("gzip before chunked", post(TE + b": gzip, chunked\r\n"), 400),
    ("gzip alone", post(TE + b": gzip\r\n"), 400),
    ("identity", post(TE + b": identity\r\n"), 400),
    ("xchunked", post(TE + b": xchunked\r\n"), 400),
    ("chunkedx", post(TE + b": chunkedx\r\n"), 400),
    ("chunked with a parameter", post(TE + b": chunked;q=1\r\n"), 400),
    ("chunked in quotes", post(TE + b': "chunked"\r\n'), 400),
    ("chunked with a comma", post(TE + b": chunked,\r\n"), 400),
    ("chunked behind a comma", post(TE + b": ,chunked\r\n"), 400),
    ("chunked behind a vertical tab", post(TE + b":\x0bchunked\r\n"), 400),
    ("chunked behind NUL", post(TE + b": \x00chunked\r\n"), 400),
    ("an empty Transfer-Encoding", post(TE + b":\r\n"), 400),
    ("a blank before the colon", post(TE + b" : chunked\r\n"), 400),
    ("a tab before the colon", post(TE + b"\t: chunked\r\n"), 400),
    ("a folded Transfer-Encoding", post(TE + b":\r\n chunked\r\n"), 400),
    ("a folded field", post(b"X: y\r\n " + TE + b": chunked\r\n"), 400),
    ("Transfer-Encoding behind a bare LF", post(b"X: y\n" + TE + b": chunked\r\n"), 400),
    ("Transfer-Encoding behind a bare CR", post(b"X: y\r" + TE + b": chunked\r\n"), 400),
    ("a field in front of all fields", b"POST / HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n", 400),
    # Chunks.
    ("a chunk size with 0x", post(TE + b": chunked\r\n", b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    ("a negative chunk size", post(TE + b": chunked\r\n", b"-1\r\nabc\r\n0\r\n\r\n"), 400),
    ("a chunk size behind a blank", post(TE + b": chunked\r\n", b" 3\r\nabc\r\n0\r\n\r\n"), 400),
    ("a chunk size before a blank", post(TE + b": chunked\r\n", b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    ("a chunk size past 64 bits", post(TE + b": chunked\r\n", b"fffffffffffffffff\r\nabc"), 400),
    ("a chunk longer than its size", post(TE + b": chunked\r\n", b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    ("a chunk size before a bare LF", post(TE + b": chunked\r\n", b"3\nabc\r\n0\r\n\r\n"), 400),
    ("a bare LF in an extension", post(TE + b": chunked\r\n", b"3;\nx\r\nabc\r\n0\r\n\r\n"), 400),
    ("a chunk that ends with a bare LF", post(TE + b": chunked\r\n", b"3\r\nabc\n0\r\n\r\n"), 400),
    ("no chunk size", post(TE + b": chunked\r\n", b"\r\nabc\r\n0\r\n\r\n"), 400),
    # Heads.
    ("bare LFs", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("NUL in a value", get(b"X: a\x00b\r\n"), 400),
    ("a control character in a value", get(b"X: a\x01b\r\n"), 400),
    ("DEL in a value", get(b"X: a\x7fb\r\n"), 400),
    ("a field without a name", get(b": a\r\n"), 400),
    ("a field without a colon", get(b"nocolon\r\n"), 400),
    ("a name that is not ASCII", get(b"X\xe9: a\r\n"), 400),
    ("a blank in a name", get(b"X Y: a\r\n"), 400),
    ("a bracket in a name", get(b"X(Y): a\r\n"), 400),
    ("data behind Connection: close", get(b"Connection: close\r\n") + get(), 400),
    (
        "an Upgrade with a length",
        post(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n", b"abc"),
        400,
    ),
    ("an Upgrade with chunks", post(b"Connection: upgrade\r\nUpgrade: h2c\r\n" + TE + b": chunked\r\n"), 400),
    # Request lines.
    ("no version", b"GET /\r\n\r\n", 505),
    ("HTTP/0.9", get(version=b"0.9"), 505),
    ("HTTP/1.2", get(version=b"1.2"), 400),
    ("HTTP/2.0", get(version=b"2.0"), 505),
    ("HTTP/11", get(version=b"11"), 400),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("http in small letters", b"GET / http/1.1\r\n\r\n", 400),
    ("a method in small letters", b"get / HTTP/1.1\r\n\r\n", 400),
    ("an unknown method", b"FOO / HTTP/1.1\r\n\r\n", 400),
    ("a tab behind the method", b"GET\t/ HTTP/1.1\r\n\r\n", 400),
    ("a blank in the target", get(target=b"/a b"), 400),
    ("a control character in the target", get(target=b"/\x01"), 400),
    ("a target that is not ASCII", get(target=b"/\xff"), 400),
    ("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("TLS in TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
]


@pytest.mark.parametrize(("stream", "status"), [pytest.param(s, c, id=i) for i, s, c in SMUGGLING])
@pytest.mark.parametrize("piece_size", [None, 1], ids=["at once", "byte by byte"])
def test_what_two_servers_could_read_differently_is_refused(
    stream: bytes, status: int, piece_size: int | None
) -> None:
    reading, size = parser(), piece_size or len(stream)
    refused: HttpRefused | None = None
    for at in range(0, len(stream), size):
        try:
            reading.feed(stream[at : at + size])
        except HttpRefused as error:
            refused = error
            break
    assert refused is not None
    assert refused.status == status
    assert refused.detail


def test_a_request_without_a_body_is_its_head_and_its_end() -> None:
    assert parser().feed(get(b"X-One: 1\r\nx-one:  2 \r\n", b"/a?b=c")) == [
        RequestStart(
            RequestHead(b"GET", b"/a?b=c", "1.1", ((b"Host", b"a"), (b"X-One", b"1"), (b"x-one", b"2 "))),
            keep_alive=True,
            content_length=None,
            chunked=False,
            websocket=False,
        ),
        End.MESSAGE,
    ]


@pytest.mark.parametrize(
    ("stream", "content"),
    [
        (post(b"Content-Length: 5\r\n", b"hello"), b"hello"),
        (post(b"content-length:5\r\n", b"hello"), b"hello"),
        (post(b"Content-Length: 0\r\n", b""), b""),
        (post(b"", b""), b""),
        (post(TE + b": chunked\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), b"abcde"),
        (post(TE + b": Chunked\r\n", b"00003\r\nabc\r\n000\r\n\r\n"), b"abc"),
        (post(TE + b": chunked\r\n", b'3;a=b;c="d"\r\nabc\r\n0;e\r\nX-Trailer: 1\r\n\r\n'), b"abc"),
    ],
    ids=["length", "small letters", "length 0", "none", "chunked", "zeros", "extensions and trailer"],
)
def test_bodies(stream: bytes, content: bytes) -> None:
    events = parser().feed(stream)

    assert body(events) == content
    assert events[-1] is End.MESSAGE
    assert starts(events)[0].has_body is (content != b"")


def test_a_trailer_is_no_header_field_of_this_request_or_the_next() -> None:
    events = parser().feed(post(TE + b": chunked\r\n", b"0\r\nX-Device-Trust: trusted\r\n\r\n") + get())

    assert [[name for name, _ in start.head.headers] for start in starts(events)] == [
        [b"Host", b"Transfer-Encoding"],
        [b"Host"],
    ]


def test_pipelined_requests_come_out_in_order() -> None:
    stream = get(target=b"/1") + post(b"Content-Length: 3\r\n", b"abc") + b"\r\n" + get(target=b"/3")
    events = parser().feed(stream)

    assert [start.head.target for start in starts(events)] == [b"/1", b"/", b"/3"]
    assert [type(event).__name__ for event in events] == [
        "RequestStart",
        "End",
        "RequestStart",
        "bytes",
        "End",
        "RequestStart",
        "End",
    ]


@pytest.mark.parametrize(
    ("stream", "keeps"),
    [
        (get(), True),
        (get(b"Connection: close\r\n"), False),
        (get(b"Connection: x, Close\r\n"), False),
        (get(version=b"1.0"), False),
        (get(b"Connection: keep-alive\r\n", version=b"1.0"), True),
    ],
    ids=["1.1", "close", "among others", "1.0", "1.0 keep-alive"],
)
def test_whether_the_connection_is_kept(stream: bytes, keeps: bool) -> None:
    assert starts(parser().feed(stream))[0].keep_alive is keeps


UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("stream", "switches", "websocket"),
    [
        pytest.param(get(UPGRADE), True, True, id="WebSocket"),
        pytest.param(get(UPGRADE.lower()), True, True, id="in small letters"),
        pytest.param(get(b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), True, False, id="h2c is declined"),
        pytest.param(
            get(b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"), True, False, id="a choice is declined"
        ),
        pytest.param(get(UPGRADE, version=b"1.0"), True, False, id="HTTP/1.0 cannot upgrade"),
        pytest.param(get(b"Upgrade: websocket\r\n"), False, False, id="without Connection"),
        pytest.param(get(b"Connection: Upgrade\r\n"), False, False, id="without a protocol"),
        pytest.param(post(UPGRADE, b""), True, False, id="POST cannot become a WebSocket"),
    ],
)
def test_upgrades(stream: bytes, switches: bool, websocket: bool) -> None:
    reading = parser()
    start = starts(reading.feed(stream))[0]

    assert reading.switched is switches
    assert start.websocket is websocket


def test_what_follows_an_upgrade_waits_until_it_is_decided() -> None:
    reading = parser()
    events = reading.feed(get(UPGRADE) + get(target=b"/next"))
    assert len(starts(events)) == 1
    assert reading.switched

    rest = reading.resume()
    assert rest == get(target=b"/next")
    assert not reading.switched
    assert starts(reading.feed(rest))[0].head.target == b"/next"


# Limits.


def test_a_target_past_its_limit_is_a_414() -> None:
    assert parser(max_target_bytes=10).feed(get(target=b"/" + b"a" * 9))
    with pytest.raises(HttpRefused) as refused:
        parser(max_target_bytes=10).feed(get(target=b"/" + b"a" * 10))
    assert refused.value.status == 414


@pytest.mark.parametrize("piece_size", [None, 100], ids=["at once", "in pieces"])
@pytest.mark.parametrize("ends", [True, False], ids=["that ends", "that never ends"])
def test_a_head_past_its_limit_is_a_431(piece_size: int | None, ends: bool) -> None:
    stream = get(b"X: " + b"a" * 3_000 + b"\r\n")
    stream, size = stream if ends else stream[:-4], piece_size or len(stream)
    reading, status = parser(max_head_bytes=2_000), 0
    try:
        for at in range(0, len(stream), size):
            reading.feed(stream[at : at + size])
    except HttpRefused as refused:
        status = refused.status
    assert status == 431


def test_as_many_fields_as_allowed() -> None:
    assert parser().feed(get(b"X: y\r\n" * (MAX_HEADER_FIELDS - 1)))
    with pytest.raises(HttpRefused) as refused:
        parser().feed(get(b"X: y\r\n" * MAX_HEADER_FIELDS))
    assert refused.value.status == 431


def test_small_heads_behind_large_bodies_are_not_counted_together() -> None:
    reading = parser(max_head_bytes=1_000)
    for _ in range(5):
        assert reading.feed(post(b"Content-Length: 5000\r\n", bytes(5_000)))
        assert reading.feed(get())


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"3\r\nabc\r\n0\r\nX-Trailer: ", id="a trailer"),
        pytest.param(b"3\r\nabc\r\n3;", id="a chunk extension"),
    ],
)
def test_what_has_no_body_inside_a_body_is_bounded(begun: bytes) -> None:
    reading = parser()
    reading.feed(post(TE + b": chunked\r\n", begun))
    fed = 0
    with pytest.raises(HttpRefused, match="too large"):  # noqa: PT012  # fed until it is refused
        while fed < 1_000_000:
            reading.feed(b"a" * 1_000)
            fed += 1_000
    assert fed <= MAX_BYTES_BETWEEN_BODY


def test_many_chunks_with_extensions_are_not_counted_together() -> None:
    reading = parser()
    reading.feed(post(TE + b": chunked\r\n", b""))
    for _ in range(100):
        assert body(reading.feed(b"1;" + b"a" * 1_000 + b"\r\nx\r\n")) == b"x"
    assert reading.feed(b"0\r\n\r\n") == [End.MESSAGE]


def test_the_smallest_chunks_of_one_read_come_out_as_one_piece() -> None:
    stream = post(TE + b": chunked\r\n", b"1\r\nx\r\n" * 1_000 + b"0\r\n\r\n") + get(target=b"/next")
    events = parser().feed(stream)

    assert [type(event).__name__ for event in events] == [
        "RequestStart",
        "bytes",
        "End",
        "RequestStart",
        "End",
    ]
    assert body(events) == b"x" * 1_000


def test_trailers_come_before_the_end_of_their_request() -> None:
    with_trailer = post(TE + b": chunked\r\n", b"3\r\nabc\r\n0\r\nChecksum: abc\r\n\r\n")
    events = parser().feed(with_trailer + get())
    assert events[1:4] == [b"abc", Trailers(((b"Checksum", b"abc"),)), End.MESSAGE]
    assert [type(event).__name__ for event in events[4:]] == ["RequestStart", "End"]


@pytest.mark.parametrize("field", [b"Content-Length: 3", b"transfer-encoding: chunked"])
def test_a_body_is_not_framed_again_behind_its_end(field: bytes) -> None:
    with pytest.raises(HttpRefused) as refused:
        parser().feed(post(TE + b": chunked\r\n", b"0\r\n" + field + b"\r\n\r\n"))
    assert refused.value.status == 400


def test_trailers_of_one_read_are_bounded_too() -> None:
    trailers = b"X: " + b"a" * MAX_BYTES_BETWEEN_BODY + b"\r\n"
    with pytest.raises(HttpRefused, match="too large"):
        parser().feed(post(TE + b": chunked\r\n", b"1\r\nx\r\n0\r\n" + trailers + b"\r\n"))
