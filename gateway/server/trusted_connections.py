"""Connections that rest on a device: with `enforcement: session`, those that carried a running session.

A request is checked when it comes. One that lasts, a download or a WebSocket, is remembered here, so that
it ends when its device loses trust or its session ends, and not when it pleases. A kept-alive connection
between two requests is closed, too, when its device loses trust.
"""

import asyncio
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final, TypeVar

from gateway.model.device import TrustVerdict, VerifiedDevice
from gateway.pki.authority import TrustSnapshot
from gateway.pki.trust import recheck
from gateway.server.exchange import Connection, Line

T = TypeVar("T")

# Looking at a device takes 5 microseconds, closing a connection 30. Between two steps the loop serves others.
STEP_SECONDS: Final = 0.002


@dataclass(slots=True)
class _Look:
    """One look at all connections."""

    trust: TrustSnapshot
    now: datetime
    began: float
    judged: dict[str, bool]  # by certificate: a device with several connections is judged once
    lost: int = 0


class TrustedConnections:
    """``connections`` are all that are open. ``lost`` is told, at the end of a look that cut off some, how
    many requests and idle connections that was for lost trust, and how many seconds after its begin."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Set[Connection],
        lost: Callable[[int, float], None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._lost = lost
        self._running: dict[Line, tuple[TrustVerdict, datetime | None]] = {}
        self._look: _Look | None = None
        self._lines_left: list[Line] = []
        self._idle_left: list[Connection] = []
        self._next_step: asyncio.Handle | None = None

    def rests_on(self, line: Line, verdict: TrustVerdict, session_ends: datetime | None) -> None:
        """A request runs. ``verdict`` need not be a device: where the policy asks for none, the session ends
        all the same."""
        self._running[line] = verdict, session_ends
        line.connection.rested_on = None

    def served(self, line: Line) -> None:
        """The request that ran is answered."""
        rested = self._running.pop(line, None)
        if rested is not None:
            line.connection.rested_on = rested[0]

    def close_untrusted(self, trust: TrustSnapshot, now: datetime) -> None:
        """Cut off every request whose session has ended or whose device is no longer trusted, and close the
        idle connections of such devices. Begins at once, and goes on in steps of `STEP_SECONDS`.

        While a look goes on, a new one takes over what it had not come to, first of all.
        """
        lost = 0 if self._look is None else self._look.lost
        self._look = _Look(trust, now, perf_counter(), {}, lost)
        self._lines_left = _last(self._running, self._lines_left)
        idle = [each for each in self._connections if each.rested_on is not None]
        self._idle_left = _last(idle, self._idle_left)
        if self._next_step is None:
            self._step()

    def _step(self) -> None:
        self._next_step = None
        look = self._look
        if look is None:
            return
        ends = perf_counter() + STEP_SECONDS
        while self._lines_left or self._idle_left:
            if perf_counter() >= ends:
                self._next_step = self._loop.call_soon(self._step)
                return
            if self._lines_left:
                self._look_at_running(self._lines_left.pop(), look)
            else:
                self._look_at_idle(self._idle_left.pop(), look)
        self._look = None
        if look.lost:
            self._lost(look.lost, perf_counter() - look.began)

    def _look_at_running(self, line: Line, look: _Look) -> None:
        resting = self._running.get(line)
        if resting is None:
            return
        verdict, session_ends = resting
        trusted = _is_trusted(verdict, look)
        if not trusted or (session_ends is not None and session_ends <= look.now):
            del self._running[line]
            look.lost += not trusted
            line.abort()

    def _look_at_idle(self, connection: Connection, look: _Look) -> None:
        verdict = connection.rested_on
        if verdict is not None and connection.is_open and not _is_trusted(verdict, look):
            connection.rested_on = None
            look.lost += 1
            connection.close_when_idle()


def _last(all_of_them: Iterable[T], left: list[T]) -> list[T]:
    """Each once, what was left at the end, which is taken first."""
    known = set(left)
    return [each for each in all_of_them if each not in known] + left


def _is_trusted(verdict: TrustVerdict, look: _Look) -> bool:
    if not isinstance(verdict, VerifiedDevice):
        return True
    known = look.judged.get(verdict.certificate_thumbprint)
    if known is None:
        known = isinstance(recheck(verdict, look.trust, look.now), VerifiedDevice)
        look.judged[verdict.certificate_thumbprint] = known
    return known
