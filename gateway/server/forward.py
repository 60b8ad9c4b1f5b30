"""One request on its way to the app and back: streamed both ways, with back-pressure both ways.

    connect     an idle connection at once, or a new one; the browser's body waits unread meanwhile
    request     head by our header rules, body as it comes
    response    head by our header rules, body as it comes; 1xx passed on; 101 makes a tunnel
    end         the connection goes back to the pool if both sides are done with it

A browser that asks before it sends its body (`Expect`) asks the app; trailers pass where they may.

Only a request without a body and with a safe method is sent a second time, when the app closed a kept-alive
connection before it answered a byte (RFC 9112 §9.3.1).
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.model.http import Headers, ResponseHead
from gateway.proxy.headers import accepts_trailers, asks_before_body, passed_trailers, response_headers
from gateway.proxy.http1 import RequestStart, ResponseEvent, ResponseStart, Trailers, last_chunk
from gateway.server.exchange import HeaderField, Requester
from gateway.server.upstream import UpstreamConnection, UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool

_SAFE_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
# How long an app may keep a browser waiting that asks before it sends its body. Those that know `Expect`
# answer at once, and curl, too, waits no longer than a second.
CONTINUE_SECONDS: Final = 1.0
BODY_REFUSED: Final = "body_refused"  # the kind of failure when `body_passes` said no


class Errand(NamedTuple):
    """What to send, and what to add to the answer."""

    method: bytes
    target: bytes
    headers: tuple[HeaderField, ...]  # complete but for the framing
    body: bytes | None = None  # replaces the request's own body
    body_begun: bytes = b""  # of the request's own body, what was already taken from the connection
    response_fields: tuple[HeaderField, ...] = ()
    fields_on_wire: bytes = b""  # instead of ``headers``, each with its line end
    trailers_pass: bool = True  # those of the request


ResponseSeen = Callable[[int, Headers], None]
Finished = Callable[[int], None]
Failed = Callable[[UpstreamFailed, bool], None]
BodyPasses = Callable[[bytes], bool]  # looks at each piece of the body; False stops it


class ForwardExchange:
    """See the module's docstring. An `Exchange` for the browser's side, a `ResponseReader` for the app's."""

    __slots__ = (
        "_asks_first",
        "_body_bytes",
        "_body_passes",
        "_connecting",
        "_connection",
        "_errand",
        "_max_body_bytes",
        "_on_failed",
        "_on_finished",
        "_on_response",
        "_over",
        "_pool",
        "_repeated",
        "_request_chunked",
        "_request_done",
        "_response_begun",
        "_response_fields",
        "_response_keeps",
        "_start",
        "_status",
        "_trailers",
        "_trailers_wanted",
        "_tunnel",
        "_upstream",
        "_waiting",
    )

    def __init__(
        self,
        connection: Requester,
        start: RequestStart,
        pool: UpstreamPool,
        errand: Errand,
        max_body_bytes: int | None,
        on_response: ResponseSeen,
        on_finished: Finished,
        on_failed: Failed,
        body_passes: BodyPasses | None = None,
    ) -> None:
        self._connection = connection
        self._start = start
        self._pool = pool
        self._errand = errand
        self._max_body_bytes = max_body_bytes
        self._on_response = on_response
        self._on_finished = on_finished
        self._on_failed = on_failed
        self._body_passes = body_passes
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._waiting: list[bytes] = [errand.body_begun]
        self._request_done = errand.body is not None or not start.has_body
        self._request_chunked = start.chunked and errand.body is None
        self._body_bytes = 0
        self._status = 0
        self._response_begun = False
        self._response_keeps = False
        self._response_fields: Headers = ()
        self._trailers: Headers = ()  # of the request
        self._trailers_wanted = False
        self._asks_first = False
        self._tunnel = False
        self._repeated = False
        self._over = False

    def run(self) -> None:
        self._connection.take_over(self)
        idle = self._pool.take_idle(self._may_be_repeated)
        if idle is not None:
            self._send(idle)
        else:
            self._connect()

    # The browser's side.

    def body(self, data: bytes) -> None:
        if self._over:
            return
        if self._tunnel:
            if self._upstream is not None:
                self._upstream.write(data)
            return
        self._body_bytes += len(data)
        if self._max_body_bytes is not None and self._body_bytes > self._max_body_bytes:
            self._fail(UpstreamFailed("body_too_large", 413, "the request body is too large"))
            return
        if self._body_passes is not None and not self._body_passes(data):
            self._fail(UpstreamFailed(BODY_REFUSED, 400, "the body carries what may not pass here"))
            return
        if self._upstream is None:
            self._waiting.append(data)  # what came in one read with the head; then reading is paused
        else:
            self._upstream.write(self._framed(data))

    def body_end(self, trailers: Headers = ()) -> None:
        if self._tunnel and self._upstream is not None:
            self._upstream.end_writing()
        if self._over or self._request_done:
            return
        self._request_done = True
        if trailers and self._errand.trailers_pass:
            self._trailers = passed_trailers(trailers, self._start.head.headers)
        if self._upstream is not None:
            if self._request_chunked:
                self._upstream.write(last_chunk(self._trailers))
            self._upstream.request_complete()

    def cancelled(self) -> None:
        if self._over:
            return
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._upstream is not None:
            if self._tunnel:
                self._upstream.close()  # what the browser said last still goes out
            else:
                self._upstream.abort()
        self._on_finished(499 if not self._response_begun else self._status)

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    # The app's side.

    def upstream_events(self, events: list[ResponseEvent]) -> None:
        pieces: list[bytes] = []
        complete = False
        trailers: Headers = ()
        for event in events:
            if isinstance(event, bytes):
                pieces.append(event)
            elif isinstance(event, ResponseStart):
                self._response_head(event)
                if self._over:
                    return
            elif isinstance(event, Trailers):
                if self._trailers_wanted:
                    trailers = passed_trailers(event.fields, self._response_fields)
            elif not self._tunnel:
                complete = True
        if self._response_begun and not self._tunnel:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._connection.send(data, last=complete, trailers=trailers)
        if complete:
            self._finish()

    def upstream_whole(self, status: int, response: bytes) -> bool:
        """The whole response, ready to be passed on as it is; False where this exchange has to take it apart.

        It is no redirect, so that nobody has to look at its fields.
        """
        upstream = self._upstream
        if self._over or not self._request_done or self._errand.response_fields or upstream is None:
            return False
        if not self._connection.pass_on(response):
            return False
        self._over = True
        self._response_begun = True
        upstream.release()
        self._on_finished(status)
        self._connection.finish()
        return True

    def upstream_data(self, data: bytes) -> None:
        self._connection.write(data)

    def upstream_failed(self, failure: UpstreamFailed) -> None:
        upstream = self._upstream
        if self._over:
            return
        if (
            upstream is not None
            and upstream.reused
            and not upstream.answered
            and not self._repeated
            and self._may_be_repeated
        ):
            self._repeated = True
            self._upstream = None
            self._connect()
            return
        self._fail(failure)

    def upstream_closed(self) -> None:
        if not self._over:
            self._over = True
            self._on_finished(self._status)
            if self._upstream is not None:
                self._upstream.abort()
            self._connection.finish(close=True)

    def upstream_pause_writing(self) -> None:
        self._connection.pause_reading()

    def upstream_resume_writing(self) -> None:
        self._connection.resume_reading()

    # Inside.

    @property
    def _may_be_repeated(self) -> bool:
        """Bodies are not kept, so only a request without one can be sent again (RFC 9110 §9.2.2)."""
        return self._errand.method in _SAFE_METHODS and self._errand.body is None and not self._start.has_body

    def _connect(self) -> None:
        if not self._request_done:  # else there is nothing to read but that the browser leaves
            self._connection.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._open(), name="upstream connect")
        self._connecting.add_done_callback(self._opened)

    async def _open(self) -> None:
        try:
            upstream = await self._pool.connect()
        except UpstreamFailed as failure:
            self._connecting = None
            if not self._over:
                self._fail(failure)
            return
        self._connecting = None
        if self._over:
            upstream.abort()
            return
        self._connection.resume_reading()  # first: an app that does not take all of what waits stops it again
        self._send(upstream)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connection.failed(error)

    def _send(self, upstream: UpstreamConnection) -> None:
        errand, start = self._errand, self._start
        self._upstream = upstream
        upstream.begin(self, head_only=errand.method == b"HEAD", request_complete=self._request_done)
        if errand.fields_on_wire:  # a plain request: nothing frames a body
            request = errand.method, errand.target, errand.fields_on_wire
            upstream.write(b"%s %s HTTP/1.1\r\n%s\r\n" % request)
            if self._connection.writing_paused:
                upstream.pause_reading()
            return
        lines = [b"%s %s HTTP/1.1" % (errand.method, errand.target)]
        lines.extend(b"%s: %s" % field for field in errand.headers)
        if errand.body is not None:
            lines.append(b"Content-Length: %d" % len(errand.body))
        elif start.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if start.websocket:
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
        elif accepts_trailers(start.head.headers):
            self._trailers_wanted = True
            lines.append(b"Connection: TE\r\nTE: trailers")
        if not (self._request_done or self._body_bytes or errand.body_begun) and asks_before_body(start.head):
            self._asks_first = True
            lines.append(b"Expect: 100-continue")
        lines.append(b"\r\n")
        head = b"\r\n".join(lines)
        own_body = errand.body
        if own_body is None:
            own_body = self._framed(b"".join(self._waiting))
            if self._request_chunked and self._request_done:
                own_body += last_chunk(self._trailers)
            self._waiting.clear()
        upstream.write(head + own_body)
        if errand.body or errand.body_begun:
            # It is on its way and never sent again: an app that takes its time does not keep it in memory.
            self._errand = errand._replace(body=None if errand.body is None else b"", body_begun=b"")
        if self._asks_first:
            asyncio.get_running_loop().call_later(CONTINUE_SECONDS, self._let_body_come)
        elif not self._request_done:
            self._connection.body_expected()
        if self._connection.writing_paused:
            upstream.pause_reading()

    def _let_body_come(self) -> None:
        """The app wants the body, or says nothing, as one does that does not know `Expect`."""
        if self._asks_first and not (self._over or self._response_begun or self._body_bytes):
            self._asks_first = False
            self._connection.body_expected()

    def _framed(self, data: bytes) -> bytes:
        if not self._request_chunked or not data:
            return data
        return b"%x\r\n%s\r\n" % (len(data), data)

    def _response_head(self, response: ResponseStart) -> None:
        head = response.head
        if head.status < 200:
            if head.status == 101:
                self._switch(response)
            elif head.status == 100:
                self._let_body_come()
            elif self._start.head.http_version != "1.0":
                hints = tuple(_without_length(response_headers(head.headers)))
                self._connection.interim(ResponseHead(head.status, head.reason_phrase, hints))
            return
        self._on_response(head.status, head.headers)
        passed = response_headers(head.headers)
        if head.status == 204:
            passed = _without_length(passed)
        fields = (*passed, *self._errand.response_fields)
        bodiless = head.status in (204, 304)
        has_body = self._errand.method != b"HEAD" and not bodiless
        self._status = head.status
        self._response_begun = True
        self._response_keeps = response.keep_alive
        self._response_fields = head.headers
        self._connection.send_head(
            ResponseHead(head.status, head.reason_phrase, fields),
            length_unknown=(response.chunked and not bodiless)
            or (has_body and response.content_length is None),
            close=not self._request_done,
        )

    def _switch(self, response: ResponseStart) -> None:
        if not self._start.websocket:
            self._fail(UpstreamFailed("bad_response", 502, "the app switched protocols unasked"))
            return
        head = response.head
        assert self._upstream is not None
        self._tunnel = True
        self._response_begun = True
        self._status = 101
        self._on_response(101, head.headers)
        self._upstream.tunnel()
        waiting = self._connection.become_tunnel()
        if waiting:
            self._upstream.write(waiting)
        fields = (
            *_without_length(response_headers(head.headers)),
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            *self._errand.response_fields,
        )
        self._connection.interim(ResponseHead(101, head.reason_phrase, fields))

    def _finish(self) -> None:
        self._over = True
        upstream = self._upstream
        if upstream is not None:
            if self._response_keeps and self._request_done:
                upstream.release()
            else:
                upstream.retire()
        self._on_finished(self._status)
        self._connection.finish()

    def _fail(self, failure: UpstreamFailed) -> None:
        self._over = True
        if self._upstream is not None:
            self._upstream.abort()
        self._on_failed(failure, self._response_begun)


def _without_length(fields: list[HeaderField]) -> list[HeaderField]:
    """For 1xx and 204, which may not name one (RFC 9110 §8.6): who believed it would read on for a body."""
    return [field for field in fields if field[0].lower() != b"content-length"]
