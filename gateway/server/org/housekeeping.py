"""What the store need not hold any more: changes that every gateway has applied, keys that are over, and
events of the System Log that are older than it keeps them."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Never

from gateway.adapters.store import Work
from gateway.model.store_errors import StoreError
from gateway.server.org.call import StoreDoor
from gateway.services.log_retention import TRIM_ROWS, trim_log
from gateway.services.ports import Clock
from gateway.system_log.catalog import job

_EVERY_SECONDS: Final = 300.0
_BETWEEN_SECONDS: Final = 0.2
FORGET_ROWS: Final = 10_000
# A key that is over by the clock of this gateway may still count by another one's.
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=10)
_TASK: Final = "housekeeping"
# A gateway that was away for less catches up change by change; another one takes the whole state.
_KEEP_CHANGES: Final = timedelta(hours=1)
_SEEN_WITHIN: Final = timedelta(minutes=1)


class Housekeeping:
    """``retention``: how long the System Log keeps events, by the configuration in force."""

    def __init__(self, store: StoreDoor, clock: Clock, retention: Callable[[], timedelta]) -> None:
        self._store = store
        self._clock = clock
        self._retention = retention

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.clean()
            except StoreError:
                continue  # it is done the next time

    async def clean(self) -> None:
        """In small steps: others write between them. Of several gateways, one does it. Raises StoreError."""
        await self._store.change(self._trim_feed)
        await self._all(self._forget_keys, FORGET_ROWS)
        await self._all(self._trim_log, TRIM_ROWS)

    async def _all(self, step: Callable[[Work], int], rows: int) -> None:
        gone = rows
        while gone >= rows:
            gone = await self._store.change(step)
            await asyncio.sleep(_BETWEEN_SECONDS)

    def _trim_feed(self, work: Work) -> None:
        now = self._clock.now()
        applied = work.gateways.lowest_applied(now - _SEEN_WITHIN)
        if applied is not None and work.is_alone(_TASK):
            work.feed.trim(applied, now - _KEEP_CHANGES)

    def _forget_keys(self, work: Work) -> int:
        if not work.is_alone(_TASK):
            return 0
        return work.one_use.forget_expired(self._clock.now() - _CLOCKS_DIFFER_BY, FORGET_ROWS)

    def _trim_log(self, work: Work) -> int:
        if not work.is_alone(_TASK):
            return 0
        occasion = job(self._clock.now(), lambda: str(uuid.uuid4()), f"retention-{uuid.uuid4().hex}")
        return trim_log(work.log, self._retention(), occasion)
