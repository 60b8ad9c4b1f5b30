"""Responses as events: where each ends, and what an app may not send."""

import pytest

from gateway.proxy.http1 import (
    MAX_BYTES_BETWEEN_BODY,
    MAX_HEADER_FIELDS,
    End,
    HttpRefused,
    ResponseEvent,
    ResponseParser,
    ResponseStart,
    Trailers,
)


def parser(*, head_only: bool = False, max_head_bytes: int = 65_536) -> ResponseParser:
    return ResponseParser(head_only, max_head_bytes)


def response(
    fields: bytes = b"", body: bytes = b"", status: bytes = b"200 OK", version: bytes = b"1.1"
) -> bytes:
    return b"HTTP/" + version + b" " + status + b"\r\n" + fields + b"\r\n" + body


def statuses(events: list[ResponseEvent]) -> list[int]:
    return [event.head.status for event in events if isinstance(event, ResponseStart)]


def body(events: list[ResponseEvent]) -> bytes:
    return b"".join(event for event in events if isinstance(event, bytes))


LENGTH = b"Content-Length: 3\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("stream", "content", "keeps"),
    [
        pytest.param(response(LENGTH, b"abc"), b"abc", True, id="a length"),
        pytest.param(response(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n"), b"abc", True, id="chunked"),
        pytest.param(response(CHUNKED, b"3\r\nabc\r\n0\r\nX: 1\r\n\r\n"), b"abc", True, id="a trailer"),
        pytest.param(response(LENGTH + b"Connection: close\r\n", b"abc"), b"abc", False, id="close"),
        pytest.param(response(LENGTH, b"abc", version=b"1.0"), b"abc", False, id="HTTP/1.0"),
        pytest.param(
            response(LENGTH + b"Connection: keep-alive\r\n", b"abc", version=b"1.0"),
            b"abc",
            True,
            id="1.0 kept",
        ),
        pytest.param(response(LENGTH, status=b"304 Not Modified"), b"", True, id="304 with a length"),
        pytest.param(response(LENGTH, status=b"204 No Content"), b"", True, id="204 with a length"),
        pytest.param(response(CHUNKED, status=b"204 No Content"), b"", True, id="204 chunked"),
        pytest.param(response(LENGTH, b"abc", status=b"200"), b"abc", True, id="no reason phrase"),
        pytest.param(
            response(b"Connection: upgrade\r\nUpgrade: h2c\r\n" + LENGTH, b"abc"),
            b"abc",
            True,
            id="an offer to upgrade",
        ),
    ],
)
@pytest.mark.parametrize("piece_size", [None, 1], ids=["at once", "byte by byte"])
def test_where_a_response_ends(stream: bytes, content: bytes, keeps: bool, piece_size: int | None) -> None:
    reading, events = parser(), []
    size = piece_size or len(stream)
    for at in range(0, len(stream), size):
        events += reading.feed(stream[at : at + size])

    assert body(events) == content
    assert events[-1] is End.MESSAGE
    start = events[0]
    assert isinstance(start, ResponseStart)
    assert start.keep_alive is keeps
    assert reading.end_of_stream() == []


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_response_without_a_length_ends_with_the_connection(version: bytes) -> None:
    reading = parser()
    events = reading.feed(response(version=version, body=b"abc"))
    start = events[0]
    assert isinstance(start, ResponseStart)
    assert not start.keep_alive
    assert reading.feed(b"def") == [b"def"]
    assert reading.end_of_stream() == [End.MESSAGE]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nConte",
        response(LENGTH, b"ab"),
        response(CHUNKED, b"3\r\nabc\r\n"),
        response(CHUNKED, b"3\r\nabc\r\n0\r\n"),
        response(status=b"100 Continue"),
    ],
    ids=[
        "nothing",
        "half a head",
        "half a body",
        "no last chunk",
        "half a last chunk",
        "only an interim head",
    ],
)
def test_a_response_that_is_cut_off_is_not_complete(stream: bytes) -> None:
    reading = parser()
    reading.feed(stream)
    assert reading.end_of_stream() is None


@pytest.mark.parametrize("fields", [LENGTH, CHUNKED, b""], ids=["a length", "chunked", "neither"])
def test_the_answer_to_head_ends_with_its_head(fields: bytes) -> None:
    reading = parser(head_only=True)
    events = reading.feed(response(fields))

    assert [type(event).__name__ for event in events] == ["ResponseStart", "End"]
    assert reading.end_of_stream() == []


def test_interim_heads_come_before_the_answer() -> None:
    hints = response(b"Link: </a.css>\r\n", status=b"103 Early Hints")
    events = parser().feed(response(status=b"100 Continue") + hints + hints + response(LENGTH, b"abc"))

    assert statuses(events) == [100, 103, 103, 200]
    assert body(events) == b"abc"
    assert events.count(End.MESSAGE) == 1


def test_interim_heads_come_before_the_answer_to_head_too() -> None:
    events = parser(head_only=True).feed(response(status=b"100 Continue") + response(LENGTH))
    assert statuses(events) == [100, 200]


