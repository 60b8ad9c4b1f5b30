"""One clock tick for all deadlines of a worker.

A timer per request costs more than the request's own Python; so whoever has a deadline keeps it as a
number, and once a second all of them are looked at. Deadlines are therefore up to a second late, never
early.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final, Protocol

NEVER: Final = math.inf
TICK_SECONDS: Final = 1.0


class Watched(Protocol):
    deadline: float  # in the loop's time; NEVER for none

    def deadline_passed(self) -> None:
        """Called at most once for each deadline: it is set to NEVER before."""
        ...


class Deadlines:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def watch(self, watched: Watched) -> None:
        self._watched.add(watched)

    def forget(self, watched: Watched) -> None:
        self._watched.discard(watched)

    def after(self, seconds: float) -> float:
        return self._loop.time() + seconds

    def soon(self, call: Callable[[], None]) -> None:
        """Call it when others had their turn."""
        self._loop.call_soon(call)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        now = self._loop.time()
        for watched in [w for w in self._watched if w.deadline <= now]:
            watched.deadline = NEVER
            watched.deadline_passed()
