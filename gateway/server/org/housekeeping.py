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
                await self._store.change(self._clean)
                await self._trim_whole_log()
            except StoreError:
                continue  # it is done the next time

    def _clean(self, work: Work) -> None:
        now = self._clock.now()
        applied = work.gateways.lowest_applied(now - _SEEN_WITHIN)
        if applied is not None:
            work.feed.trim(applied, now - _KEEP_CHANGES)
        work.one_use.forget_expired(now)

    async def _trim_whole_log(self) -> None:
        """In small steps: others write between them."""
        gone = TRIM_ROWS
        while gone == TRIM_ROWS:
            gone = await self._store.change(self._trim_log)
            await asyncio.sleep(_BETWEEN_SECONDS)

    def _trim_log(self, work: Work) -> int:
        occasion = job(self._clock.now(), lambda: str(uuid.uuid4()), f"retention-{uuid.uuid4().hex}")
        return trim_log(work.log, self._retention(), occasion)
