"""Connections to the apps: kept alive, bounded, with deadlines, over TCP, TLS or a Unix socket."""

import asyncio
import ssl
from collections import deque
from typing import Final, Protocol

from gateway.model.settings import Limits, Upstream
from gateway.proxy.http1 import HttpRefused, ResponseEvent, ResponseParser
from gateway.server.deadlines import NEVER, Deadlines

# Idle connections kept for one app. More than this many requests at once open new ones.
MAX_IDLE_CONNECTIONS: Final = 128
# Most app servers close an idle connection after 5 to 75 seconds; nginx's own upstream default is 60.
IDLE_SECONDS: Final = 30.0
# A request that must not be sent twice takes only a connection that was in use this recently: the app may be
# closing one that was idle, and then nobody could tell whether the request arrived.
FRESH_SECONDS: Final = 2.0


class UpstreamFailed(Exception):
    """``kind`` is the metric's label; ``status`` what the browser is told."""

    def __init__(self, kind: str, status: int, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.status = status
        self.detail = detail


class ResponseReader(Protocol):
    """The exchange that a connection works for."""

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


class UpstreamConnection(asyncio.Protocol):
    """One connection to one app. It works for one exchange at a time."""

    def __init__(self, pool: "UpstreamPool", deadlines: Deadlines, limits: Limits) -> None:
        self._pool = pool
        self._deadlines = deadlines
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._parser: ResponseParser | None = None
        self._answered = False
        self._reading_paused = False
        self._request_complete = True
        self.reused = False
        self.idle_since = 0.0
        self.is_open = False
        self.deadline = NEVER

    def begin(self, reader: ResponseReader, *, head_only: bool, request_complete: bool) -> None:
        """Take the next response for this exchange. The app's time runs once it has the whole request, and
        while it takes none of it."""
        self._reader = reader
        self._parser = ResponseParser(head_only, self._limits.max_head_bytes)
        self._answered = False
        self._request_complete = request_complete
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
        """The protocol was switched: bytes pass, however long nothing is said."""
        self._parser = None
        self.deadline = NEVER

    def release(self) -> None:
        """The response is complete: keep the connection for the next request."""
        self._reader = None
        self._parser = None
        if self._transport is None or self._transport.get_write_buffer_size():
            self.abort()  # the app answered without reading all: what it does with the rest nobody knows
            return
        if self._reading_paused:
            # The last browser was slow. Unread, the connection would not see its end, nor the next response.
            self.resume_reading()
        self.deadline = self._deadlines.after(IDLE_SECONDS)
        self.idle_since = self._deadlines.after(0)
        self.reused = True
        self._pool.release(self)

    def abort(self) -> None:
        self._reader = None
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
        self._answered = True
        if parser is None:
            reader.upstream_data(data)
            return
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
        reader, parser = self._reader, self._parser
        if reader is not None and parser is None:
            reader.upstream_closed()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._deadlines.forget(self)
        self._pool.forget(self)
        reader, parser = self._reader, self._parser
        self._reader = None
        if reader is None:
            return
        if parser is None:
            reader.upstream_closed()
            return
        final = parser.end_of_stream() if exc is None else None
        if final is not None:
            reader.upstream_events(final)
        else:
            kind = "closed_in_response" if self._answered else "closed_before_response"
            reader.upstream_failed(UpstreamFailed(kind, 502, str(exc or "the app closed the connection")))

    def pause_writing(self) -> None:
        if self._reader is not None:
            self._reader.upstream_pause_writing()
            if self._parser is not None:
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
        if self._reader is None or self._parser is None:
            return
        if self._request_complete and not self._reading_paused:
            self.deadline = self._deadlines.after(self._limits.upstream_response_timeout_seconds)

    def _fail(self, failure: UpstreamFailed) -> None:
        reader, self._reader = self._reader, None
        self.abort()
        if reader is not None:
            reader.upstream_failed(failure)


class UpstreamPool:
    """The connections to one upstream."""

    def __init__(
        self,
        upstream: Upstream,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        limits: Limits,
    ) -> None:
        self._upstream = upstream
        self._tls = tls
        self._loop = loop
        self._deadlines = deadlines
        self._limits = limits
        self._idle: deque[UpstreamConnection] = deque()
        self._closed = False

    def take_idle(self, safe_to_repeat: bool) -> UpstreamConnection | None:
        """The connection that was used last, if one is idle and open."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_open:
                continue
            if not safe_to_repeat and self._deadlines.after(-FRESH_SECONDS) > connection.idle_since:
                self._idle.append(connection)
                return None
            return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises UpstreamFailed."""
        upstream = self._upstream

        def factory() -> UpstreamConnection:
            return UpstreamConnection(self, self._deadlines, self._limits)

        try:
            async with asyncio.timeout(self._limits.upstream_connect_timeout_seconds):
                if upstream.scheme == "unix":
                    _, connection = await self._loop.create_unix_connection(factory, upstream.path)
                else:
                    _, connection = await self._loop.create_connection(
                        factory,
                        upstream.host,
                        upstream.port,
                        ssl=self._tls,
                        server_hostname=upstream.host if self._tls is not None else None,
                    )
        except TimeoutError as error:
            raise UpstreamFailed("connect_timeout", 504, "connecting to the app took too long") from error
        except ssl.SSLError as error:
            raise UpstreamFailed("tls", 502, f"the app's TLS was refused: {error.reason}") from error
        except OSError as error:
            raise UpstreamFailed("connect", 502, f"cannot connect to the app: {error}") from error
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        if self._closed or len(self._idle) >= MAX_IDLE_CONNECTIONS or not connection.is_open:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is released."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()


def upstream_tls(upstream: Upstream) -> ssl.SSLContext | None:
    """Verified TLS to an https upstream, against the system's roots or the configured ones."""
    if upstream.scheme != "https":
        return None
    context = ssl.create_default_context(cafile=upstream.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
