"""Clock, randomness, and what one worker remembers for minutes: used keys and seen requests.

Both memories are bounded. Keys and request IDs come from messages and may be long, so their SHA-256 is kept
instead: an entry costs the same whatever the sender wrote. Nothing is shared between processes.
"""

import hashlib
import heapq
import os
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.model.one_use import OneUseKeysFull

# 220 bytes each. Assertions live for some minutes: 800 sign-ons a second, for five of them.
MAX_ONE_USE_KEYS: Final = 250_000
# Expired keys that one claim forgets. More than one, so that a backlog shrinks; not all, because a burst of
# sign-ons expires as a burst, and a claim must not stop the event loop for it.
_FORGOTTEN_PER_CLAIM: Final = 16
# 250 bytes each.
MAX_SEEN_REQUESTS: Final = 100_000
# People stay on the identity provider's page while they look for their phone.
SEEN_REQUEST_LIFETIME: Final = timedelta(hours=1)


class SystemClock:
    """The operating system's wall clock. Whether it is right is not checked."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class SystemRandomness:
    """The operating system's generator (getrandom)."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


class MemoryOneUseKeys:
    """Keys that may be claimed once, in the memory of one process.

    A restart forgets them, and another process does not know them. A claim costs O(log n), a look-up O(1).
    """

    def __init__(self, limit: int = MAX_ONE_USE_KEYS) -> None:
        self._limit = limit
        self._until: dict[bytes, float] = {}
        self._by_expiry: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self._until)

    async def is_claimed(self, key: str, now: datetime) -> bool:
        return self._is_claimed(_digest(key), now.timestamp())

    async def claim(self, key: str, until: datetime, now: datetime) -> bool:
        """True for the first claim of a key; False for every other one up to and including ``until``.

        A refused claim changes nothing. Raises OneUseKeysFull: a key that is not remembered could be claimed
        twice, so none of those held makes room before its time.
        """
        digest, seconds = _digest(key), now.timestamp()
        self._forget_expired(seconds)
        if self._is_claimed(digest, seconds):
            return False
        if len(self._by_expiry) >= self._limit:
            raise OneUseKeysFull(f"{self._limit} keys are remembered, none of which has expired")
        self._until[digest] = until.timestamp()
        heapq.heappush(self._by_expiry, (until.timestamp(), digest))
        return True

    def _is_claimed(self, digest: bytes, seconds: float) -> bool:
        until = self._until.get(digest)
        return until is not None and seconds <= until

    def _forget_expired(self, seconds: float) -> None:
        for _ in range(_FORGOTTEN_PER_CLAIM):
            if not self._by_expiry or self._by_expiry[0][0] >= seconds:
                return
            until, digest = heapq.heappop(self._by_expiry)
            # A key that was claimed again after it had expired is here twice; the later one counts.
            if self._until.get(digest) == until:
                del self._until[digest]


class MemorySeenRequests:
    """IDs of AuthnRequests that left an app, in the memory of one process.

    When full, the oldest is forgotten: an unknown ID counts as unsolicited, so forgetting can refuse a
    sign-on and never lets one in. While an ID is remembered it stays with the app that used it first, since
    another app that repeats it must not take its answer away.
    """

    def __init__(self, limit: int = MAX_SEEN_REQUESTS, lifetime: timedelta = SEEN_REQUEST_LIFETIME) -> None:
        self._limit = limit
        self._lifetime_seconds = lifetime.total_seconds()
        self._seen: OrderedDict[bytes, tuple[str, float]] = OrderedDict()  # oldest first

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, app: str, request_id: str, now: datetime) -> None:
        digest, seconds = _digest(request_id), now.timestamp()
        if self._app_of(digest, seconds) not in (None, app):
            return
        self._seen[digest] = (app, seconds)
        self._seen.move_to_end(digest)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    async def is_from(self, app: str, request_id: str, now: datetime) -> bool | None:
        """True if the app sent the request within the lifetime of this memory, False if another one did, None
        if nobody is known to. Asking does not use it up."""
        known = self._app_of(_digest(request_id), now.timestamp())
        return None if known is None else known == app

    def _app_of(self, digest: bytes, seconds: float) -> str | None:
        app, seen_at = self._seen.get(digest, (None, 0.0))
        return app if seconds - seen_at <= self._lifetime_seconds else None


def _digest(text: str) -> bytes:
    # Lone surrogates have no UTF-8; they are kept apart instead of failing.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
