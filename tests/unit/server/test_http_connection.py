"""A browser's HTTP/1.1 connection between its requests, without a socket."""

from typing import Any

import pytest
from support.fake_line import FakeChannel, FakeExchange, RecordingHandler

from gateway.model.http import Headers
from gateway.model.settings import Limits
from gateway.proxy.http1 import RequestStart
from gateway.server.exchange import Requester
from gateway.server.http_connection import PIECE_BYTES, REQUESTS_AT_ONCE, HttpConnection

GET = b"GET /own HTTP/1.1\r\nHost: wiki\r\n\r\n"
WEBSOCKET = b"GET /s HTTP/1.1\r\nHost: wiki\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class _AnswersAtOnce(RecordingHandler):
    def begin(self, start: RequestStart, connection: Requester) -> None:
        connection.answer(404, (), b"not here")


class _IsNotReady(RecordingHandler):
    def begin(self, start: RequestStart, connection: Requester) -> None:
        connection.take_over(_Keeps(connection))
        connection.pause_reading()


class _Keeps(FakeExchange):
    def body(self, data: bytes) -> None: ...


def connection_for(handler: RecordingHandler) -> tuple[HttpConnection, FakeChannel]:
    channel: Any = FakeChannel()
    return HttpConnection(channel, handler, Limits()), channel


@pytest.mark.parametrize("first", [b"", GET], ids=["unknown head", "known head"])
@pytest.mark.parametrize("number", [1, 3])
def test_who_takes_no_answer_gets_no_further_one(first: bytes, number: int) -> None:
    """Our own pages would pile up for as long as the browser goes on asking and reads nothing."""
    connection, channel = connection_for(_AnswersAtOnce())
    if first:
        connection.receive(first)
    channel.take()
    connection.pause_writing()
    connection.receive(GET * number)
    assert (channel.take(), channel.is_read) == ([], False)
    connection.resume_writing()
    assert (len(channel.take()), channel.is_read) == (number, True)


def test_requests_of_one_read_are_begun_a_few_at_a_time() -> None:
    connection, channel = connection_for(_AnswersAtOnce())
    connection.receive(GET * (2 * REQUESTS_AT_ONCE + 1))
    for answers, is_read in ((REQUESTS_AT_ONCE, False), (REQUESTS_AT_ONCE, False), (1, True)):
        assert (len(channel.take()), channel.is_read) == (answers, is_read)
        channel.turn()
    assert (channel.take(), channel.calls) == ([], [])


def test_what_waits_is_not_parsed() -> None:
    """Parsed, a read of 256 KiB may take eight megabytes, of each of many connections."""
    handler = RecordingHandler()
    connection, channel = connection_for(handler)
    request = b"GET /own HTTP/1.1\r\nHost: w\r\n" + b"a:\r\n" * 100 + b"\r\n"
    number = 4 * PIECE_BYTES // len(request)
    connection.receive(request * number)
    assert len(connection._events) <= 2 * (1 + PIECE_BYTES // len(request))
    assert not channel.is_read
    while handler.go_on(-1) or channel.calls or not handler.exchanges[-1].is_over:
        channel.turn()
    assert len(handler.exchanges) == number
    assert channel.is_read


def test_a_body_in_one_read_with_its_head_comes_whole() -> None:
    bodies: list[bytes] = []

    class Keeps(FakeExchange):
        def body(self, data: bytes) -> None:
            bodies.append(data)

        def body_end(self, trailers: Headers = ()) -> None:
            bodies.append(b"end")

    class Handler(RecordingHandler):
        def begin(self, start: RequestStart, connection: Requester) -> None:
            connection.take_over(Keeps(connection))

    connection, channel = connection_for(Handler())
    body = bytes(range(256)) * 1_000
    connection.receive(b"POST /up HTTP/1.1\r\nHost: wiki\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert b"".join(bodies) == body + b"end"
    assert len(bodies) <= 3
    assert channel.is_read


def test_what_is_wrong_far_behind_a_request_that_runs_is_found_in_its_turn() -> None:
    handler = RecordingHandler()
    connection, channel = connection_for(handler)
    connection.receive(GET + GET * (PIECE_BYTES // len(GET)) + b"\0" * PIECE_BYTES)
    assert (handler.refused, channel.is_open) == (0, True)
    while channel.is_open:
        handler.go_on(-1)
        channel.turn()
    assert handler.refused == 1


def test_requests_that_wait_for_their_turn_are_answered_though_the_worker_drains() -> None:
    connection, channel = connection_for(_AnswersAtOnce())
    connection.receive(GET * (REQUESTS_AT_ONCE + 1))
    channel.take()
    connection.drain()
    assert channel.is_open
    channel.turn()
    assert b"Connection: close" in channel.take()[0]
    assert not channel.is_open


def test_what_was_read_before_the_app_was_ready_gives_the_browser_no_deadline() -> None:
    """It is the app's turn: how long it may take is for the app's own deadline."""
    connection, channel = connection_for(_IsNotReady())
    connection.receive(b"POST /up HTTP/1.1\r\nHost: wiki\r\nContent-Length: 8\r\n\r\nbody")
    assert (channel.deadline, channel.is_read) == (None, False)


def test_in_a_tunnel_no_page_is_written() -> None:
    handler = RecordingHandler()
    connection, channel = connection_for(handler)
    connection.receive(WEBSOCKET)
    connection.become_tunnel()
    connection.pause_writing()
    connection.deadline_passed()
    assert (channel.take(), channel.is_open) == ([], False)
    assert handler.exchanges[0].is_over
