"""How long to wait before a process is started again that has ended."""

import time
from collections.abc import Callable
from typing import Final

# One that lived shorter than this failed at its start: the next attempt waits, each time longer.
STEADY_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 10.0


class StartPauses:
    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._started_at = seconds()
        self._failures = 0

    def started(self) -> None:
        self._started_at = self._seconds()

    def next_seconds(self) -> float:
        """0 after one that ran well until it ended."""
        if self._seconds() - self._started_at >= STEADY_SECONDS:
            self._failures = 0
        else:
            self._failures += 1
        if not self._failures:
            return 0.0
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 16), _LONGEST_PAUSE_SECONDS)
