"""One request of an HTTP/2 connection and its answer: what an exchange sees of the browser.

    body      comes as it comes; what the app does not take keeps the browser's window closed
    answer    goes out as the browser's windows and the socket allow; what waits is bounded by telling the
              exchange to pause, and lasts only as long as the browser takes some of it now and then

It is its own `Line`: cutting it off leaves the connection to the other requests.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.model.device import PeerCertificate
from gateway.model.http import Headers, RequestHead, ResponseHead
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.proxy.http2_heads import response_fields
from gateway.server.channel import Channel
from gateway.server.deadlines import NEVER
from gateway.server.exchange import REASON_PHRASES, Exchange, HeaderField

if TYPE_CHECKING:
    from gateway.server.http2_connection import Http2Connection

# Of one answer, what may wait before the app is read no further; it is read on when half of it is gone.
BACKLOG_HIGH_WATER: Final = 65_536
BACKLOG_LOW_WATER: Final = 32_768


class Http2Stream:
    """See the module's docstring. A `Requester` for its exchange; made by its connection."""

    __slots__ = (
        "_answer_begun",
        "_answer_ended",
        "_body_bytes",
        "_body_in_one_time",
        "_connection",
        "_exchange",
        "_exchange_paused",
        "_exchange_reads",
        "_finished",
        "_head_waits",
        "_start",
        "_told_to_continue",
        "_trailers",
        "_untaken_bytes",
        "backlog",
        "backlog_bytes",
        "deadline",
        "is_open",
        "request_complete",
        "stream_id",
        "trailers",
    )

    def __init__(self, connection: "Http2Connection", stream_id: int) -> None:
        self._connection = connection
        self.stream_id = stream_id
        self.is_open = True
        self.deadline = NEVER
        self.request_complete = False
        self.backlog: deque[memoryview] = deque()  # views, because they are cut into frames
        self.backlog_bytes = 0
        self._start: RequestStart | None = None
        self._exchange: Exchange | None = None
        self._exchange_reads = True
        self._exchange_paused = False
        self._head_waits: list[HeaderField] | None = None
        self._answer_begun = False
        self._answer_ended = False  # its last piece is in the backlog, or gone
        self._finished = False
        self._told_to_continue = False
        self._trailers: Headers = ()  # of the request
        self.trailers: Headers = ()  # of the answer, to be sent behind all of it
        self._body_in_one_time = False
        self._body_bytes = 0
        self._untaken_bytes = 0

    # For the connection.

    def begin(self, start: RequestStart) -> None:
        self._start = start
        self._give_time()

    def receive_body(self, data: bytes, window_bytes: int) -> None:
        """``window_bytes``: what the piece has taken of the browser's window, padding included."""
        self._body_bytes += len(data)
        exchange = self._exchange
        if exchange is None:
            self._connection.taken(self, window_bytes)
            return
        if self._exchange_reads and not (self._body_in_one_time or self._owes_reading):
            self._earn(len(data))
        if data:
            exchange.body(data)
        if self._exchange_reads:
            self._connection.taken(self, window_bytes)
        else:
            self._untaken_bytes += window_bytes

    def receive_trailers(self, trailers: Headers) -> None:
        self._trailers = trailers

    def receive_end(self) -> None:
        start = self._start
        if start is not None and start.content_length not in (None, self._body_bytes):
            # The library compares them only where the last piece is DATA.
            self._connection.reset_malformed(self)
            return
        self.request_complete = True
        if not self._owes_reading:
            self._give_time()
        if self._exchange is not None:
            self._exchange.body_end(self._trailers)

    def cancel(self) -> None:
        """The stream is gone."""
        self.is_open = False
        self.backlog.clear()
        self.backlog_bytes = 0
        exchange = self.take_from()
        if exchange is not None:
            exchange.cancelled()

    def progress(self, size: int) -> None:
        """So much of the backlog went out."""
        self.backlog_bytes -= size
        if self.backlog_bytes:
            self._earn(size)
        else:
            self._give_time()

    def untaken(self) -> int:
        """What the body holds of the browser's windows, which the caller gives back."""
        untaken, self._untaken_bytes = self._untaken_bytes, 0
        return untaken

    @property
    def done(self) -> bool:
        """Nothing of the answer is left to be sent."""
        return self._finished and not self.backlog and self._head_waits is None

    @property
    def answer_ended(self) -> bool:
        return self._answer_ended

    def update_pressure(self) -> None:
        """Let the exchange go on, or stop it, by what waits and by what may be sent."""
        exchange = self._exchange
        if exchange is None:
            return
        if self._exchange_paused:
            if self.backlog_bytes <= BACKLOG_LOW_WATER and self._connection.bodies.may_send(self):
                self._exchange_paused = False
                if not self.backlog_bytes:
                    self._give_time()
                exchange.resume_writing()
        elif self.backlog_bytes > BACKLOG_HIGH_WATER or not self._connection.bodies.has_room:
            self._pause(exchange)

    def take_from(self) -> Exchange | None:
        """The exchange, which has nothing to do with the answer any more."""
        exchange, self._exchange = self._exchange, None
        self._exchange_paused = False
        return exchange

    @property
    def is_paused(self) -> bool:
        return self._exchange_paused

    def deadline_passed(self) -> None:
        if self._owes_reading or self._answer_begun:
            self.abort()
        else:
            self._connection.refuse(self, HttpRefused(408, "the request took too long"))

    # For the exchange: where the request came from.

    @property
    def channel(self) -> "Http2Stream":
        return self

    @property
    def server_name(self) -> str:
        return self._connection.channel.server_name

    @property
    def peer_host(self) -> str:
        return self._connection.channel.peer_host

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        return self._connection.channel.peer_certificate

    @property
    def connection(self) -> Channel:
        return self._connection.channel

    @property
    def request_head(self) -> RequestHead | None:
        return None if self._start is None else self._start.head

    def abort(self) -> None:
        self._connection.cut_off(self)

    # For the exchange: the request.

    def take_over(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if not self._connection.bodies.may_send(self):
            self._pause(exchange)

    def body_expected(self, *, in_one_time: bool = False) -> None:
        self._body_in_one_time = in_one_time
        start = self._start
        if start is None or not start.has_body or self._told_to_continue or self.request_complete:
            return
        if any(n == b"expect" and v.lower() == b"100-continue" for n, v in start.head.headers):
            self._told_to_continue = True
            self.interim(ResponseHead(100, b"", ()))

    def pause_reading(self) -> None:
        self._exchange_reads = False
        if not self._owes_reading:
            self._give_time()

    def resume_reading(self) -> None:
        self._exchange_reads = True
        if not self.is_open:
            return
        if not self._owes_reading:
            self._give_time()
        if untaken := self.untaken():
            self._connection.taken(self, untaken)
            self._connection.flush()

    def become_tunnel(self) -> bytes:
        raise AssertionError("no request of HTTP/2 asks to switch protocols")

    def write(self, data: bytes) -> None:
        raise AssertionError("there is no tunnel in HTTP/2")

    # For the exchange: the answer.

    @property
    def can_answer(self) -> bool:
        return self.is_open and not self._answer_begun

    @property
    def writing_paused(self) -> bool:
        return self._exchange_paused

    def answer(
        self, status: int, headers: Iterable[HeaderField], body: bytes, *, close: bool = False
    ) -> None:
        """``close`` says nothing here: the other requests of the connection have nothing to do with it."""
        fields = (*headers, (b"Content-Length", b"%d" % len(body)))
        head = ResponseHead(status, REASON_PHRASES.get(status, b""), fields)
        self.send_head(head, length_unknown=False, close=close)
        is_head = self._start is not None and self._start.head.method == b"HEAD"
        self.send(b"" if is_head else body, last=True)
        self.finish()

    def interim(self, head: ResponseHead) -> None:
        if self.is_open and head.status != 101:
            self._connection.send_head(self, response_fields(head.status, head.headers), last=False)
            self._connection.flush()

    def send_head(self, head: ResponseHead, *, length_unknown: bool, close: bool) -> None:
        """HTTP/2 frames every body itself, and no exchange closes the connection."""
        self._answer_begun = True
        self._head_waits = response_fields(head.status, head.headers)

    def send(self, data: bytes, *, last: bool = False, trailers: Headers = ()) -> None:
        if not self.is_open or self._answer_ended:
            return
        self._answer_ended = last
        self.trailers = trailers
        fields, self._head_waits = self._head_waits, None
        if fields is not None:
            self._connection.send_head(self, fields, last=last and not (data or trailers))
        if data or (last and (trailers or fields is None)):
            self._connection.bodies.send(self, data)
        self._connection.flush()

    def pass_on(self, response: bytes) -> bool:
        if not self.can_answer:
            return False
        body_at = response.find(b"\r\n\r\n") + 4
        self._answer_begun = True
        self._head_waits = self._connection.fields_of(response[:body_at])
        self.send(response[body_at:], last=True)
        return True

    def waits(self, data: bytes) -> None:
        """What could not be sent at once."""
        owed = self._owes_reading
        self.backlog.append(memoryview(data))
        self.backlog_bytes += len(data)
        if not owed:
            self._give_time()

    def finish(self, *, close: bool = False) -> None:
        self.take_from()
        self._finished = True
        if self.is_open:
            self._connection.answered(self)

    def failed(self, error: BaseException) -> None:
        self._connection.handler.failed(error, self)

    # Inside.

    @property
    def _owes_reading(self) -> bool:
        """The browser has to take something before the answer goes on."""
        return self._exchange_paused or self.backlog_bytes > 0

    def _give_time(self) -> None:
        """A new deadline, if it is for the browser to do something; none while it is the app's turn."""
        sends = self._exchange_reads and not self.request_complete
        if self._owes_reading or sends:
            self.deadline = self._connection.after(self._connection.limits.body_timeout_seconds)
        else:
            self.deadline = NEVER

    def _earn(self, size: int) -> None:
        """Time is earned by bytes, in both directions: who moves a few now and then does not hold an app's
        connection, or our memory, for ever."""
        limits = self._connection.limits
        earned = size / limits.min_body_bytes_per_second
        self.deadline = min(self.deadline + earned, self._connection.after(limits.body_timeout_seconds))

    def _pause(self, exchange: Exchange) -> None:
        owed = self._owes_reading
        self._exchange_paused = True
        if not owed:
            self._give_time()
        self._connection.bodies.watch(self)
        exchange.pause_writing()
