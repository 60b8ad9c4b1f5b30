"""One accepted connection: the socket's transport on one side, plaintext on the other.

This is the only place where a TLS session meets a socket. What speaks HTTP above it is a `Speaker`, made
when the handshake is done and the server name is known.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from gateway.model.device import PeerCertificate
from gateway.server.deadlines import NEVER, Deadlines
from gateway.server.exchange import Rested
from gateway.tls.records import PUBLIC_RECORDS, Records
from gateway.tls.session import OVERHEAD_BYTES, ContextSelector, TlsFailure, TlsSession

# How long a peer may go on sending after our last word.
LINGER_SECONDS = 2.0
# Ciphertext that may wait for a slow reader before its source is told to stop.
_WRITE_HIGH_WATER = 262_144
# No source of ours writes past this: one that was told to stop has less than one read's worth in its hands.
_WRITE_BOUND = 4 * _WRITE_HIGH_WATER
# The source goes on as soon as this much is left, so that a slow reader is seen to make progress.
_WRITE_LOW_WATER = 196_608


class Speaker(Protocol):
    """What speaks above TLS on one connection."""

    def receive(self, data: bytes) -> None: ...

    def closed(self) -> None:
        """The connection is gone."""
        ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def deadline_passed(self) -> None: ...

    def end_soon(self) -> None:
        """Close after the exchange that runs, or after the next one."""
        ...

    def drain(self) -> None:
        """Close after the exchange that runs, or at once if none does."""
        ...


class HandshakeReport(Protocol):
    """Where the outcome of handshakes is counted."""

    def handshake(self, server_name: str | None, result: str, seconds: float) -> None: ...

    def connection_opened(self, server_name: str) -> str:
        """The role that it is counted under."""
        ...

    def connection_closed(self, role: str) -> None: ...


class Visit(Protocol):
    """Where one connection is counted (see `gateway.server.visit`)."""

    client_host: str  # the textual address of the client
    began: float  # when it was accepted, by `perf_counter`

    def established(self) -> None: ...

    def left(self) -> None: ...


SpeakerFactory = Callable[["Channel"], Speaker]


class Channel(asyncio.Protocol):
    """See the module's docstring. The speaker uses the public methods; asyncio calls the others."""

    def __init__(
        self,
        select_context: ContextSelector,
        make_speaker: SpeakerFactory,
        report: HandshakeReport,
        deadlines: Deadlines,
        handshake_timeout_seconds: float,
        connections: "set[Channel]",
        visit: Visit,
        records: Records = PUBLIC_RECORDS,
    ) -> None:
        self._session = TlsSession(select_context, records)
        self._make_speaker = make_speaker
        self._report = report
        self._deadlines = deadlines
        self._handshake_timeout_seconds = handshake_timeout_seconds
        self._connections = connections
        self._visit = visit
        self._speaker: Speaker | None = None
        self._transport: asyncio.Transport | None = None
        self.peer_host = visit.client_host  # of the socket's peer, or of whom it speaks for by PROXY protocol
        self._role = ""
        # Of the last session whose request was answered here (see `gateway.server.trusted_connections`).
        self.rested_on: Rested | None = None
        self._closing = False
        self.deadline = NEVER

    # For the speaker.

    @property
    def server_name(self) -> str:
        return self._session.server_name or ""

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        return self._session.peer_certificate

    @property
    def connection(self) -> "Channel":
        return self

    @property
    def peer_closed(self) -> bool:
        """The peer says nothing more (close_notify); what it is told still arrives."""
        return self._session.peer_closed

    @property
    def application_protocol(self) -> bytes:
        """By ALPN, such as ``h2``; empty if the peer named none."""
        return self._session.application_protocol

    @property
    def is_open(self) -> bool:
        return not self._closing

    def soon(self, call: Callable[[], None]) -> None:
        """Call it when other connections had their turn."""
        self._deadlines.soon(call)

    def set_deadline(self, seconds: float | None) -> None:
        self.deadline = NEVER if seconds is None else self._deadlines.after(seconds)

    def extend_deadline(self, seconds: float, *, at_most: float) -> None:
        """Give the peer this much more time, but not more than ``at_most`` from now."""
        self.deadline = min(self.deadline + seconds, self._deadlines.after(at_most))

    def write(self, plaintext: bytes) -> None:
        if self._closing or self._transport is None:
            return
        try:
            ciphertext = self._session.seal(plaintext)
        except TlsFailure:
            self.abort()
            return
        self._transport.write(ciphertext)

    def write_last(self, plaintext: bytes, *, linger: bool = False) -> None:
        """Write and close: one segment for the answer and our close_notify. ``linger`` as in `close`."""
        if self._closing or self._transport is None:
            return
        try:
            self._session.send(plaintext)
        except TlsFailure:
            self.abort()
            return
        self.close(linger=linger)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def close(self, *, linger: bool = False) -> None:
        """Say close_notify after what was written, then close.

        ``linger``: the peer may still be sending. Closing on unread bytes would reset the connection and take
        our answer with it, so they are read and thrown away for a moment (RFC 9112 §9.6).
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._session.close()
        self._flush()
        if linger and self._transport.can_write_eof():
            self._transport.resume_reading()
            self._transport.write_eof()
            self.deadline = self._deadlines.after(LINGER_SECONDS)
            return
        self._transport.close()
        # A peer that reads nothing would keep the socket for ever.
        self.deadline = self._deadlines.after(self._handshake_timeout_seconds)

    def close_after_next(self) -> None:
        """The worker drains: one request more on this connection, which may be on its way."""
        if self._speaker is not None:
            self._speaker.end_soon()

    def close_when_idle(self) -> None:
        """The worker drains: no further request on this connection."""
        if self._speaker is not None:
            self._speaker.drain()
        else:
            self.abort()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's class is no subclass of asyncio's
        self._transport.set_write_buffer_limits(_WRITE_HIGH_WATER, _WRITE_LOW_WATER)  # type: ignore[union-attr]  # as above
        self._connections.add(self)
        self._deadlines.watch(self)
        self.deadline = self._deadlines.after(self._handshake_timeout_seconds)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        session, speaker = self._session, self._speaker
        try:
            plaintext = session.feed(data)
        except TlsFailure as failure:
            self._failed(failure)
            return
        if speaker is None:
            if not session.established:
                self._flush()
                return
            speaker = self._established()
            if plaintext:
                speaker.receive(plaintext)
            self._flush()  # what the handshake left to say, unless an answer took it along
        elif plaintext:
            speaker.receive(plaintext)
        if session.overhead > OVERHEAD_BYTES:
            self._flush_overhead()
        if session.peer_closed and not self._closing:
            speaker.drain()  # it says nothing more, and may still wait for an answer (RFC 8446 §6.1)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._session.established and not self._closing:
            self._report.handshake(self._session.server_name, "disconnected", 0.0)
        self._closing = True
        self._connections.discard(self)
        self._deadlines.forget(self)
        self._visit.left()
        if self._role:
            self._report.connection_closed(self._role)
        speaker, self._speaker, self._transport = self._speaker, None, None
        # Without these two nothing is in a circle: the session's memory is free now, and not when the garbage
        # collector comes, which it seldom does.
        if speaker is not None:
            speaker.closed()
        self._session.free()

    def pause_writing(self) -> None:
        if self._speaker is not None:
            self._speaker.pause_writing()

    def resume_writing(self) -> None:
        if self._speaker is not None:
            self._speaker.resume_writing()

    def deadline_passed(self) -> None:
        if self._closing:
            self.abort()
        elif self._speaker is not None:
            self._speaker.deadline_passed()
        else:
            self._report.handshake(self._session.server_name, "timeout", 0.0)
            self.abort()

    def _established(self) -> Speaker:
        name = self.server_name
        self._report.handshake(name, "ok", perf_counter() - self._visit.began)
        self._visit.established()
        self._role = self._report.connection_opened(name)
        self.deadline = NEVER
        speaker = self._speaker = self._make_speaker(self)
        return speaker

    def _failed(self, failure: TlsFailure) -> None:
        if not self._session.established:
            self._report.handshake(self._session.server_name, failure.kind, 0.0)
        self._flush()
        self._closing = True
        assert self._transport is not None
        self._transport.close()
        self.deadline = self._deadlines.after(self._handshake_timeout_seconds)

    def _flush_overhead(self) -> None:
        """Write what OpenSSL answers by itself; who asks for more and more of it has to read it, too."""
        self._session.overhead = 0
        self._flush()
        if self._transport is not None and self._transport.get_write_buffer_size() > _WRITE_BOUND:
            self.abort()

    def _flush(self) -> None:
        output = self._session.take_output()
        if output and self._transport is not None:
            self._transport.write(output)
