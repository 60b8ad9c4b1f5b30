"""Who may connect, and whose handshake comes next.

A TLS handshake is the dearest thing that a stranger can ask for, so everything here is decided before any of
it is paid for. Each accepted connection begins with a `Visit`, which costs next to nothing:

    entered     counted, in all and by client address; past a bound it is closed at once
    gathering   its first TLS record (and, before it, a PROXY header, where the listener wants one)
    waiting     for its turn: handshakes begin in slices, between which everybody else is served
    handed over the transport has its `Channel`; the visit goes on counting until the connection is gone

Established connections are never shed. What makes room for a new handshake, when all places are taken, is
the one whose peer has kept us waiting for longest.

A client address is an IPv4 address or an IPv6 /64 (one customer has at least that much, RFC 6177). Addresses
of trusted proxies are not counted: many people are behind each. All tables hold open connections only, so
they are bounded by the bound on those.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final

from gateway.model.settings import Limits
from gateway.proxy.addresses import Network, address_group, is_within, peer_address
from gateway.proxy.proxy_protocol import ProxyHeaderReader, ProxyHeaderRefused
from gateway.server.channel import Channel, HandshakeReport
from gateway.server.deadlines import NEVER, Deadlines

# The time that new handshakes may take of one turn of the event loop.
SLICE_SECONDS: Final = 0.005
# A handshake whose peer has kept us waiting for this long makes room for others. The slowest of ways, over a
# satellite, has a round trip of about 0.7 s.
PATIENCE_SECONDS: Final = 2.0
# How long one turn of the event loop may last, twice in a row, before new connections are shed.
LAG_SECONDS: Final = 0.3
_LAG_TICK_SECONDS: Final = 0.5

_HANDSHAKE_RECORD: Final = 22
_RECORD_HEADER_BYTES: Final = 5
_MAX_RECORD_BYTES: Final = _RECORD_HEADER_BYTES + 16_384
# close() then sends RST: the peer knows at once, and nothing stays behind here (socket(7), SO_LINGER).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

MakeChannel = Callable[["Visit"], Channel]
ShedSeen = Callable[[str, str], None]
ProxiesNow = Callable[[], tuple[Network, ...]]


class Admission:
    """The counts of one worker. ``shed(reason, address)`` is told of every connection that is sent away.

    ``capacity`` is how many connections the descriptors of this process allow.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        limits: Limits,
        shed: ShedSeen,
        *,
        capacity: int,
    ) -> None:
        self.deadlines = deadlines
        self.limits = limits
        self._loop = loop
        self._shed = shed
        self._capacity = capacity
        self._connections = 0
        self._by_address: dict[int, int] = {}
        self._handshakes: set[Visit] = set()
        # Those of them in which it is the peer's turn, and since when, the oldest first.
        self._awaited: dict[Visit, float] = {}
        self._handshakes_by_address: dict[int, int] = {}
        self._turns: deque[Visit] = deque()
        self._slice_spent = 0.0
        self._slice_begun = False
        self._long_turns = 0
        self._ticker: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look now and then how long a turn of the event loop lasts."""
        self._ticker = self._loop.call_later(_LAG_TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """Send away whoever has not finished a handshake, and watch no more."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for visit in list(self._handshakes):
            visit.abort()

    @property
    def connections(self) -> int:
        return self._connections

    @property
    def handshakes(self) -> int:
        """Connections whose handshake is not finished."""
        return len(self._handshakes)

    @property
    def addresses(self) -> int:
        """Client addresses that are remembered."""
        return len(self._by_address)

    @property
    def overloaded(self) -> bool:
        return self._long_turns > 1

    def enter(self, visit: "Visit") -> str | None:
        """Count a new connection; a reason if there is no place for it, and nothing is counted."""
        if self.overloaded:
            return "lag"
        if self._connections >= min(self.limits.max_connections, self._capacity):
            return "connections"
        if len(self._handshakes) >= self.limits.max_handshakes and not self._make_room():
            return "handshakes"
        self._connections += 1
        self._handshakes.add(visit)
        self._awaited[visit] = self._loop.time()
        return None

    def enter_address(self, group: int) -> str | None:
        """Count a connection under its client's address, as `enter` does."""
        if self._by_address.get(group, 0) >= self.limits.max_connections_per_address:
            return "connections_per_address"
        if self._handshakes_by_address.get(group, 0) >= self.limits.max_handshakes_per_address:
            return "handshakes_per_address"
        _add(self._by_address, group)
        _add(self._handshakes_by_address, group)
        return None

    def finish_handshake(self, visit: "Visit", group: int | None) -> None:
        if visit in self._handshakes:
            self._handshakes.discard(visit)
            self._awaited.pop(visit, None)
            if group is not None:
                _take_away(self._handshakes_by_address, group)

    def leave(self, visit: "Visit", group: int | None) -> None:
        """Forget a connection that `enter` counted."""
        self.finish_handshake(visit, group)
        self._connections -= 1
        if group is not None:
            _take_away(self._by_address, group)

    def report_shed(self, reason: str, address: str) -> None:
        self._shed(reason, address)

    def turn(self, visit: "Visit") -> bool:
        """Let ``visit`` take its turn: at once, or (False) in a later slice where this one is used up."""
        if not self._slice_begun:
            self._slice_begun = True
            self._loop.call_soon(self._next_slice)
        if self._turns or self._slice_spent >= SLICE_SECONDS:
            self._turns.append(visit)
            self._awaited.pop(visit, None)
            return False
        self._take_turn(visit)
        return True

    def _take_turn(self, visit: "Visit") -> None:
        began = perf_counter()
        self._awaited.pop(visit, None)
        if visit in self._handshakes:
            self._awaited[visit] = self._loop.time()
        visit.take_turn()
        self._slice_spent += perf_counter() - began

    def _next_slice(self) -> None:
        self._slice_spent = 0.0
        self._slice_begun = False
        try:
            while self._turns and self._slice_spent < SLICE_SECONDS:
                self._take_turn(self._turns.popleft())
        finally:
            if self._turns:
                self._slice_begun = True
                self._loop.call_soon(self._next_slice)

    def _make_room(self) -> bool:
        """Send away whoever has been awaited for longest; False where nobody has been for long."""
        for visit, since in self._awaited.items():
            if since < self._loop.time() - PATIENCE_SECONDS:
                visit.turn_away("handshakes")
                return True
            break
        return False

    def _tick(self) -> None:
        # Timers run before what is soon: only from one of those to the next is it a whole turn.
        self._loop.call_soon(lambda: self._loop.call_soon(self._measure, perf_counter()))

    def _measure(self, began: float) -> None:
        self._long_turns = self._long_turns + 1 if perf_counter() - began > LAG_SECONDS else 0
        if self._ticker is not None:
            self._ticker = self._loop.call_later(_LAG_TICK_SECONDS, self._tick)


