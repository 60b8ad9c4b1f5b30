"""One browser's HTTP/1.1 connection: requests in order, one exchange at a time.

    receive → events → the handler of this host makes an exchange → the exchange takes the body and answers

Pipelined requests wait, parsed, until the one before is answered and the browser has taken most of what was
written; while one waits, nothing more is read. An exchange answers through the connection itself.
"""

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Final

from gateway.model.http import Headers, RequestHead, ResponseHead
from gateway.model.settings import Limits
from gateway.proxy.headers import asks_before_body
from gateway.proxy.http1 import (
    Event,
    HttpRefused,
    RequestParser,
    RequestStart,
    Trailers,
    joined,
    last_chunk,
)
from gateway.proxy.known_heads import KnownHeads
from gateway.server.channel import Channel
from gateway.server.deadlines import NEVER
from gateway.server.exchange import REASON_PHRASES, Exchange, Handler, HeaderField

# What is read and thrown away of a body that nobody wants any more, before the connection is closed instead.
MAX_DISCARDED_BYTES: Final = 1_048_576
# What is read is parsed by the piece, and no further than to one in which a request begins: parsed, small
# fields take thirty times the room.
PIECE_BYTES: Final = 16_384
# One read may bring nine thousand requests that are all answered at once: between so many the loop serves
# others.
REQUESTS_AT_ONCE: Final = 16


