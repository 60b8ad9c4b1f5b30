"""One-use keys that count for all gateways of a fleet: in shared memory first, then in PostgreSQL.

    local    the table that all workers of this gateway share: a second use on the same machine is refused
             here, and never asks the store
    store    a row for each key; whoever inserts it was the first. What comes in while one statement runs
             goes together in the next

Each claim has a number of its own, which stands in its row. A claim whose answer was lost is made again with
the same number, and knows its own row again: it is not taken for a second use.

What happens where the store cannot be asked in time is the organization's choice (``fleet.without_store``):

``local``   the sign-on goes on with what this gateway itself knows. What was claimed meanwhile is written as
            soon as the store is back, before the line counts as up, and is refused everywhere from then on.
            A key that was used at two gateways that could not ask is found then, and reported.
``refuse``  the sign-on is refused. The key was not used and can be claimed again: the memory of this gateway
            lets go of it, and a row that may have come to be all the same is taken back.

An entry that is yet to be written says so in the table (``U``, 7 bytes claim, 16 bytes key in the store), so
that no end of a worker loses it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from gateway.adapters.fleet_line import Connection, FleetLine
from gateway.adapters.shared_memories import SharedOneUseKeys
from gateway.adapters.shared_table import Entry
from gateway.model.one_use import OneUseKeysFull, OneUseKeysUnreachable

STORE_KEY_BYTES: Final = 16
_CLAIM_BYTES: Final = 7
_UNWRITTEN: Final = b"U"
_BATCH: Final = 500
# Buckets of the table that are looked through before others have their turn: a millisecond.
_BUCKETS_AT_ONCE: Final = 64
# More claims than this within one outage are known on this machine only.
MAX_LEFT_OVER: Final = 250_000

# ORDER BY: two statements that insert the same keys wait for one another, and never both.
_CLAIM: Final = """\
INSERT INTO one_use (key, until, claim)
SELECT * FROM unnest(%s::bytea[], %s::timestamptz[], %s::bigint[]) AS claims (key, until, claim) ORDER BY key
ON CONFLICT (key) DO UPDATE SET until = excluded.until, claim = excluded.claim
WHERE one_use.until < %s OR one_use.claim = excluded.claim
RETURNING key"""
_TAKE_BACK: Final = """\
DELETE FROM one_use USING unnest(%s::bytea[], %s::bigint[]) AS claims (key, claim)
WHERE one_use.key = claims.key AND one_use.claim = claims.claim"""

Count = Callable[[str, str], None]


def store_key(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:STORE_KEY_BYTES]


@dataclass(frozen=True, slots=True)
class Claim:
    key: bytes
    until: datetime
    number: int

    def __repr__(self) -> str:
        return f"Claim({self.key.hex()})"


def _future() -> "asyncio.Future[bool | None]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class _Waiting:
    """``is_first`` None: the store did not say."""

    claim: Claim
    is_first: "asyncio.Future[bool | None]" = field(default_factory=_future)


class ClaimDesk:
    """Claims on their way to the store. ``twice`` is told how many of those that were let through without
    the store had been used elsewhere, too."""

    def __init__(self, line: FleetLine, twice: Callable[[int], None]) -> None:
        self._line = line
        self._twice = twice
        self._waiting: dict[bytes, _Waiting] = {}
        self._left_over: dict[int, Claim] = {}
        self._taken_back: dict[int, Claim] = {}

    @property
    def is_open(self) -> bool:
        return self._line.is_up

    async def claim(self, claim: Claim) -> bool | None:
        """None where the store did not say in time."""
        waiting = self._waiting.setdefault(claim.key, _Waiting(claim))
        if waiting.claim is not claim:
            return False
        self._line.call()
        try:
            async with asyncio.timeout(self._line.deadline_seconds):
                return await waiting.is_first
        except TimeoutError:
            self._waiting.pop(claim.key, None)
            self._line.give_up("the store does not answer in time")
            return None

    def write_later(self, claim: Claim) -> None:
        if len(self._left_over) < MAX_LEFT_OVER:
            self._left_over[claim.number] = claim

    def take_back_later(self, claim: Claim) -> None:
        if len(self._taken_back) < MAX_LEFT_OVER:
            self._taken_back[claim.number] = claim

    # A `Desk`.

    @property
    def is_asked(self) -> bool:
        return bool(self._waiting)

    async def perform(self, connection: Connection) -> None:
        batch = list(islice(self._waiting.values(), _BATCH))
        first = await _insert(connection, [each.claim for each in batch])
        for each in batch:
            if self._waiting.get(each.claim.key) is each:
                del self._waiting[each.claim.key]
            if not each.is_first.done():
                each.is_first.set_result(each.claim.key in first)

    async def restore(self, connection: Connection) -> None:
        """First a key of nobody: a store that takes none is not back, whatever it says."""
        trial = Claim(secrets.token_bytes(STORE_KEY_BYTES), datetime.now(UTC), new_claim_number())
        async with asyncio.timeout(self._line.deadline_seconds):
            await _insert(connection, [trial])
        while batch := list(islice(self._taken_back.values(), _BATCH)):
            await connection.execute(
                _TAKE_BACK, ([each.key for each in batch], [each.number for each in batch])
            )
            _forget(self._taken_back, batch)
        while batch := list(islice(self._left_over.values(), _BATCH)):
            first = await _insert(connection, batch)
            _forget(self._left_over, batch)
            if twice := sum(each.key not in first for each in batch):
                self._twice(twice)

    def hang_up(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            if not each.is_first.done():
                each.is_first.set_result(None)


async def _insert(connection: Connection, claims: Sequence[Claim]) -> set[bytes]:
    """Keys of those that were the first."""
    cursor = await connection.execute(
        _CLAIM,
        (
            [each.key for each in claims],
            [each.until for each in claims],
            [each.number for each in claims],
            datetime.now(UTC),
        ),
    )
    return {row[0] for row in await cursor.fetchall()}


def _forget(held: dict[int, Claim], done: Sequence[Claim]) -> None:
    for each in done:
        held.pop(each.number, None)


def new_claim_number() -> int:
    return int.from_bytes(secrets.token_bytes(_CLAIM_BYTES))


class FleetOneUseKeys:
    """`gateway.services.ports.OneUseKeys`. ``count`` is told (where, result) of each claim."""

    def __init__(self, local: SharedOneUseKeys, desk: ClaimDesk, count: Count, *, refuses: bool) -> None:
        self._local = local
        self._desk = desk
        self._count = count
        self._refuses = refuses

    async def is_claimed(self, key: str, now: datetime) -> bool:
        """As far as this gateway knows: the claim that follows asks all."""
        return await self._local.is_claimed(key, now)

    async def claim(self, key: str, until: datetime, now: datetime) -> bool:
        """Raises OneUseKeysFull and OneUseKeysUnreachable."""
        if not await self._local.claim(key, until, now):
            self._count("local", "used")
            return False
        claim = Claim(store_key(key), until, new_claim_number())
        asked = self._desk.is_open
        is_first = await self._desk.claim(claim) if asked else None
        if is_first is None:
            await self._without_store(key, claim, asked=asked)
            return True
        self._count("store", "first" if is_first else "used")
        return is_first

    async def _without_store(self, key: str, claim: Claim, *, asked: bool) -> None:
        """Raises OneUseKeysUnreachable where that is the organization's choice."""
        if self._refuses:
            self._count("local", "refused")
            if asked:
                self._desk.take_back_later(claim)
            await self._local.release(key)
            raise OneUseKeysUnreachable("the store cannot be asked whether it was used elsewhere")
        self._count("local", "first")
        self._desk.write_later(claim)
        await self._local.note(key, claim.until, _note(claim))

    async def find_unwritten(self) -> None:
        """What other workers that have ended left unwritten: from the table, a bit at a time. What another
        process holds on to for seconds is passed over."""
        for first in range(0, self._local.buckets, _BUCKETS_AT_ONCE):
            with suppress(OneUseKeysFull):
                some = range(first, first + _BUCKETS_AT_ONCE)
                for claim in _unwritten(await self._local.entries(some, datetime.now(UTC))):
                    self._desk.write_later(claim)
            await asyncio.sleep(0)


def _note(claim: Claim) -> bytes:
    return _UNWRITTEN + claim.number.to_bytes(_CLAIM_BYTES) + claim.key


def _unwritten(entries: Sequence[Entry]) -> Iterator[Claim]:
    for _, until_ms, value in entries:
        if value.startswith(_UNWRITTEN):
            number = int.from_bytes(value[1 : 1 + _CLAIM_BYTES])
            yield Claim(value[1 + _CLAIM_BYTES :], datetime.fromtimestamp(until_ms / 1_000, UTC), number)
