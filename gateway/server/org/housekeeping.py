"""What the store need not hold any more: changes that every gateway has applied, and keys that are over."""

import asyncio
from datetime import timedelta
from typing import Final, Never

from gateway.adapters.store import Work
from gateway.model.store_errors import StoreError
from gateway.server.org.call import StoreDoor
from gateway.services.ports import Clock

_EVERY_SECONDS: Final = 300.0
# A gateway that was away for less catches up change by change; another one takes the whole state.
_KEEP_CHANGES: Final = timedelta(hours=1)
_SEEN_WITHIN: Final = timedelta(minutes=1)


class Housekeeping:
    def __init__(self, store: StoreDoor, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self._store.change(self._clean)
            except StoreError:
                continue  # it is done the next time

    def _clean(self, work: Work) -> None:
        now = self._clock.now()
        applied = work.gateways.lowest_applied(now - _SEEN_WITHIN)
        if applied is not None:
            work.feed.trim(applied, now - _KEEP_CHANGES)
        work.one_use.forget_expired(now)
