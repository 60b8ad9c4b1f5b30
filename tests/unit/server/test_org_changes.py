"""What the org says reaches every worker whole and in order, and no worker is flooded."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.server.control import Message
from gateway.server.org_changes import MAX_CHANGES_HELD, OrgChanges, OrgMisspoke


def memory(content: bytes = b"{}") -> int:
    with memory_file("test") as file:
        file.write(content)
        held = sealed(file)
    descriptor, held.descriptor = held.descriptor, -1
    return descriptor


def state(number: int) -> Message:
    return Message("org_state", {"number": number}, (memory(), memory()))


def changes(first: int, count: int = 1) -> Message:
    several = [
        {"number": number, "kind": "device.deactivated", "payload": {"device": "d"}}
        for number in range(first, first + count)
    ]
    return Message("changes", {"changes": several})


class Worker:
    """What one was sent: numbers of states, and (first, last) of changes."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.got: list[Any] = []
        world.changes.begin(number, self.tell)

    def tell(self, name: str, descriptors: Sequence[int] = (), **values: Any) -> None:
        if name == "org_state":
            assert len(descriptors) == 2
            self.got.append(values["change"])
        else:
            numbers = [change["number"] for change in values["changes"]]
            self.got.append((numbers[0], numbers[-1]))

    def took(self, number: int | None) -> None:
        self.world.changes.took(self.number, number)


class World:
    def __init__(self) -> None:
        self.applied: list[tuple[int, int]] = []
        self.changes = OrgChanges(lambda worker, number: self.applied.append((worker, number)))


async def test_a_worker_gets_the_state_and_then_every_change() -> None:
    world = World()
    early = Worker(world, 1)
    assert early.got == []
    world.changes.take_state(state(5))
    world.changes.take_changes(changes(6))
    late = Worker(world, 2)
    world.changes.take_changes(changes(7, 2))
    assert early.got == [5, (6, 6), (7, 8)]
    assert late.got == [5, (6, 6), (7, 8)]
    for number in (5, 6, 8):
        early.took(number)
    assert world.applied == [(1, 5), (1, 6), (1, 8)]
    assert world.changes.applied == {1: 8, 2: None}
    world.changes.end(1)
    early.took(8)
    assert world.changes.applied == {2: None}


async def test_a_worker_that_is_slow_gets_what_waits_in_few_messages() -> None:
    world = World()
    world.changes.take_state(state(0))
    worker = Worker(world, 1)
    for number in range(1, 301):
        world.changes.take_changes(changes(number))
    assert worker.got == [0, (1, 1), (2, 2), (3, 3)]
    worker.took(0)
    worker.took(1)
    assert worker.got[4:] == [(4, 203), (204, 300)]


async def test_a_worker_that_is_far_behind_gets_the_new_state_instead() -> None:
    world = World()
    world.changes.take_state(state(0))
    worker = Worker(world, 1)
    for number in range(1, 50):
        world.changes.take_changes(changes(number))
    world.changes.take_state(state(60))
    world.changes.take_changes(changes(61))
    worker.took(0)
    worker.took(1)
    assert worker.got == [0, (1, 1), (2, 2), (3, 3), 60, (61, 61)]


async def test_a_state_of_a_restored_store_may_have_a_lower_number() -> None:
    world = World()
    world.changes.take_state(state(100))
    worker = Worker(world, 1)
    world.changes.take_state(state(7))
    world.changes.take_changes(changes(8))
    assert worker.got == [100, 7, (8, 8)]
    assert world.changes.number == 8


@pytest.mark.parametrize(
    "said",
    [
        changes(5),
        changes(7),
        changes(6, 0),
        Message("changes", {"changes": [{"number": 6, "kind": "something new"}]}),
        Message("changes", {}),
    ],
    ids=["again", "with a gap", "nothing", "what no worker would understand", "no changes"],
)
async def test_what_cannot_be_passed_on_is_refused_and_nothing_is_passed_on(said: Message) -> None:
    world = World()
    world.changes.take_state(state(5))
    worker = Worker(world, 1)
    with pytest.raises(OrgMisspoke):
        world.changes.take_changes(said)
    assert worker.got == [5]
    assert world.changes.number == 5


async def test_changes_without_a_state_are_refused() -> None:
    with pytest.raises(OrgMisspoke):
        World().changes.take_changes(changes(1))


async def test_a_state_that_cannot_be_mapped_is_refused_and_the_last_one_stays() -> None:
    world = World()
    world.changes.take_state(state(5))
    reading, writing = os.pipe()
    with pytest.raises(OrgMisspoke):
        world.changes.take_state(Message("org_state", {"number": 6}, (reading, memory())))
    with pytest.raises(OrgMisspoke):
        world.changes.take_state(Message("org_state", {"number": 6}, (memory(), writing)))
    with pytest.raises(OrgMisspoke):
        world.changes.take_state(Message("org_state", {"number": 6}, (memory(),)))
    assert world.changes.number == 5


async def test_changes_are_not_kept_without_end() -> None:
    world = World()
    world.changes.take_state(state(0))
    for first in range(1, MAX_CHANGES_HELD, 200):
        world.changes.take_changes(changes(first, 200))
    with pytest.raises(OrgMisspoke):
        world.changes.take_changes(changes(MAX_CHANGES_HELD + 1))


async def test_who_waits_for_a_worker_to_catch_up_waits_until_it_has() -> None:
    world = World()
    world.changes.take_state(state(0))
    world.changes.take_changes(changes(1))
    worker = Worker(world, 1)
    waiting = asyncio.create_task(world.changes.caught_up(1, 20))
    worker.took(0)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    worker.took(1)
    await waiting
    await world.changes.caught_up(1, 20)
    await world.changes.caught_up(2, 20)
    Worker(world, 3)
    await world.changes.caught_up(3, 0.01)