class Visit(asyncio.Protocol):
    """See the module's docstring. The transport's protocol until the `Channel` is."""

    __slots__ = (
        "_admission",
        "_channel",
        "_early",
        "_entered",
        "_group",
        "_make_channel",
        "_over",
        "_proxy_header",
        "_report",
        "_transport",
        "_trusted_proxies",
        "_waits",
        "began",
        "client_host",
        "deadline",
    )

    def __init__(
        self,
        admission: Admission,
        make_channel: MakeChannel,
        report: HandshakeReport,
        trusted_proxies: ProxiesNow,
        *,
        proxy_protocol: bool,
    ) -> None:
        self._admission = admission
        self._make_channel = make_channel
        self._report = report
        self._trusted_proxies = trusted_proxies
        self._proxy_header = ProxyHeaderReader() if proxy_protocol else None
        self._transport: asyncio.Transport | None = None
        self._channel: Channel | None = None
        self._early = b""
        self._entered = False
        self._group: int | None = None
        self._over = False
        self._waits = False
        self.began = 0.0
        self.client_host = ""
        self.deadline = NEVER

    # For the channel.

    def established(self) -> None:
        """The handshake is done."""
        self._channel = None
        self._admission.finish_handshake(self, self._group)

    def left(self) -> None:
        """The connection is gone."""
        self._channel = None
        if self._entered:
            self._entered = False
            self._admission.leave(self, self._group)

    # For the admission.

    def turn_away(self, reason: str) -> None:
        """Close by a reset. Only before the handshake is finished."""
        self._admission.report_shed(reason, self.client_host)
        assert self._transport is not None
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """Give up a connection whose handshake is not finished."""
        if self._channel is not None:
            self._channel.abort()
        elif not self._over and self._transport is not None:
            self._end()
            self._transport.abort()

    def take_turn(self) -> None:
        """Hand the transport over to a channel, with what was received."""
        transport = self._transport
        if self._over or transport is None:
            return
        self._over = True
        self._admission.deadlines.forget(self)
        early, self._early = self._early, b""
        channel = self._channel = self._make_channel(self)
        transport.set_protocol(channel)
        channel.connection_made(transport)
        channel.deadline = self.deadline
        if self._waits:
            transport.resume_reading()
        channel.data_received(early)

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's class is no subclass of asyncio's
        self.began = perf_counter()
        deadlines = self._admission.deadlines
        peer = transport.get_extra_info("peername")
        if peer is None:  # it has gone already, and later the socket would not tell either
            self._report.handshake(None, "disconnected", 0.0)
            self.abort()
            return
        self.client_host = str(peer[0])
        reason = self._admission.enter(self)
        if reason is None:
            self._entered = True
            reason = self._enter_address()
        if reason is not None:
            self.turn_away(reason)
            return
        self.deadline = deadlines.after(self._admission.limits.handshake_timeout_seconds)
        deadlines.watch(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._proxy_header is not None:
            rest = self._read_proxy_header(data)
            if not rest:
                return
            data = rest
        self._early = self._early + data if self._early else data
        if not self._waits and _first_record_is_whole(self._early) and not self._admission.turn(self):
            assert self._transport is not None
            self._waits = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._report.handshake(None, "disconnected", 0.0)
            self._end()

    def deadline_passed(self) -> None:
        self._report.handshake(None, "timeout", 0.0)
        self.abort()

    # Inside.

    def _enter_address(self) -> str | None:
        """Count this connection under its client, once that is known. A listener that wants PROXY headers
        takes connections from trusted proxies only: anybody else could name any client."""
        proxies = self._trusted_proxies()
        address = peer_address(self.client_host)
        if proxies and is_within(address, proxies):
            return None
        if self._proxy_header is not None:
            return "proxy_protocol"
        group = address_group(address)
        reason = self._admission.enter_address(group)
        if reason is None:
            self._group = group
        return reason

    def _read_proxy_header(self, data: bytes) -> bytes:
        """What follows the header, once it is whole; nothing while it is not, or is refused."""
        assert self._proxy_header is not None
        try:
            rest = self._proxy_header.feed(data)
        except ProxyHeaderRefused:
            self.turn_away("proxy_protocol")
            return b""
        if rest is None:
            return b""
        source, self._proxy_header = self._proxy_header.source, None
        if source is not None:
            self.client_host = str(source)
            reason = self._enter_address()
            if reason is not None:
                self.turn_away(reason)
                return b""
        return rest

    def _end(self) -> None:
        self._over = True
        self._early = b""
        self._admission.deadlines.forget(self)
        self.left()


def _first_record_is_whole(received: bytes) -> bool:
    """True also where it is no handshake record at all: the session refuses that at once."""
    if received[0] != _HANDSHAKE_RECORD:
        return True
    if len(received) < _RECORD_HEADER_BYTES:
        return False
    needed = _RECORD_HEADER_BYTES + int.from_bytes(received[3:5])
    return len(received) >= min(needed, _MAX_RECORD_BYTES)


def _add(counts: dict[int, int], group: int) -> None:
    counts[group] = counts.get(group, 0) + 1


def _take_away(counts: dict[int, int], group: int) -> None:
    left = counts[group] - 1
    if left:
        counts[group] = left
    else:
        del counts[group]
