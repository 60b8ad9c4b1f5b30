"""What the org says, in one worker: in force in order, and answered in order."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.adapters.shared_revocations import pack_revoked
from gateway.model.org_state import OrgChange
from gateway.pki.own_revocations import OwnRevocations
from gateway.server.control import Message
from gateway.server.org_following import OrgFollowing
from gateway.services.org_material import OrgContent


class InForce:
    """Writes down what it is given. ``closed`` are those who wait until connections are closed."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.closed: list[asyncio.Future[None]] = []
        self.refused: tuple[str, ...] = ()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def replace_org(
        self, content: OrgContent, own: OwnRevocations
    ) -> tuple[tuple[str, ...], "asyncio.Future[None]"]:
        await self.may_go_on.wait()
        self.said.append(("state", content.state.number, sorted(own.inactive_users)))
        return self.refused, self._closing()

    def change_own(self, changes: Sequence[OrgChange]) -> "asyncio.Future[None]":
        self.said.append([change.number for change in changes])
        return self._closing()

    def _closing(self) -> "asyncio.Future[None]":
        self.closed.append(asyncio.get_running_loop().create_future())
        return self.closed[-1]


class World:
    def __init__(self) -> None:
        self.in_force = InForce()
        self.answers: list[tuple[int | None, str]] = []
        self.following = OrgFollowing(
            self.in_force,  # type: ignore[arg-type]  # what it uses of one
            lambda change, refused: self.answers.append((change, refused)),
        )

    def state(self, number: int, **document: Any) -> None:
        self.state_of(json.dumps({"number": number, **document}).encode())

    def state_of(self, content: bytes) -> None:
        with memory_file("test") as file:
            file.write(content)
            document = sealed(file)
        revoked = pack_revoked({})
        descriptors = os.dup(document.descriptor), os.dup(revoked.descriptor)
        self.following.take(Message("org_state", {"change": 0}, descriptors))

    def changes(self, *numbers: int) -> None:
        several = [{"number": n, "kind": "device.deactivated", "payload": {"device": "d"}} for n in numbers]
        self.following.take(Message("changes", {"changes": several}))

    async def until_said(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.in_force.said) < count:
                await asyncio.sleep(0.001)

    async def close_all(self) -> None:
        for waiting in self.in_force.closed:
            if not waiting.done():
                waiting.set_result(None)
        await asyncio.sleep(0)


@asynccontextmanager
async def following() -> AsyncIterator[World]:
    world = World()
    running = asyncio.create_task(world.following.run())
    try:
        yield world
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_changes_that_come_while_a_state_is_read_wait_for_it() -> None:
    async with following() as world:
        world.in_force.may_go_on.clear()
        world.state(5, inactive_users=["Straße"])
        await asyncio.sleep(0.05)
        world.changes(6)
        world.changes(7, 8)
        assert world.in_force.said == []
        world.in_force.may_go_on.set()
        await world.until_said(3)
        assert world.in_force.said == [("state", 5, ["strasse"]), [6], [7, 8]]
        world.changes(9)
        assert world.in_force.said[-1] == [9], "and then they are in force at once"
        await world.close_all()
        assert world.answers == [(5, ""), (6, ""), (8, ""), (9, "")]


async def test_nothing_is_answered_before_all_that_came_before_it_is_done() -> None:
    async with following() as world:
        world.state(1)
        await world.until_said(1)
        world.changes(2)
        world.in_force.closed[1].set_result(None)
        await asyncio.sleep(0)
        assert world.answers == []
        await world.close_all()
        assert world.answers == [(1, ""), (2, "")]


async def test_after_a_state_that_cannot_be_read_nothing_counts_as_done_until_one_can() -> None:
    async with following() as world:
        world.state(1)
        await world.until_said(1)
        world.state_of(b"{}")
        world.changes(8)
        await world.until_said(2)
        assert world.in_force.said[-1] == [8], "what is revoked is revoked all the same"
        await world.close_all()
        assert world.answers[0] == (1, "")
        assert world.answers[1][0] is None
        assert "number" in world.answers[1][1]
        assert world.answers[2] == (None, "")
        world.state(9)
        await world.until_said(3)
        await world.close_all()
        assert world.answers[3] == (9, "")


async def test_a_policy_that_cannot_be_used_is_told_of_and_the_rest_is_done() -> None:
    async with following() as world:
        world.in_force.refused = ("one", "two")
        world.state(1)
        await world.until_said(1)
        await world.close_all()
        assert world.answers == [(1, "one; two")]
