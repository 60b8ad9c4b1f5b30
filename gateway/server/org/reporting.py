"""What this gateway writes into the store about itself, so that others see that it is there, how far its
workers have come, and how it is."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final, Never

from gateway import __version__
from gateway.adapters.key_copies import keys_fingerprint
from gateway.adapters.key_files import GatewayKeys
from gateway.adapters.store import Work
from gateway.model.org import GatewayRecord, WorkerRecord
from gateway.model.settings import GatewaySettings
from gateway.model.store_errors import StoreError
from gateway.server.gateway_identity import gateway_id, gateway_name
from gateway.server.org.call import StoreDoor
from gateway.server.org.fleet import Fleet
from gateway.services.ports import Clock

REPORT_SECONDS: Final = 4.0
# A store that is this gateway's alone is looked into by commands only. They have time, and each transaction
# keeps others waiting.
_OWN_STORE_SECONDS: Final = 0.1
# A gateway that said nothing for so long does not come back under this id.
FORGOTTEN_AFTER: Final = timedelta(days=1)


class Reporting:
    """Made on the running loop. ``shared``: other gateways wait for what the workers here have applied."""

    def __init__(
        self,
        record: GatewayRecord,
        store: StoreDoor,
        fleet: Fleet,
        clock: Clock,
        *,
        shared: bool,
    ) -> None:
        self._record = record
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._shared = shared
        self._due = asyncio.Event()

    def applied(self) -> None:
        """A worker of this gateway has come further."""
        self._due.set()

    async def run(self) -> Never:
        """Write every few seconds, and at once where somebody waits for it."""
        loop = asyncio.get_running_loop()
        seen_until = 0.0
        while True:
            complete = loop.time() >= seen_until
            try:
                await self._write(complete)
                if complete:
                    seen_until = loop.time() + REPORT_SECONDS
            except StoreError:
                seen_until = 0.0
                await asyncio.sleep(1.0)
            try:
                async with asyncio.timeout(max(0.0, seen_until - loop.time())):
                    await self._due.wait()
            except TimeoutError:
                pass
            else:
                if not self._shared:
                    await asyncio.sleep(_OWN_STORE_SECONDS)
            self._due.clear()

    async def forget(self) -> None:
        """At the end of this gateway: nobody is to wait for it. Raises StoreError."""
        await self._store.change(lambda work: work.gateways.remove(self._record.id))

    async def _write(self, complete: bool) -> None:
        own = dict(self._fleet.own)
        await self._store.change(lambda work: self._report(work, own, complete))

    def _report(self, work: Work, own: Mapping[int, int], complete: bool) -> None:
        now, record = self._clock.now(), self._record
        if complete or not work.gateways.mark_seen(record.id, now):
            work.gateways.report(replace(record, seen_at=now))
            work.gateways.keep_workers(record.id, list(own))
            for other in work.gateways.all():
                if now - other.seen_at > FORGOTTEN_AFTER:
                    work.gateways.remove(other.id)
        for worker, number in own.items():
            work.gateways.report_worker(WorkerRecord(record.id, worker, number, now))
        if self._shared and own:
            work.announce_applied(f"{record.id} {min(own.values())}")


def new_record(settings: GatewaySettings, keys: GatewayKeys, clock: Clock) -> GatewayRecord:
    now = clock.now()
    return GatewayRecord(
        id=gateway_id(settings),
        name=gateway_name(settings),
        version=__version__,
        started_at=now,
        seen_at=now,
        keys_fingerprint=keys_fingerprint(keys),
        address=f"{settings.org_host}:{settings.public_port}",
    )
