"""Who may connect, and whose handshake comes next.

A TLS handshake is the dearest thing that a stranger can ask for, so everything here is decided before any of
it is paid for. Connections are counted, in all and by client address, and past a bound closed at once;
handshakes begin in slices, between which everybody else is served.

Established connections are never shed. What makes room for a new handshake, when all places are taken, is
the one whose peer has kept us waiting for longest.

A client address is an IPv4 address or an IPv6 /64 (one customer has at least that much, RFC 6177). Addresses
of trusted proxies are not counted: many people are behind each. All tables hold open connections only, so
they are bounded by the bound on those.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

from gateway.model.settings import Limits
from gateway.server.deadlines import Deadlines

# The time that new handshakes may take of one turn of the event loop.
SLICE_SECONDS: Final = 0.005
# A handshake whose peer has kept us waiting for this long makes room for others. The slowest of ways, over a
# satellite, has a round trip of about 0.7 s.
PATIENCE_SECONDS: Final = 2.0
# How long one turn of the event loop may last, twice in a row, before new connections are shed.
LAG_SECONDS: Final = 0.3
_LAG_TICK_SECONDS: Final = 0.5

ShedSeen = Callable[[str, str], None]


class Guest(Protocol):
    """One connection (`gateway.server.visit`) until its handshake is finished."""

    def take_turn(self) -> None:
        """Begin the handshake."""
        ...

    def turn_away(self, reason: str) -> None: ...

    def abort(self) -> None: ...


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
        self._handshakes: set[Guest] = set()
        # Those of them in which it is the peer's turn, and since when, the oldest first.
        self._awaited: dict[Guest, float] = {}
        self._handshakes_by_address: dict[int, int] = {}
        # By client, the next one first: who sends many waits behind itself, not before others.
        self._turns: dict[int | None, deque[Guest]] = {}
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
        for guest in list(self._handshakes):
            guest.abort()

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

    def enter(self, guest: Guest) -> str | None:
        """Count a new connection; a reason if there is no place for it, and nothing is counted."""
        if self.overloaded:
            return "lag"
        if self._connections >= min(self.limits.max_connections, self._capacity):
            return "connections"
        if len(self._handshakes) >= self.limits.max_handshakes and not self._make_room():
            return "handshakes"
        self._connections += 1
        self._handshakes.add(guest)
        self._awaited[guest] = self._loop.time()
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

    def finish_handshake(self, guest: Guest, group: int | None) -> None:
        if guest in self._handshakes:
            self._handshakes.discard(guest)
            self._awaited.pop(guest, None)
            if group is not None:
                _take_away(self._handshakes_by_address, group)

    def leave(self, guest: Guest, group: int | None) -> None:
        """Forget a connection that `enter` counted."""
        self.finish_handshake(guest, group)
        self._connections -= 1
        if group is not None:
            _take_away(self._by_address, group)

    def report_shed(self, reason: str, address: str) -> None:
        self._shed(reason, address)

    def turn(self, guest: Guest, group: int | None) -> bool:
        """Let ``guest`` take its turn: at once, or (False) in a later slice where this one is used up."""
        if not self._slice_begun:
            self._slice_begun = True
            self._loop.call_soon(self._next_slice)
        if self._turns or self._slice_spent >= SLICE_SECONDS:
            self._turns.setdefault(group, deque()).append(guest)
            self._awaited.pop(guest, None)
            return False
        self._take_turn(guest)
        return True

    def _take_turn(self, guest: Guest) -> None:
        began = perf_counter()
        self._awaited.pop(guest, None)
        if guest in self._handshakes:
            self._awaited[guest] = self._loop.time()
        guest.take_turn()
        self._slice_spent += perf_counter() - began

    def _next_slice(self) -> None:
        self._slice_spent = 0.0
        self._slice_begun = False
        try:
            while self._turns and self._slice_spent < SLICE_SECONDS:
                self._take_turn(self._next_guest())
        finally:
            if self._turns:
                self._slice_begun = True
                self._loop.call_soon(self._next_slice)

    def _next_guest(self) -> Guest:
        group, waiting = next(iter(self._turns.items()))
        guest = waiting.popleft()
        del self._turns[group]
        if waiting:
            self._turns[group] = waiting
        return guest

    def _make_room(self) -> bool:
        """Send away whoever has been awaited for longest; False where nobody has been for long."""
        for guest, since in self._awaited.items():
            if since < self._loop.time() - PATIENCE_SECONDS:
                del self._awaited[guest]  # it leaves a turn later, and makes room for one only
                guest.turn_away("handshakes")
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


def _add(counts: dict[int, int], group: int) -> None:
    counts[group] = counts.get(group, 0) + 1


def _take_away(counts: dict[int, int], group: int) -> None:
    left = counts[group] - 1
    if left:
        counts[group] = left
    else:
        del counts[group]
