"""The follower tells the data plane all that the store says, in order, whatever happens to the store."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from support.org_in_process import StandingClock
from support.org_values import a_device, a_user

from gateway.adapters.store import Store, Work, schema
from gateway.model.changes import (
    StatePart,
    device_activated,
    device_deactivated,
    state_changed,
    user_activated,
    user_deactivated,
)
from gateway.model.org import DeviceStatus, UserStatus
from gateway.model.org_state import read_changes, read_state
from gateway.model.store_errors import StoreUnavailable
from gateway.pki.serials import SerialSet
from gateway.server.org.following import Follower
from gateway.server.org.store_threads import StoreThreads
from gateway.services.org_state import org_state

_T = TypeVar("_T")


class Listener:
    """A data plane that believes all it is told, and refuses what is out of order."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.states = 0
        self.inactive_users: set[str] = set()
        self.inactive_devices: set[str] = set()
        self.store_told: list[bool] = []
        self.moved = asyncio.Event()

    def state(self, number: int, document: bytes, revoked: Mapping[bytes, SerialSet]) -> None:
        state = read_state(document)
        assert state.number == number
        self.number = number
        self.states += 1
        self.inactive_users = set(state.inactive_users)
        self.inactive_devices = set(state.inactive_devices)
        self.moved.set()

    def changes(self, changes: Sequence[Mapping[str, object]]) -> None:
        for change in read_changes([dict(each) for each in changes]):
            assert self.number is not None
            assert change.number == self.number + 1
            self.number = change.number
            for told, inactive in (
                (change.user, self.inactive_users),
                (change.device, self.inactive_devices),
            ):
                if told is not None:
                    (inactive.discard if told[1] else inactive.add)(told[0])
        self.moved.set()

    def store(self, *, reachable: bool, since: datetime, detail: str = "") -> None:
        self.store_told.append(reachable)
        self.moved.set()


