"""Connections that rest on a device: with `enforcement: session`, those that carried a running session.

A request is checked when it comes. One that lasts, a download or a WebSocket, is remembered here, so that
it ends when its device loses trust or its session ends, and not when it pleases. A kept-alive connection
between two requests is closed, too, when its device loses trust.
"""

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Final

from gateway.model.device import TrustVerdict, VerifiedDevice
from gateway.pki.authority import TrustSnapshot
from gateway.pki.trust import recheck
from gateway.server.channel import Channel, Resting

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
    """``connections`` are all that are open. ``lost`` is told, at the end of a look that closed some, how
    many connections were closed because their device lost trust, and how many seconds after its begin."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Set[Channel],
        lost: Callable[[int, float], None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._lost = lost
        self._look: _Look | None = None
        self._left: list[Channel] = []
        self._next_step: asyncio.Handle | None = None

    def rests_on(self, channel: Channel, verdict: TrustVerdict, session_ends: datetime | None) -> None:
        """A request runs. ``verdict`` need not be a device: where the policy asks for none, the session ends
        all the same."""
        channel.resting = Resting(verdict, session_ends, runs=True)

    def served(self, channel: Channel) -> None:
        """The request on this connection is answered."""
        if channel.resting is not None:
            channel.resting.runs = False

    def close_untrusted(self, trust: TrustSnapshot, now: datetime) -> None:
        """Cut off every request whose session has ended or whose device is no longer trusted, and close the
        idle connections of such devices. Begins at once, and goes on in steps of `STEP_SECONDS`.

        While a look goes on, a new one takes over what it had not come to, first of all.
        """
        lost = 0 if self._look is None else self._look.lost
        self._look = _Look(trust, now, perf_counter(), {}, lost)
        left = set(self._left)
        others = [c for c in self._connections if c.resting is not None and c not in left]
        self._left = others + self._left
        if self._next_step is None:
            self._step()

    def _step(self) -> None:
        self._next_step = None
        look = self._look
        if look is None:
            return
        ends = perf_counter() + STEP_SECONDS
        while self._left:
            if perf_counter() >= ends:
                self._next_step = self._loop.call_soon(self._step)
                return
            self._look_at(self._left.pop(), look)
        self._look = None
        if look.lost:
            self._lost(look.lost, perf_counter() - look.began)

    def _look_at(self, channel: Channel, look: _Look) -> None:
        resting = channel.resting
        if resting is None or not channel.is_open:
            return
        if not _is_trusted(resting.verdict, look):
            look.lost += 1
        elif not resting.runs or resting.session_ends is None or resting.session_ends > look.now:
            return
        channel.resting = None
        if resting.runs:
            channel.abort()
        else:
            channel.close_when_idle()


def _is_trusted(verdict: TrustVerdict, look: _Look) -> bool:
    if not isinstance(verdict, VerifiedDevice):
        return True
    known = look.judged.get(verdict.certificate_thumbprint)
    if known is None:
        known = isinstance(recheck(verdict, look.trust, look.now), VerifiedDevice)
        look.judged[verdict.certificate_thumbprint] = known
    return known
