"""Whoever revokes learns when every worker has enforced it, and which ones have not."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from support.org_in_process import NOW, StandingClock

from gateway.model.org import GatewayRecord, WorkerRecord
from gateway.model.store_errors import StoreUnavailable
from gateway.server.org.fleet import Fleet, FleetMember


def member(name: str, applied: Sequence[int], seen_seconds_ago: float = 1) -> FleetMember:
    seen_at = NOW - timedelta(seconds=seen_seconds_ago)
    gateway = GatewayRecord(name, name, "1", NOW, seen_at, "keys")
    return FleetMember(
        gateway,
        tuple(WorkerRecord(name, worker, number, seen_at) for worker, number in enumerate(applied, start=1)),
    )


class Others:
    """What the store says of other gateways."""

    def __init__(self, *members: FleetMember) -> None:
        self.members: tuple[FleetMember, ...] = members
        self.is_away = False

    async def look(self) -> tuple[FleetMember, ...]:
        if self.is_away:
            raise StoreUnavailable("away")
        return self.members


def fleet(others: Others | None = None, **applied: int) -> Fleet:
    made = Fleet("here", StandingClock(), None if others is None else others.look, lambda: 1_000)
    made.workers(frozenset(range(1, len(applied) + 1)))
    for worker, number in enumerate(applied.values(), start=1):
        made.applied(worker, number)
    return made


def names(workers: Sequence[Any]) -> list[tuple[str, int]]:
    return [(each.gateway, each.worker) for each in workers]


async def test_it_returns_at_once_where_all_have_applied_it() -> None:
    applied = await fleet(one=7, two=8).wait(7, 60)
    assert names(applied.workers) == [("here", 1), ("here", 2)]
    assert applied.missing == ()


async def test_it_returns_when_the_last_worker_has_applied_it() -> None:
    ours = fleet(one=7, two=6)
    waiting = asyncio.create_task(ours.wait(7, 60))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    ours.applied(2, 7)
    assert (await waiting).missing == ()


async def test_before_it_is_known_which_workers_there_are_nothing_counts_as_applied() -> None:
    ours = Fleet("here", StandingClock(), None, lambda: 1_000)
    assert names((await ours.wait(7, 0.01)).missing) == [("here", 0)]
    waiting = asyncio.create_task(ours.wait(7, 60))
    await asyncio.sleep(0)
    ours.workers(frozenset({1}))
    await asyncio.sleep(0)
    assert not waiting.done()
    ours.applied(1, 7)
    assert names((await waiting).workers) == [("here", 1)]


async def test_it_names_who_has_not_applied_it_in_time() -> None:
    applied = await fleet(one=7, two=6).wait(7, 0.02)
    assert names(applied.workers) == [("here", 1)]
    assert [(each.worker, each.detail) for each in applied.missing] == [(2, "has applied 6")]


async def test_a_worker_that_ended_is_not_waited_for_and_its_successor_is() -> None:
    ours = fleet(one=7, two=6)
    waiting = asyncio.create_task(ours.wait(7, 60))
    await asyncio.sleep(0)
    ours.workers(frozenset({1}))
    assert names((await waiting).workers) == [("here", 1)]
    ours.workers(frozenset({1, 2}))
    assert names((await ours.wait(7, 0.01)).missing) == [("here", 2)]


async def test_what_a_worker_applied_of_a_store_that_went_back_counts_for_nothing() -> None:
    """A standby that lacked the last changes was promoted: it gives out their numbers anew."""
    told = 20
    ours = Fleet("here", StandingClock(), None, lambda: told)
    ours.workers(frozenset({1, 2}))
    for worker in (1, 2):
        ours.applied(worker, 20)
    told = 11
    assert names((await ours.wait(12, 0.01)).missing) == [("here", 1), ("here", 2)]
    ours.went_back()
    told = 21
    ours.applied(1, 11)
    assert names((await ours.wait(12, 0.01)).missing) == [("here", 1), ("here", 2)]
    ours.applied(1, 12)
    ours.applied(2, 12)
    assert names((await ours.wait(12, 60)).workers) == [("here", 1), ("here", 2)]


async def test_other_gateways_are_waited_for_by_what_the_store_says() -> None:
    others = Others(member("there", [7, 6]))
    ours = fleet(others, one=7)
    waiting = asyncio.create_task(ours.wait(7, 60))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    others.members = (member("there", [7, 7]),)
    ours.others_moved()
    assert names((await waiting).workers) == [("here", 1), ("there", 1), ("there", 2)]


async def test_a_notice_that_was_lost_is_made_up_for() -> None:
    others = Others(member("there", [6]))
    waiting = asyncio.create_task(fleet(others).wait(7, 60))
    await asyncio.sleep(0.01)
    others.members = (member("there", [7]),)
    assert (await waiting).missing == ()


async def test_a_gateway_that_is_not_seen_is_named_at_once() -> None:
    async with asyncio.timeout(5):
        applied = await fleet(Others(member("gone", [6], seen_seconds_ago=16)), one=7).wait(7, 60)
    assert names(applied.missing) == [("gone", 1)]


async def test_a_gateway_that_is_not_seen_stays_missing_with_when_it_was() -> None:
    applied = await fleet(Others(member("there", [6], seen_seconds_ago=60)), one=7).wait(7, 0.02)
    assert names(applied.missing) == [("there", 1)]
    assert applied.missing[0].detail == "last seen 2026-11-26T11:59:00.000Z"


@pytest.mark.parametrize("known", [True, False])
async def test_without_the_store_it_is_said_that_others_are_not_known(known: bool) -> None:
    others = Others(member("there", [7]))
    ours = fleet(others, one=7)
    if known:
        await ours.wait(7, 1)
    others.is_away = True
    applied = await ours.wait(7, 0.02)
    assert ("others", 0) in names(applied.missing)
    assert (("there", 1) in names(applied.workers)) is known
