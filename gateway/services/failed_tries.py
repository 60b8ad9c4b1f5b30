"""Who fails again and again is told to wait, and makes no more noise in the log meanwhile."""

from threading import Lock
from typing import Final

from gateway.services.recent import Recent

MAX_FAILED: Final = 10
# Of a computer that many people use: one of them alone keeps nobody else from it.
MAX_FAILED_OF_COMPUTER: Final = 100
WITHIN_SECONDS: Final = 600.0
# A generation lasts as long as failures count.
_KEPT: Final = 30_000


class FailedTries:
    """Of each key, the failures of the last minutes. In the memory of one process: it is no limit of the
    fleet, but keeps one who fails from filling the log. Any thread may ask."""

    def __init__(self, most: int = MAX_FAILED, seconds: float = WITHIN_SECONDS, kept: int = _KEPT) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = Lock()
        self._failed: Recent[str, tuple[float, ...]] = Recent(kept, seconds)

    def too_many(self, key: str, now_seconds: float) -> bool:
        with self._lock:
            return len(self._lately(key, now_seconds)) >= self._most

    def add(self, key: str, now_seconds: float) -> None:
        with self._lock:
            lately = self._lately(key, now_seconds)
            self._failed.put(key, (*lately[1 - self._most :], now_seconds), now_seconds)

    def _lately(self, key: str, now_seconds: float) -> tuple[float, ...]:
        found = self._failed.get(key, now_seconds) or ()
        return tuple(at for at in found if now_seconds - self._seconds < at <= now_seconds)
