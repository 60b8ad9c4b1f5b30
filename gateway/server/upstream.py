"""One connection to an app: requests out, responses in, with a deadline, kept alive between exchanges."""

import asyncio
import socket
from typing import Final, Protocol

from gateway.model.settings import Limits
from gateway.proxy.http1 import HttpRefused, ResponseEvent, ResponseParser
from gateway.proxy.whole_response import WholeResponses
from gateway.server.deadlines import NEVER, Deadlines
from gateway.server.last_words import LastWords, last_words_of

# Most app servers close an idle connection after 5 to 75 seconds; nginx's own upstream default is 60.
IDLE_SECONDS: Final = 30.0


class UpstreamFailed(Exception):
    """``kind`` is the metric's label, ``status`` what the browser is told, ``retry_after_seconds`` when
    it may come again, where that can be said."""

    def __init__(self, kind: str, status: int, detail: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.status = status
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class ResponseReader(Protocol):
    """The exchange that a connection works for."""

    def upstream_whole(self, status: int, response: bytes) -> bool:
        """The whole response as it may be passed on; False: it comes again as events."""
        ...

    def upstream_events(self, events: list[ResponseEvent]) -> None: ...

    def upstream_data(self, data: bytes) -> None:
        """Bytes after a 101."""
        ...

    def upstream_failed(self, failure: UpstreamFailed) -> None: ...

    def upstream_closed(self) -> None:
        """The end of a tunnel."""
        ...

    def upstream_pause_writing(self) -> None: ...

    def upstream_resume_writing(self) -> None: ...


class ConnectionOwner(Protocol):
    """The server that a connection belongs to; see `UpstreamServer`."""

    @property
    def whole_responses(self) -> WholeResponses: ...

    def release(self, connection: "UpstreamConnection") -> None: ...

    def answered(self, connection: "UpstreamConnection") -> None: ...

    def failed(self, kind: str) -> None: ...

    def forget(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """It works for one exchange at a time."""

    def __init__(self, owner: ConnectionOwner, deadlines: Deadlines, limits: Limits) -> None:
        self._owner = owner
        self._deadlines = deadlines
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._parser: ResponseParser | None = None
        self._head_only = False
        self._tunnel = False
        self._answered = False
        self._reading_paused = False
        self._request_complete = True
        self._last_words: LastWords | None = None
        self.reused = False
        self.idle_since = 0.0
        self.is_open = False
        self.deadline = NEVER

    def begin(self, reader: ResponseReader, *, head_only: bool, request_complete: bool) -> None:
        """Take the next response for this exchange. The app's time runs once it has the whole request, and
        while it takes none of it."""
        self._reader = reader
        self._parser = None
        self._head_only = head_only
        self._answered = False
        self._request_complete = request_complete
        if not request_complete and self._transport is not None:
            self._last_words = last_words_of(self._transport)
        self.deadline = NEVER
        self._expect_more()

    def request_complete(self) -> None:
        self._request_complete = True
        self._expect_more()

    @property
    def answered(self) -> bool:
        """True once the app has sent a byte of its response."""
        return self._answered

    def write(self, data: bytes) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._transport is not None and self.is_open:
            self._reading_paused = True
            self._transport.pause_reading()
            self.deadline = NEVER  # it is the browser that is slow

    def resume_reading(self) -> None:
        if self._transport is not None and self.is_open:
            self._reading_paused = False
            self._transport.resume_reading()
            self._expect_more()

    def tunnel(self) -> None:
        """The protocol was switched: bytes pass, however long nothing is said. Somebody who is gone without a
        word is found by the kernel, after two hours by default."""
        assert self._transport is not None
        if (plain := self._transport.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._owner.answered(self)
        self._parser = None
        self._tunnel = True
        self.deadline = NEVER

    def release(self) -> None:
        """The response is complete: keep the connection for the next request."""
        self._reader = None
        self._parser = None
        self._close_last_words()
        if self._transport is None or self._transport.get_write_buffer_size():
            self.abort()  # the app answered without reading all: what it does with the rest nobody knows
            return
        if self._reading_paused:
            # The last browser was slow. Unread, the connection would not see its end, nor the next response.
            self.resume_reading()
        self.deadline = self._deadlines.after(IDLE_SECONDS)
        self.idle_since = self._deadlines.after(0)
        self.reused = True
        self._owner.release(self)

    def retire(self) -> None:
        """The response is complete, and the connection not fit for another."""
        self._owner.answered(self)
        self.abort()

    def end_writing(self) -> None:
        """Nothing more is said in this tunnel. Behind TLS, where that cannot be told, it ends."""
        if self._transport is not None and self.is_open:
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._close()

    def close(self) -> None:
        """End a tunnel, behind what was written, and tell its exchange nothing more."""
        self._reader = None
        self._close()

    def abort(self) -> None:
        self._reader = None
        # asyncio tells of the loss with the next turn of the loop; nobody may be given it until then.
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's class is no subclass of asyncio's
        self.is_open = True
        self._deadlines.watch(self)

    def data_received(self, data: bytes) -> None:
        reader, parser = self._reader, self._parser
        if reader is None:
            self.abort()  # an app that speaks unasked
            return
        if parser is None:
            if self._tunnel:
                reader.upstream_data(data)
                return
            self._answered = True
            whole = self._owner.whole_responses.read(data, head_only=self._head_only)
            if whole is not None and reader.upstream_whole(*whole):
                return
            parser = self._parser = ResponseParser(self._head_only, self._limits.max_head_bytes)
        try:
            events = parser.feed(data)
        except HttpRefused as refused:
            self._fail(UpstreamFailed("bad_response", 502, refused.detail))
            return
        self._expect_more()
        if events:
            reader.upstream_events(events)
        if parser.leftover and self._reader is reader:
            reader.upstream_data(parser.leftover)

    def eof_received(self) -> bool:
        reader = self._reader
        if reader is not None and self._tunnel:
            reader.upstream_closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._deadlines.forget(self)
        self._owner.forget(self)
        last_words, self._last_words = self._last_words, None
        if last_words is not None:
            if exc is not None and self._reader is not None and (said := last_words.read()):
                self.data_received(said)
            last_words.close()
        reader, parser = self._reader, self._parser
        self._reader = None
        if reader is None:
            return
        if self._tunnel:
            reader.upstream_closed()
            return
        final = parser.end_of_stream() if exc is None and parser is not None else None
        if final is not None:
            reader.upstream_events(final)
        else:
            kind = "closed_in_response" if self._answered else "closed_before_response"
            if self._answered or not self.reused:  # an app may close what it kept, at any moment
                self._owner.failed(kind)
            reader.upstream_failed(UpstreamFailed(kind, 502, str(exc or "the app closed the connection")))

    def pause_writing(self) -> None:
        if self._reader is not None:
            self._reader.upstream_pause_writing()
            # In a tunnel, too: nothing is read of a browser meanwhile, not even that it left.
            self.deadline = self._deadlines.after(self._limits.upstream_response_timeout_seconds)

    def resume_writing(self) -> None:
        if self._reader is not None:
            self.deadline = NEVER
            self._expect_more()
            self._reader.upstream_resume_writing()

    def deadline_passed(self) -> None:
        if self._reader is None:
            self.abort()
        else:
            self._fail(UpstreamFailed("timeout", 504, "the app did not answer in time"))

    def _expect_more(self) -> None:
        if self._reader is None or self._tunnel:
            return
        if self._request_complete and not self._reading_paused:
            self.deadline = self._deadlines.after(self._limits.upstream_response_timeout_seconds)

    def _close(self) -> None:
        """An app that takes none of what was written is cut off after a while."""
        if self._transport is not None:
            self._transport.close()
            self.deadline = self._deadlines.after(self._limits.upstream_response_timeout_seconds)

    def _close_last_words(self) -> None:
        if self._last_words is not None:
            self._last_words.close()
            self._last_words = None

    def _fail(self, failure: UpstreamFailed) -> None:
        reader, self._reader = self._reader, None
        self.abort()
        if reader is not None:
            self._owner.failed(failure.kind)
            reader.upstream_failed(failure)
