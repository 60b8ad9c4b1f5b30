"""What gateways remember together in PostgreSQL: once is once for all of them, and a store that is gone keeps
nobody waiting."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from support.postgres import PostgresCluster

from gateway.adapters.fleet_line import FleetLine
from gateway.adapters.fleet_one_use import ClaimDesk, FleetOneUseKeys, store_key
from gateway.adapters.fleet_requests import FleetChallengeMarks, FleetSeenRequests, SeenDesk
from gateway.adapters.shared_memories import SharedChallengeMarks, SharedOneUseKeys, SharedSeenRequests
from gateway.adapters.shared_table import SharedTable
from gateway.adapters.store import Store
from gateway.adapters.store.address import store_address
from gateway.model.challenge_stage import ChallengeStage
from gateway.model.one_use import OneUseKeysUnreachable

MINUTE = timedelta(minutes=1)
DEADLINE = 0.5
LONG = 20.0  # guards against a hang; nothing waits so long


def soon() -> datetime:
    return datetime.now(UTC) + MINUTE


class OneGateway:
    """One worker of one gateway."""

    def __init__(self, url: str, *, refuses: bool, table: SharedTable | None = None) -> None:
        self.table = table or SharedTable.create("keys", 1_000)
        self.counted: Counter[tuple[str, str]] = Counter()
        self.used_twice = 0
        self.changes: list[bool] = []
        self.line = FleetLine(url, DEADLINE, lambda is_up, _detail: self.changes.append(is_up))
        claims = ClaimDesk(self.line, self._twice)
        seen = SeenDesk(self.line)
        self.line.open_desks((claims, seen))
        self.keys = FleetOneUseKeys(SharedOneUseKeys(self.table), claims, self._count, refuses=refuses)
        self.requests = FleetSeenRequests(SharedSeenRequests(SharedTable.create("seen", 100)), seen)
        self.marks = FleetChallengeMarks(SharedChallengeMarks(SharedTable.create("marks", 100)), seen)

    async def claim(self, key: str) -> bool:
        return await self.keys.claim(key, soon(), datetime.now(UTC))

    async def until(self, is_up: bool) -> None:
        async with asyncio.timeout(LONG):
            while self.line.is_up is not is_up:
                await asyncio.sleep(0.01)

    def _twice(self, keys: int) -> None:
        self.used_twice += keys

    def _count(self, where: str, result: str) -> None:
        self.counted[where, result] += 1


@asynccontextmanager
async def gateway(
    url: str, *, refuses: bool = False, table: SharedTable | None = None
) -> AsyncIterator[OneGateway]:
    one = OneGateway(url, refuses=refuses, table=table)
    await one.keys.find_unwritten()
    running = asyncio.create_task(one.line.run())
    await one.line.first_attempt()
    yield one
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """One that may be stopped."""
    with PostgresCluster.running() as running:
        yield running


@pytest.fixture
def url(cluster: PostgresCluster) -> str:
    made = cluster.create_database()
    store = Store.reach(store_address(made))
    store.migrate()
    store.close()
    return made


def rows(url: str) -> set[bytes]:
    with psycopg.connect(url) as connection:
        query = "SELECT key FROM one_use WHERE until > now()"
        return {row[0] for row in connection.execute(query).fetchall()}


def names(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT app FROM seen_requests").fetchall()]


async def test_a_key_is_claimed_once_by_all_gateways(url: str) -> None:
    async with gateway(url) as one, gateway(url) as other:
        assert await one.claim("assertion:1")
        assert not await one.claim("assertion:1")
        assert not await other.claim("assertion:1")
        assert await other.claim("assertion:2")
        assert one.counted == {("store", "first"): 1, ("local", "used"): 1}
        assert other.counted == {("store", "used"): 1, ("store", "first"): 1}


async def test_of_all_who_claim_at_once_one_is_the_first(url: str) -> None:
    keys = [f"assertion:{number}" for number in range(300)]
    async with gateway(url) as one, gateway(url) as other, gateway(url) as third:
        claims = [each.claim(key) for key in keys for each in (one, other, third)]
        won = await asyncio.gather(*claims)
    assert [sum(won[at : at + 3]) for at in range(0, len(won), 3)] == [1] * len(keys)


async def test_a_key_can_be_claimed_again_after_it_has_expired(url: str) -> None:
    async with gateway(url) as one, gateway(url) as other:
        now = datetime.now(UTC)
        assert await one.keys.claim("ticket", now - MINUTE, now - 2 * MINUTE)
        assert await other.claim("ticket")


async def test_a_server_that_was_started_anew_costs_no_answer(url: str, cluster: PostgresCluster) -> None:
    async with gateway(url) as one, gateway(url) as other:
        assert await one.claim("assertion:1")
        cluster.kill()
        cluster.start()
        assert await one.claim("assertion:2")
        assert not await other.claim("assertion:2")
        assert one.counted == {("store", "first"): 2}
        assert one.changes == [True]


async def test_without_the_store_each_gateway_goes_on_and_tells_the_others_later(
    url: str, cluster: PostgresCluster
) -> None:
    async with gateway(url) as one, gateway(url) as other:
        cluster.kill()
        try:
            assert await one.claim("assertion:1")
            assert not await one.claim("assertion:1")
            assert await one.claim("assertion:2")
            assert await other.claim("assertion:2")
            began = time.monotonic()
            assert all(await asyncio.gather(*(one.claim(f"more:{n}") for n in range(100))))
            assert time.monotonic() - began < DEADLINE, "nobody waits for what is known to be gone"
        finally:
            cluster.start()
        await one.until(is_up=True)
        await other.until(is_up=True)
        assert not await other.claim("assertion:1")
        assert one.used_twice + other.used_twice == 1, "assertion:2 was used at both"
        assert len(rows(url)) == 102


async def test_what_a_worker_left_unwritten_another_one_writes(url: str, cluster: PostgresCluster) -> None:
    cluster.kill()
    try:
        async with gateway(url) as killed:
            assert await killed.claim("assertion:1")
    finally:
        cluster.start()
    async with gateway(url, table=killed.table) as replacement, gateway(url) as other:
        await replacement.until(is_up=True)
        assert not await other.claim("assertion:1")
        assert not await replacement.claim("assertion:1")
        assert replacement.used_twice == 0


async def test_where_the_organization_wants_it_nobody_signs_on_without_the_store(
    url: str, cluster: PostgresCluster
) -> None:
    async with gateway(url, refuses=True) as one:
        cluster.kill()
        try:
            for _ in range(3):
                with pytest.raises(OneUseKeysUnreachable):
                    await one.claim("assertion:1")
        finally:
            cluster.start()
        await one.until(is_up=True)
        assert await one.claim("assertion:1"), "it was never used"
        assert not await one.claim("assertion:1")


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_claim_whose_answer_was_lost_is_neither_used_twice_nor_called_used(
    url: str, cluster: PostgresCluster, refuses: bool
) -> None:
    """The server does the claim and is stopped before it says so."""
    async with gateway(url, refuses=refuses) as one, gateway(url) as other:
        with psycopg.connect(url) as blocker:
            # Its row waits for this one's transaction, so the server has the claim and gives no answer.
            blocker.execute(
                "INSERT INTO one_use VALUES (%s, now() + interval '1 hour', 0)", (store_key("assertion:1"),)
            )
            began = time.monotonic()
            claiming = asyncio.create_task(one.claim("assertion:1"))
            await asyncio.wait((claiming,))
            assert DEADLINE * 0.9 < time.monotonic() - began < LONG
            blocker.rollback()
        await one.until(is_up=True)
        if refuses:
            assert isinstance(claiming.exception(), OneUseKeysUnreachable)
            assert await other.claim("assertion:1"), "it was not used, and may be used elsewhere"
            assert not await one.claim("assertion:1")
        else:
            assert claiming.result()
            assert not await other.claim("assertion:1")
            assert not await one.claim("assertion:1")
        assert one.used_twice == 0


async def test_a_server_that_says_nothing_keeps_only_the_first_waiting(
    url: str, cluster: PostgresCluster
) -> None:
    async with gateway(url) as one, gateway(url) as other:
        cluster.freeze()
        try:
            began = time.monotonic()
            assert await one.claim("assertion:1")
            after_first = time.monotonic()
            assert all([await one.claim(f"more:{number}") for number in range(50)])
            assert after_first - began > DEADLINE * 0.9
            assert time.monotonic() - after_first < DEADLINE
            assert not one.line.is_up
        finally:
            cluster.thaw()
        await one.until(is_up=True)
        assert not await other.claim("assertion:1")
        assert not await other.claim("more:49")


async def test_a_store_that_takes_nothing_is_not_back(url: str) -> None:
    """As a standby is, or a primary whose disk is full."""
    async with gateway(f"{url}&options=-c%20default_transaction_read_only%3Don") as one:
        assert not one.line.is_up
        assert await one.claim("assertion:1")
        assert one.counted == {("local", "first"): 1}
        assert True not in one.changes


async def test_a_request_that_left_through_one_gateway_is_known_at_the_other(url: str) -> None:
    now = datetime.now(UTC)
    async with gateway(url) as one, gateway(url) as other:
        one.requests.remember("wiki", "_1", now)
        async with asyncio.timeout(LONG):
            while await other.requests.is_from("wiki", "_1", now) is None:
                await asyncio.sleep(0.01)
        assert await other.requests.is_from("wiki", "_1", now) is True
        assert await other.requests.is_from("intruder", "_1", now) is False
        assert await other.requests.is_from("wiki", "_2", now) is None
        other.requests.remember("intruder", "_1", now)
        await asyncio.sleep(0.1)
        assert await one.requests.is_from("wiki", "_1", now) is True


async def test_requests_are_told_to_the_others_when_the_store_is_back(
    url: str, cluster: PostgresCluster
) -> None:
    now = datetime.now(UTC)
    async with gateway(url) as one, gateway(url) as other:
        cluster.kill()
        try:
            await other.claim("anything")
            one.requests.remember("wiki", "_1", now)
            assert await one.requests.is_from("wiki", "_1", now) is True
            assert await other.requests.is_from("wiki", "_1", now) is None
        finally:
            cluster.start()
        async with asyncio.timeout(LONG):
            while await other.requests.is_from("wiki", "_1", now) is None:
                await asyncio.sleep(0.05)


async def test_a_challenge_that_came_back_elsewhere_is_known_to_who_began_it(url: str) -> None:
    now = datetime.now(UTC)
    async with gateway(url) as one, gateway(url) as other:
        for flow in ("came back", "arrived", "never seen", "of its own"):
            one.marks.begun(flow)
        one.marks.mark("of its own", ChallengeStage.RETURNED)
        for flow in ("came back", "arrived"):
            other.marks.mark(flow, ChallengeStage.ARRIVED)
        other.marks.mark("came back", ChallengeStage.RETURNED)
        other.requests.remember("wiki", "_last", now)
        async with asyncio.timeout(LONG):
            while await one.requests.is_from("wiki", "_last", now) is None:
                await asyncio.sleep(0.01)
        await one.marks.fetch(["came back", "arrived", "never seen", "of its own"])
        assert [
            one.marks.stage_of(each) for each in ("came back", "arrived", "never seen", "of its own")
        ] == [
            ChallengeStage.RETURNED,
            ChallengeStage.ARRIVED,
            None,
            ChallengeStage.RETURNED,
        ]
        assert other.marks.stage_of("came back") is None
        assert sorted(names(url)) == ["challenge arrived", "challenge returned", "wiki"]


def test_a_key_in_the_store_tells_nothing_of_what_it_was_made_of() -> None:
    assert len(store_key("assertion:1")) == 16
    assert store_key("assertion:\udcff") != store_key("assertion:?")
