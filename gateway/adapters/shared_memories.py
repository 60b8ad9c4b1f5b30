"""What the workers of one gateway remember together: used keys, seen requests, and challenges that came by.

The same as `gateway.adapters.memory` has for one process, each on a `SharedTable` of its own.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from gateway.adapters.memory import MAX_ONE_USE_KEYS, MAX_SEEN_REQUESTS, SEEN_REQUEST_LIFETIME
from gateway.adapters.shared_table import VALUE_BYTES, Entry, SharedTable, TableBusy
from gateway.model.challenge_stage import ChallengeStage
from gateway.model.one_use import OneUseKeysFull

# A mark has to outlive the flow that it belongs to, which lives for five minutes.
MARK_LIFETIME: Final = timedelta(minutes=10)
_MAX_MARKS: Final = 100_000
# Another worker that lost its processor while it held a bucket has it back by then, on the busiest machine.
_PATIENCE_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.001
# 0 would mark a free entry.
_LONG_AGO_SECONDS: Final = 0.001

T = TypeVar("T")


async def _patiently(ask: Callable[[], T]) -> T:
    """Ask a table, and again while another process holds the bucket, with the loop free in between. Raises
    what it raises at last."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except TableBusy:
            if loop.time() > ends:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


class SharedOneUseKeys:
    """Keys that may be claimed once, by whichever worker. A claim takes some ten microseconds."""

    def __init__(self, table: SharedTable) -> None:
        self._table = table

    @property
    def buckets(self) -> int:
        return self._table.buckets

    async def entries(self, buckets: range, now: datetime) -> list[Entry]:
        """What counts in some of the buckets. Raises OneUseKeysFull where they cannot be had in time."""
        return await _patiently(lambda: list(self._table.entries(now.timestamp(), buckets)))

    async def is_claimed(self, key: str, now: datetime) -> bool:
        try:
            return await _patiently(lambda: self._table.get(_bytes(key), now.timestamp())) is not None
        except OneUseKeysFull:  # not to be had in time; the claim that follows decides
            return False

    async def claim(self, key: str, until: datetime, now: datetime) -> bool:
        """True for the first claim of a key by any worker; False for every other one up to and including
        ``until``. Raises OneUseKeysFull."""
        digest = _bytes(key)
        return await _patiently(lambda: self._table.claim(digest, until.timestamp(), now.timestamp()))

    async def note(self, key: str, until: datetime, value: bytes) -> None:
        """Lay a value beside a key that was claimed. Where the table is too busy, nothing is noted."""
        digest = _bytes(key)
        with contextlib.suppress(OneUseKeysFull):
            await _patiently(lambda: self._table.put(digest, until.timestamp(), value))

    async def release(self, key: str) -> None:
        """A key that was claimed and not used: it may be claimed again. Where the table is too busy, it may
        not."""
        digest = _bytes(key)
        with contextlib.suppress(OneUseKeysFull):
            await _patiently(lambda: self._table.put(digest, _LONG_AGO_SECONDS, b""))


class SharedSeenRequests:
    """IDs of AuthnRequests that left an app through any worker.

    When there is no room, the oldest is forgotten: an unknown ID counts as unsolicited, so forgetting can
    refuse a sign-on and never lets one in.
    """

    def __init__(self, table: SharedTable, lifetime: timedelta = SEEN_REQUEST_LIFETIME) -> None:
        self._table = table
        self._lifetime_seconds = lifetime.total_seconds()

    def remember(self, app: str, request_id: str, now: datetime) -> None:
        key, value, seconds = _bytes(request_id), _name_digest(app), now.timestamp()
        try:
            held = self._table.get(key, seconds)
            if held is None or held == value:
                self._table.put(key, seconds + self._lifetime_seconds, value)
        except OneUseKeysFull:  # the bucket was held for too long: forgotten at once
            return

    async def is_from(self, app: str, request_id: str, now: datetime) -> bool | None:
        try:
            held = self._table.get(_bytes(request_id), now.timestamp())
        except OneUseKeysFull:
            return None
        return None if held is None else held == _name_digest(app)


class SharedChallengeMarks:
    """How far a challenge came that another worker began."""

    def __init__(self, table: SharedTable) -> None:
        self._table = table

    def begun(self, flow_id: str) -> None:
        """Among the workers of one gateway, nobody asks."""

    def mark(self, flow_id: str, stage: ChallengeStage) -> None:
        try:
            self._table.put(
                _bytes(flow_id), time.time() + MARK_LIFETIME.total_seconds(), stage.encode("ascii")
            )
        except OneUseKeysFull:  # counted as one that never came back; sign-ons do not depend on it
            return

    def stage_of(self, flow_id: str) -> ChallengeStage | None:
        try:
            value = self._table.get(_bytes(flow_id), time.time())
        except OneUseKeysFull:
            return None
        return None if value is None else ChallengeStage(value.rstrip(b"\0").decode("ascii"))


def create_one_use_table(hash_key: bytes | None = None) -> SharedTable:
    """26 MB. Raises OSError."""
    return SharedTable.create("one-use keys", MAX_ONE_USE_KEYS, hash_key)


def create_seen_requests_table() -> SharedTable:
    """11 MB. Raises OSError."""
    return SharedTable.create("seen requests", MAX_SEEN_REQUESTS)


def create_marks_table() -> SharedTable:
    """11 MB. Raises OSError."""
    return SharedTable.create("challenges", _MAX_MARKS)


def _bytes(text: str) -> bytes:
    # Lone surrogates have no UTF-8; they are kept apart instead of failing.
    return text.encode("utf-8", "surrogatepass")


def _name_digest(app: str) -> bytes:
    return hashlib.blake2b(_bytes(app), digest_size=VALUE_BYTES).digest()