class FlakyDoor(StoreThreads):
    """A store that fails when it is told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self, query: Callable[[Any], _T]) -> _T:
        if self.is_away:
            raise StoreUnavailable("away")
        await self.answers.wait()
        return await super().read(query)


class World:
    def __init__(self, directory: Path, answer_seconds: float = 5.0) -> None:
        self.store = Store.open(f"sqlite:///{directory}/following-{random.randbytes(8).hex()}.db")
        self.door = FlakyDoor(self.store)
        self.listener = Listener()
        self.woken = asyncio.Event()
        self.is_deaf = False
        self.is_waiting = False
        self.went_back: list[tuple[int, int]] = []
        self.follower = Follower(
            self.door,
            lambda view: org_state(view, dict, bytes(20)),
            self.wait,
            self.listener,
            StandingClock(),
            lambda told, now: self.went_back.append((told, now)),
            answer_seconds,
        )

    async def wait(self, seconds: float) -> None:
        if self.is_deaf:
            raise StoreUnavailable("deaf")
        self.is_waiting = True
        await self.woken.wait()
        self.woken.clear()
        self.is_waiting = False

    def commit(self, change: Callable[[Work], None]) -> None:
        with self.store.begin() as work:
            change(work)
        self.woken.set()

    async def caught_up(self) -> None:
        with self.store.read() as view:
            head = view.feed.head()
        self.woken.set()
        async with asyncio.timeout(20):
            while (
                self.listener.number != head or not (self.is_waiting or self.is_deaf) or self.woken.is_set()
            ):
                await asyncio.sleep(0.001)

    def is_idle(self) -> bool:
        return self.is_waiting or self.is_deaf

    def truth(self) -> tuple[set[str], set[str]]:
        with self.store.read() as view:
            return set(view.users.inactive_login_keys()), set(view.devices.inactive_names())


USERS = [a_user(f"user{number}@example.test") for number in range(3)]
DEVICES = [a_device(f"device{number}") for number in range(3)]


def add_all(work: Work) -> None:
    work.users.add_many(USERS)
    work.devices.add_many(DEVICES)


def set_user(place: int, active: bool) -> Callable[[Work], None]:
    def change(work: Work) -> None:
        status = UserStatus.ACTIVE if active else UserStatus.SUSPENDED
        user = USERS[place]
        if work.users.set_status(user.id, status, datetime.now(UTC)):
            work.record((user_activated if active else user_deactivated)(user.login_key))

    return change


def set_device(place: int, active: bool) -> Callable[[Work], None]:
    def change(work: Work) -> None:
        status = DeviceStatus.ACTIVE if active else DeviceStatus.SUSPENDED
        device = DEVICES[place]
        if work.devices.set_status(device.id, status, datetime.now(UTC)):
            work.record((device_activated if active else device_deactivated)(device.certificate_name))

    return change


def settings_changed(work: Work) -> None:
    work.record(state_changed(StatePart.SETTINGS))


def trimmed(work: Work) -> None:
    work.feed.trim(work.feed.head(), datetime(9999, 1, 1, tzinfo=UTC))


STEPS = st.one_of(
    st.tuples(st.just("commit"), st.builds(set_user, st.integers(0, 2), st.booleans())),
    st.tuples(st.just("commit"), st.builds(set_device, st.integers(0, 2), st.booleans())),
    st.tuples(st.just("commit"), st.sampled_from([settings_changed, trimmed])),
    st.tuples(st.sampled_from(["away", "back", "pause"]), st.none()),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(STEPS, max_size=25))
def test_the_data_plane_knows_the_truth_after_any_course_of_things(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    async def run() -> None:
        world = World(tmp_path_factory.mktemp("following"))
        world.commit(add_all)
        following = asyncio.create_task(world.follower.run())
        try:
            for kind, change in steps:
                match kind:
                    case "commit":
                        world.commit(change)
                    case "away" | "back":
                        world.door.is_away = kind == "away"
                    case _:
                        await asyncio.sleep(0.002)
            world.door.is_away = False
            await world.caught_up()
            assert (world.listener.inactive_users, world.listener.inactive_devices) == world.truth()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            world.store.close()

    asyncio.run(run())


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    world = World(tmp_path)
    world.commit(add_all)
    following = asyncio.create_task(world.follower.run())
    await world.caught_up()
    yield world
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    world.store.close()


async def test_single_changes_need_no_new_state(world: World) -> None:
    for number in range(5):
        world.commit(set_user(0, bool(number % 2)))
        await world.caught_up()
    assert (world.listener.states, world.listener.number) == (1, 5)
    assert world.listener.inactive_users == {"user0@example.test"}


@pytest.mark.parametrize("change", [settings_changed, trimmed])
async def test_a_new_state_comes_where_single_changes_do_not_tell_all(
    world: World, change: Callable[[Work], None]
) -> None:
    world.door.is_away = True
    world.commit(set_user(1, False))
    world.commit(set_user(1, True))
    world.commit(set_user(1, False))
    world.commit(change)
    world.door.is_away = False
    await world.caught_up()
    assert world.listener.states == 2
    assert world.listener.inactive_users == {"user1@example.test"}


async def test_it_is_told_once_that_the_store_went_and_once_that_it_came_back(world: World) -> None:
    world.door.is_away = True
    world.woken.set()
    async with asyncio.timeout(20):
        while world.listener.store_told != [True, False]:
            await asyncio.sleep(0.01)
    assert not world.follower.store_is_reachable
    await asyncio.sleep(0.3)
    world.door.is_away = False
    world.commit(set_user(2, False))
    await world.caught_up()
    async with asyncio.timeout(20):
        while world.listener.store_told != [True, False, True]:
            await asyncio.sleep(0.01)
    assert world.listener.states == 1


async def test_a_store_that_says_nothing_at_all_counts_as_gone_until_it_answers(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, answer_seconds=0.05)
    following = asyncio.create_task(world.follower.run())
    try:
        await world.caught_up()
        world.door.answers.clear()
        world.commit(lambda work: work.users.add_many(USERS))
        world.commit(set_user(0, False))
        async with asyncio.timeout(20):
            while world.listener.store_told != [True, False]:
                await asyncio.sleep(0.01)
        assert not world.follower.store_is_reachable
        world.door.answers.set()
        await world.caught_up()
        async with asyncio.timeout(20):
            while world.listener.store_told != [True, False, True]:
                await asyncio.sleep(0.01)
        assert world.listener.inactive_users == {"user0@example.test"}
        assert world.listener.states == 1
    finally:
        following.cancel()
        await asyncio.wait((following,))
        world.store.close()


async def test_it_goes_on_where_nothing_wakes_it_any_more(world: World) -> None:
    world.is_deaf = True
    world.woken.set()
    world.commit(set_user(2, False))
    await world.caught_up()
    assert world.listener.store_told == [True]
    assert world.listener.inactive_users == {"user2@example.test"}


async def test_after_many_single_changes_a_new_state_spares_those_who_begin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.org.following.CHANGES_BEFORE_NEW_STATE", 10)
    for number in range(12):
        world.commit(set_user(0, bool(number % 2)))
        await world.caught_up()
    assert world.listener.states == 2


def without_last_changes(number: int) -> Callable[[Store], None]:
    """What a standby is that had come as far as this number when it was promoted."""

    def lose(store: Store) -> None:
        with store.connected(writing=True) as connection:
            connection.execute(delete(schema.changes).where(schema.changes.c.number > number))
            connection.execute(update(schema.heads).values(change_number=number))
            connection.commit()

    return lose


@pytest.mark.parametrize(("new_changes", "went_back"), [(1, [(4, 3)]), (2, []), (5, [])])
async def test_a_store_that_lost_its_last_changes_and_went_on_is_read_anew(
    world: World, new_changes: int, went_back: list[tuple[int, int]]
) -> None:
    """Also where it has come as far again, or further, before anybody looked."""
    for place, active in ((0, False), (1, False), (0, True), (0, False)):
        world.commit(set_user(place, active))
        await world.caught_up()
    world.door.is_away = True
    without_last_changes(2)(world.store)
    for number in range(new_changes):
        world.commit(set_device(number % 3, number >= 3))
    world.door.is_away = False
    await world.caught_up()
    assert (world.listener.inactive_users, world.listener.inactive_devices) == world.truth()
    assert world.went_back == went_back


async def test_a_renewed_follower_tells_the_whole_state_again(world: World) -> None:
    world.follower.renew()
    world.woken.set()
    async with asyncio.timeout(20):
        while world.listener.states != 2:
            await asyncio.sleep(0.01)
