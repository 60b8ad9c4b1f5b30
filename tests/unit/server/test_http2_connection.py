"""A browser's HTTP/2 connection as a whole, without a socket."""

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from support.fake_line import FakeChannel, FakeDeadlines, RecordingHandler

from gateway.model.http import Headers
from gateway.model.settings import Limits
from gateway.proxy.http1 import RequestStart
from gateway.server.exchange import Requester
from gateway.server.http2_connection import Http2Connection

LIMITS = Limits()
HEAD = ((b":method", b"HEAD"), (b":scheme", b"https"), (b":authority", b"wiki"), (b":path", b"/own"))


class _AnswersAtOnce(RecordingHandler):
    def begin(self, start: RequestStart, connection: Requester) -> None:
        connection.answer(404, (), b"not here")


def test_who_takes_no_answer_has_no_more_time_by_asking_again() -> None:
    channel: Any = FakeChannel()
    deadlines: Any = FakeDeadlines()
    connection = Http2Connection(channel, _AnswersAtOnce(), LIMITS, deadlines)
    browser = H2Connection(H2Configuration(header_encoding=None))
    browser.initiate_connection()

    def ask(fields: Headers) -> None:
        browser.send_headers(browser.get_next_available_stream_id(), fields, end_stream=True)
        connection.receive(browser.data_to_send())

    ask(HEAD)
    assert channel.deadline == LIMITS.idle_timeout_seconds
    connection.pause_writing()
    for _ in range(3):
        ask(HEAD)
        assert channel.deadline == LIMITS.body_timeout_seconds
    connection.resume_writing()
    assert channel.deadline == LIMITS.idle_timeout_seconds