def test_behind_a_101_is_another_protocol() -> None:
    reading = parser()
    head = response(b"Connection: upgrade\r\nUpgrade: websocket\r\n", status=b"101 Switching Protocols")
    assert statuses(reading.feed(head + b"\x81\x05hello")) == [101]
    assert reading.leftover == b"\x81\x05hello"


@pytest.mark.parametrize(
    ("stream", "head_only"),
    [
        pytest.param(response(LENGTH, b"abcX"), False, id="more than its length"),
        pytest.param(response(LENGTH, b"abc") + response(LENGTH, b"def"), False, id="a second response"),
        pytest.param(response(LENGTH + LENGTH, b"abc"), False, id="two lengths"),
        pytest.param(response(LENGTH + CHUNKED, b"0\r\n\r\n"), False, id="a length and chunked"),
        pytest.param(response(b"Transfer-Encoding: gzip\r\n", b"abc"), False, id="gzip as transfer encoding"),
        pytest.param(
            response(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), False, id="gzip, chunked"
        ),
        pytest.param(response(b"Content-Length: \r\n"), False, id="an empty length"),
        pytest.param(response(b"Content-Length: -1\r\n"), False, id="a negative length"),
        pytest.param(response(b"X: a\r\n b\r\n"), False, id="a folded field"),
        pytest.param(response(b"X: a\rb\r\n"), False, id="a bare CR"),
        pytest.param(response(b"X: a\x00b\r\n"), False, id="NUL"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", False, id="bare LFs"),
        pytest.param(response(LENGTH, status=b"999 X"), False, id="status 999"),
        pytest.param(response(LENGTH, status=b"099 X"), False, id="status 099"),
        pytest.param(response(LENGTH, b"abc", status=b"200 a\x1b[2J"), False, id="a control in the phrase"),
        pytest.param(response(LENGTH, status=b"20 X"), False, id="status 20"),
        pytest.param(response(LENGTH, b"abc", version=b"2.0"), False, id="HTTP/2.0"),
        pytest.param(response(LENGTH, b"abc", version=b"0.9"), False, id="HTTP/0.9"),
        pytest.param(
            response(status=b"101 Switching Protocols", body=b"abc"), False, id="101 without a protocol"
        ),
        pytest.param(response(LENGTH, b"abc"), True, id="a body in the answer to HEAD"),
        pytest.param(response(b"", b"abc"), True, id="a body without a length in the answer to HEAD"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", False, id="SSH"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", False, id="a request"),
        pytest.param(response(b"X: y\r\n" * (MAX_HEADER_FIELDS + 1)), False, id="too many fields"),
        pytest.param(response(b"X: " + b"a" * 70_000)[:-4], False, id="an endless head"),
    ],
)
@pytest.mark.parametrize("piece_size", [None, 500], ids=["at once", "in pieces"])
def test_what_an_app_may_not_send_is_a_502(stream: bytes, head_only: bool, piece_size: int | None) -> None:
    reading, refused = parser(head_only=head_only), None
    size = piece_size or len(stream)
    for at in range(0, len(stream), size):
        try:
            reading.feed(stream[at : at + size])
        except HttpRefused as error:
            refused = error
            break
    assert refused is not None
    assert refused.status == 502


def test_nothing_may_come_behind_the_end() -> None:
    reading = parser()
    reading.feed(response(LENGTH, b"abc"))
    with pytest.raises(HttpRefused, match="behind the end"):
        reading.feed(b"X")


@pytest.mark.parametrize("begun", [b"0\r\nX-Trailer: ", b"3;"], ids=["a trailer", "an extension"])
def test_what_has_no_body_inside_a_body_is_bounded(begun: bytes) -> None:
    reading = parser()
    reading.feed(response(CHUNKED, begun))
    fed = 0
    with pytest.raises(HttpRefused, match="too large"):  # noqa: PT012  # fed until it is refused
        while fed < 1_000_000:
            reading.feed(b"a" * 1_000)
            fed += 1_000
    assert fed <= MAX_BYTES_BETWEEN_BODY


def test_trailers_come_before_the_end() -> None:
    events = parser().feed(response(CHUNKED, b"3\r\nabc\r\n0\r\nChecksum: abc\r\nX-B: 1\r\n\r\n"))
    assert events[1:] == [b"abc", Trailers(((b"Checksum", b"abc"), (b"X-B", b"1"))), End.MESSAGE]


@pytest.mark.parametrize("field", [b"Content-Length: 3", b"transfer-encoding: chunked"])
def test_a_body_is_not_framed_again_behind_its_end(field: bytes) -> None:
    with pytest.raises(HttpRefused) as refused:
        parser().feed(response(CHUNKED, b"0\r\n" + field + b"\r\n\r\n"))
    assert refused.value.status == 502


def test_trailers_of_one_read_are_bounded_too() -> None:
    trailers = b"X: " + b"a" * MAX_BYTES_BETWEEN_BODY + b"\r\n"
    with pytest.raises(HttpRefused, match="too large"):
        parser().feed(response(CHUNKED, b"1\r\nx\r\n0\r\n" + trailers + b"\r\n"))