class HttpConnection:
    """See the module's docstring. A `Speaker` for its channel, a `Requester` for its exchanges."""

    def __init__(self, channel: Channel, handler: Handler, limits: Limits) -> None:
        self.channel = channel
        self._handler = handler
        self._limits = limits
        self._parser = RequestParser(limits.max_head_bytes, limits.max_target_bytes)
        self._known_heads = KnownHeads(limits.max_target_bytes)
        self._events: deque[Event] = deque()
        self._unparsed = b""
        self._exchange: Exchange | None = None
        self._start: RequestStart | None = None
        self.request_head: RequestHead | None = None  # longer than _start: refused requests are logged, too
        self._head_begun = False
        self._request_complete = True
        self._trailers: Headers = ()
        self._discarded = 0
        self._answer_begun = False
        self._answer_chunked = False
        self._answer_closes = False
        self._head_waits = b""
        self._told_to_continue = False
        self._pumping = False
        self._waits_its_turn = False
        self._held_back = False
        self._exchange_reads = True
        self._body_in_one_time = False
        self._tunnel = False
        self._ends_soon = False
        self._told_to_close = False
        self._draining = False
        self._writing_paused = False
        channel.set_deadline(limits.request_head_timeout_seconds)

    # For the channel.

    def receive(self, data: bytes) -> None:
        self._handler.guard(partial(self._receive, data), self)

    def _receive(self, data: bytes) -> None:
        if self._tunnel:
            if self._exchange is not None:
                self._exchange.body(data)
            return
        if self._parser.switched:
            self._parser.leftover += data
            return
        if self._unparsed:
            self._unparsed += data
            return
        is_first = self._start is None and not self._events and self._parser.is_between_requests
        if is_first and not self._writing_paused and (plain := self._known_heads.find(data)) is not None:
            self._begin_plain(plain)
            return
        try:
            events = self._parse(data)
        except HttpRefused as refused:
            self._refuse(refused)
            return
        if is_first:
            self._known_heads.learn(data, events)
        self._events.extend(events)
        if self._start is None and not self._events and not self._head_begun:
            # The first bytes of a head: from here its own deadline counts, and more bytes do not extend it.
            self._head_begun = True
            self._allow(self._limits.request_head_timeout_seconds)
        self._pump()

    def _parse(self, data: bytes) -> list[Event]:
        """The events of these bytes, as far as they are wanted now; the rest is left in `_unparsed`. Raises
        HttpRefused."""
        parser, size = self._parser, len(data)
        if size <= PIECE_BYTES:
            return parser.feed(data)
        events: list[Event] = []
        for end in range(PIECE_BYTES, size + PIECE_BYTES, PIECE_BYTES):
            piece = parser.feed(data[end - PIECE_BYTES : end])
            events += piece
            if parser.switched:
                parser.leftover += data[end:]
                break
            if any(isinstance(event, RequestStart) for event in piece):
                self._unparsed = data[end:]
                break
        return joined(events)

    def _parse_on(self) -> bool:
        """Parse more of what was read; False where no event comes of it."""
        unparsed, self._unparsed = self._unparsed, b""
        try:
            self._events.extend(self._parse(unparsed))
        except HttpRefused as refused:
            self._refuse(refused)
        return bool(self._events)

    def closed(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancelled()
        self._parser.close()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.channel.set_deadline(self._limits.body_timeout_seconds)
        if self._exchange is not None:
            self._exchange.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._start is None:
            self._allow(self._limits.idle_timeout_seconds)
        else:
            waits_for_body = self._exchange_reads and not self._request_complete
            self._allow(self._limits.body_timeout_seconds if waits_for_body else None)
        if self._exchange is not None:
            self._exchange.resume_writing()
        if (self._events or self._unparsed) and self._start is None:
            self._handler.guard(self._pump, self)

    def end_soon(self) -> None:
        self._ends_soon = True

    def drain(self) -> None:
        self._draining = True
        if self._start is None:
            if not self._waits_its_turn:
                self.channel.close()
        elif self._tunnel and self.channel.peer_closed and self._exchange is not None:
            self._exchange.body_end()

    def deadline_passed(self) -> None:
        if self._start is None and not self._head_begun:
            self.channel.close()  # idle between requests
        else:
            self._refuse(HttpRefused(408, "the request took too long"))

    # For the exchange.

    def take_over(self, exchange: Exchange) -> None:
        """From now on this exchange has the request's body and answers it."""
        self._exchange = exchange
        if self._writing_paused:
            exchange.pause_writing()

    @property
    def can_answer(self) -> bool:
        """True while nothing of an answer has been written."""
        return self.channel.is_open and not self._answer_begun

    @property
    def writing_paused(self) -> bool:
        return self._writing_paused

    def interim(self, head: ResponseHead) -> None:
        lines = [b"HTTP/1.1 %d %s" % (head.status, head.reason_phrase)]
        lines.extend(b"%s: %s" % field for field in head.headers)
        lines.append(b"\r\n")
        self.channel.write(b"\r\n".join(lines))

    def send_head(self, head: ResponseHead, *, length_unknown: bool, close: bool) -> None:
        """HTTP/1.0 knows the end of a body of unknown length only by the close (RFC 9112 §6.3)."""
        self._answer_closes = close
        if not length_unknown:
            self._head_waits = self._head_bytes(head, close=close)
            return
        assert self._start is not None
        request = self._start.head
        if request.http_version == "1.0":
            self._answer_closes = True
        else:
            self._answer_chunked = request.method != b"HEAD"
            head = head._replace(headers=(*head.headers, (b"Transfer-Encoding", b"chunked")))
        self._head_waits = self._head_bytes(head, close=self._answer_closes)

    def send(self, data: bytes, *, last: bool = False, trailers: Headers = ()) -> None:
        head, self._head_waits = self._head_waits, b""
        if self._answer_chunked:
            if data:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            if last:
                data += last_chunk(trailers)
        if head:
            data = head + data
        if data:
            self.channel.write(data)

    def write(self, data: bytes) -> None:
        self.channel.write(data)

    def pass_on(self, response: bytes) -> bool:
        start = self._start
        if start is None or start.head.http_version == "1.0" or self._closes_behind(False):
            return False
        self._answer_begun = True
        self.channel.write(response)
        return True

    def answer(
        self, status: int, headers: Iterable[HeaderField], body: bytes, *, close: bool = False
    ) -> None:
        """Send a whole response of our own and end the exchange."""
        fields = (*headers, (b"Content-Length", b"%d" % len(body)))
        response = self._head_bytes(
            ResponseHead(status, REASON_PHRASES.get(status, b"Unknown"), fields), close=close
        )
        if not (self._start is not None and self._start.head.method == b"HEAD"):
            response += body
        if self._closes_behind(close):
            self.channel.write_last(response, linger=not self._request_complete)
        else:
            self.channel.write(response)
        self.finish(close=close)

    def body_expected(self, *, in_one_time: bool = False) -> None:
        """The exchange wants the body: a browser that asks first is told to send it (RFC 9110 §10.1.1).

        ``in_one_time``: one deadline for the whole body, which the exchange holds in memory; else each piece
        that comes moves the deadline on.
        """
        self._body_in_one_time = in_one_time
        start = self._start
        if start is None or not start.has_body or self._told_to_continue:
            return
        if asks_before_body(start.head):
            self._told_to_continue = True
            self.channel.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def pause_reading(self) -> None:
        """The app is not ready for more of the body: its own deadline counts now."""
        self._exchange_reads = False
        self.channel.pause_reading()
        if not self._request_complete:
            self._allow(None)

    def resume_reading(self) -> None:
        self._exchange_reads = True
        if not self._request_complete and self._start is not None:
            self._allow(self._limits.body_timeout_seconds)
        if not self._held_back:
            self.channel.resume_reading()

    def become_tunnel(self) -> bytes:
        """The protocol was switched; returns what the browser already sent behind its request."""
        self._tunnel = True
        self._answer_begun = True  # no page of ours would be understood any more
        self._allow(None)
        leftover = self._parser.resume()
        self._hold_back()
        return leftover

    def finish(self, *, close: bool = False) -> None:
        """The response is complete. Go on with the next request, or close."""
        # Where the head promised to stay, the peer may be sending already: one request more is answered.
        ends = self._tunnel or self._told_to_close or self._must_close(close)
        self._start, self._exchange, self.request_head = None, None, None
        if ends:
            self._events.clear()
            self._unparsed = b""
            self.channel.close(linger=not self._request_complete)
            return
        if not self._exchange_reads:
            self.resume_reading()
        if not (self._events or self._held_back or self._parser.switched or self._pumping):
            self._allow(self._limits.idle_timeout_seconds)  # nothing waits
            return
        if self._parser.switched and not any(isinstance(event, RequestStart) for event in self._events):
            # The app declined to switch protocols: what came behind the request is HTTP again.
            rest = self._parser.resume()
            if rest:
                self._receive(rest)
        self._pump()

    def failed(self, error: BaseException) -> None:
        """A task of the exchange ended with a defect of ours: to the boundary with it."""
        self._handler.failed(error, self)

    # Inside.

    def _head_bytes(self, head: ResponseHead, *, close: bool) -> bytes:
        """A final response head on the wire, with the Connection field that fits."""
        start = self._start
        self._answer_begun = True
        keep = not self._closes_behind(close)
        self._told_to_close = not keep
        lines = [b"HTTP/1.1 %d %s" % (head.status, head.reason_phrase)]
        lines.extend(b"%s: %s" % field for field in head.headers)
        if not keep:
            lines.append(b"Connection: close")
        elif start is not None and start.head.http_version == "1.0":
            lines.append(b"Connection: keep-alive")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def _closes_behind(self, close: bool) -> bool:
        """True if the connection ends with the answer to the current request."""
        return self._ends_soon or self._must_close(close)

    def _must_close(self, close: bool) -> bool:
        return (
            close
            or self._answer_closes
            or self._draining
            or self._start is None
            or not self._start.keep_alive
        )

    def _pump(self) -> None:
        """Hand events to the current exchange; start the next one when the last is answered.

        An exchange that answers at once ends inside its own beginning; the loop that began it goes on, so
        that many pipelined requests are a loop and not a recursion. None is begun while the browser does not
        take what is written: our own answers would pile up.
        """
        if self._pumping:
            return
        self._pumping = True
        begun = 0
        try:
            while self.channel.is_open and (self._events or (self._unparsed and self._parse_on())):
                event = self._events[0]
                if isinstance(event, RequestStart):
                    if self._start is not None or self._writing_paused or self._waits_its_turn:
                        break
                    if begun == REQUESTS_AT_ONCE:
                        self._waits_its_turn = True
                        self.channel.soon(self._go_on)
                        break
                    begun += 1
                    self._events.popleft()
                    self._begin(event)
                    continue
                self._events.popleft()
                if isinstance(event, bytes):
                    self._body(event)
                    continue
                if isinstance(event, Trailers):
                    self._trailers = event.fields
                    continue
                self._request_complete = True
                trailers, self._trailers = self._trailers, ()
                if self._exchange is not None:
                    self._allow(None)  # now it is the app's turn
                    self._exchange.body_end(trailers)
        finally:
            self._pumping = False
        self._hold_back()
        if self._start is None and not self._head_begun and self.channel.is_open:
            self._allow(self._limits.idle_timeout_seconds)

    def _go_on(self) -> None:
        """After others had their turn."""
        self._waits_its_turn = False
        self._handler.guard(self._pump, self)

    def _begin_plain(self, start: RequestStart) -> None:
        """A request that is complete with its head, and the only one."""
        self._pumping = True
        self._take_up(start)
        if not self._writing_paused:
            self.channel.deadline = NEVER
        try:
            self._handler.begin(start, self)
            self._request_complete = True
            if self._exchange is not None:
                self._exchange.body_end()
        finally:
            self._pumping = False
        if self._start is None:
            self._pump()

    def _begin(self, start: RequestStart) -> None:
        self._take_up(start)
        self._allow(self._limits.body_timeout_seconds if start.has_body else None)
        # Not every request begins while bytes are received: its defects must find the boundary all the same.
        self._handler.guard(partial(self._handler.begin, start, self), self)

    def _take_up(self, start: RequestStart) -> None:
        self._start = start
        self.request_head = start.head
        self._answer_begun = False
        self._answer_chunked = False
        self._answer_closes = False
        self._told_to_continue = False
        self._request_complete = False
        self._head_begun = False
        self._body_in_one_time = False
        self._discarded = 0

    def _body(self, data: bytes) -> None:
        if self._exchange is not None:
            if self._exchange_reads and not (self._body_in_one_time or self._writing_paused):
                limits = self._limits
                # Time is earned by bytes: a few now and then do not hold the app's connection for ever.
                earned = len(data) / limits.min_body_bytes_per_second
                self.channel.extend_deadline(earned, at_most=limits.body_timeout_seconds)
            self._exchange.body(data)
            return
        self._discarded += len(data)
        if self._discarded > MAX_DISCARDED_BYTES:
            self.channel.close(linger=True)

    def _allow(self, seconds: float | None) -> None:
        """Set the deadline, unless the browser has to take first what is written: whoever sends on and reads
        nothing would never be late."""
        if not self._writing_paused:
            self.channel.set_deadline(seconds)

    def _hold_back(self) -> None:
        """Read nothing more while a whole request, or bytes of another protocol, already wait."""
        waiting = bool(self._events or self._unparsed) or self._parser.switched
        if waiting and not self._held_back and not self._tunnel:
            self._held_back = True
            self.channel.pause_reading()
        elif not waiting and self._held_back:
            self._held_back = False
            if self._exchange_reads:
                self.channel.resume_reading()

    def _refuse(self, refused: HttpRefused) -> None:
        self._events.clear()
        self._unparsed = b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancelled()
            if self._answer_begun:
                # A second answer would be read as a part of the one that is half sent.
                self.channel.abort()
                return
        self._start = None
        self._request_complete = False  # whatever else the peer sends is not read as a request
        self._handler.refuse(refused, self)
