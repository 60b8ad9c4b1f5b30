"""What this gateway writes into the store about itself, so that others see that it is there, how far its
workers have come, and how it is."""

import asyncio
from collections.abc import Callable, Mapping
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
from gateway.server.org.fleet import SEEN_WITHIN, Fleet
from gateway.services.ports import Clock

REPORT_SECONDS: Final = 4.0
# A store that is this gateway's alone is looked into by commands only. They have time, and each transaction
# keeps others waiting.
_OWN_STORE_SECONDS: Final = 0.1
# A gateway that said nothing for so long does not come back under this id.
FORGOTTEN_AFTER: Final = timedelta(days=1)


class Reporting:
    """Made on the running loop. ``shared``: other gateways wait for what the workers here have applied.
    ``other_keys`` is told the name of each one that has other keys: they could not be compared at the start,
    when the store was away."""

    def __init__(
        self,
        record: GatewayRecord,
        store: StoreDoor,
        fleet: Fleet,
        clock: Clock,
        *,
        shared: bool,
        other_keys: Callable[[str], None],
    ) -> None:
        self._record = record
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._shared = shared
        self._other_keys = other_keys
        self._told_of: set[str] = set()
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
        """At the end of this gateway: nobody is to wait for it, only for one that has taken its place. Raises
        StoreError."""
        record = self._record
        await self._store.change(lambda work: work.gateways.remove(record.id, record.started_at))

    async def _write(self, complete: bool) -> None:
        own = dict(self._fleet.own)
        at_odds = await self._store.change(lambda work: self._report(work, own, complete))
        for name in at_odds - self._told_of:
            self._other_keys(name)
        if complete:
            self._told_of = at_odds

    def _report(self, work: Work, own: Mapping[int, int], complete: bool) -> set[str]:
        """Names of gateways with other keys, where all are looked at."""
        now, record = self._clock.now(), self._record
        at_odds: set[str] = set()
        known = work.gateways.get(record.id)
        if (
            known is not None
            and known.started_at > record.started_at
            and abs(now - known.seen_at) < SEEN_WITHIN
        ):
            return at_odds  # another one has taken over, and tells of its own workers by the same numbers
        if complete or not work.gateways.mark_seen(record.id, now):
            work.gateways.report(replace(record, seen_at=now))
            work.gateways.keep_workers(record.id, list(own))
            for other in work.gateways.all():
                if now - other.seen_at > FORGOTTEN_AFTER:
                    work.gateways.remove(other.id)
                elif other.keys_fingerprint != record.keys_fingerprint and now - other.seen_at < SEEN_WITHIN:
                    at_odds.add(other.name)
        head = work.feed.head()
        for worker, number in own.items():
            # Of a store that has lost its last changes, and gives out their numbers anew.
            applied = number if number <= head else 0
            work.gateways.report_worker(WorkerRecord(record.id, worker, applied, now))
        if self._shared and own:
            work.announce_applied(f"{record.id} {min(own.values())}")
        return at_odds


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
