"""What a gateway writes about itself, and what it finds about others then."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from support.org_in_process import NOW, StandingClock

from gateway.adapters.store import Store
from gateway.model.changes import device_deactivated
from gateway.model.org import GatewayRecord
from gateway.server.org.fleet import Fleet
from gateway.server.org.reporting import Reporting
from gateway.server.org.store_threads import StoreThreads


async def test_each_gateway_with_other_keys_is_told_of_once(store: Store) -> None:
    """They could not be compared before the start, as the store was away."""
    with store.begin() as work:
        for name, keys in (("alike", "mine"), ("at odds", "other")):
            work.gateways.report(GatewayRecord(name, name, "1", NOW, NOW, keys))
    clock, told = StandingClock(NOW), asyncio.Queue[str]()
    reporting = Reporting(
        GatewayRecord("here", "here", "1", NOW, NOW, "mine"),
        StoreThreads(store),
        Fleet("here", clock, None, lambda: 1_000),
        clock,
        shared=True,
        other_keys=told.put_nowait,
    )
    running = asyncio.create_task(reporting.run())
    async with asyncio.timeout(20):
        assert await told.get() == "at odds"
        reporting.applied()
        await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert told.empty()
    with store.read() as view:
        assert {each.name for each in view.gateways.all()} == {"alike", "at odds", "here"}


def one_that(store: Store, clock: StandingClock, started_at: datetime, applied: int) -> Reporting:
    """A process of the gateway `here` whose only worker has applied this change."""
    fleet = Fleet("here", clock, None, lambda: 1_000)
    fleet.workers(frozenset({1}))
    fleet.applied(1, applied)
    record = GatewayRecord("here", "here", "1", started_at, started_at, "mine")
    return Reporting(record, StoreThreads(store), fleet, clock, shared=True, other_keys=lambda _: None)


async def test_a_gateway_that_was_taken_over_neither_speaks_for_the_new_one_nor_takes_it_away(
    store: Store,
) -> None:
    with store.begin() as work:
        for number in range(9):
            work.record(device_deactivated(str(number)))
    clock = StandingClock(NOW)
    old, new = one_that(store, clock, NOW, 9), one_that(store, clock, NOW + timedelta(seconds=1), 5)

    def told() -> list[int]:
        with store.read() as view:
            return [each.applied_number for each in view.gateways.workers("here")]

    async def runs(reporting: Reporting, until: Callable[[], bool]) -> None:
        running = asyncio.create_task(reporting.run())
        async with asyncio.timeout(20):
            while not until():
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    await runs(old, lambda: told() == [9])
    await runs(new, lambda: told() == [5])
    with store.begin() as work:
        old._report(work, {1: 9}, complete=True)
    assert told() == [5]
    await old.forget()
    assert told() == [5]
    clock.advance(minutes=1)  # the new one has not been heard of since
    with store.begin() as work:
        old._report(work, {1: 9}, complete=True)
    assert told() == [9]
    await old.forget()
    assert told() == []
