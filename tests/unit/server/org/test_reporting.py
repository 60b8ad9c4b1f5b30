"""What a gateway writes about itself, and what it finds about others then."""

import asyncio

from support.org_in_process import NOW, StandingClock

from gateway.adapters.store import Store
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
