"""Looks, every few seconds, for IWA web apps that have fallen silent, so that agents try others first."""

import asyncio
import uuid
from typing import Final, Never

from gateway.adapters.store import View, Work
from gateway.model.store_errors import StoreError
from gateway.server.org.call import StoreDoor
from gateway.services.iwas import OFFLINE_AFTER, mark_silent_offline
from gateway.services.ports import Clock
from gateway.system_log.catalog import job

_EVERY_SECONDS: Final = 15.0


class IwaWatch:
    """Of several gateways, each looks, and one finds."""

    def __init__(self, store: StoreDoor, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.look()
            except StoreError:
                continue  # it is looked the next time

    async def look(self) -> None:
        """Writes only where there is something to write. Raises StoreError."""
        if await self._store.read(self._is_any_silent):
            await self._store.change(self._mark)

    def _is_any_silent(self, view: View) -> bool:
        silent_since = self._clock.now() - OFFLINE_AFTER
        return any(
            iwa.online and (iwa.last_seen is None or iwa.last_seen < silent_since) for iwa in view.iwas.all()
        )

    def _mark(self, work: Work) -> None:
        now = self._clock.now()
        mark_silent_offline(work, job(now, lambda: str(uuid.uuid4()), f"iwa-{uuid.uuid4().hex}"))
