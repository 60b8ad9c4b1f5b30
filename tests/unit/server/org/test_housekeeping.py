"""What is over is deleted, all of it, in small steps, and by one gateway at a time."""

from datetime import timedelta

import pytest
from sqlalchemy import insert
from support.org_in_process import NOW, StandingClock

from gateway.adapters.store import Store, schema
from gateway.server.org import housekeeping
from gateway.server.org.housekeeping import Housekeeping
from gateway.server.org.store_threads import StoreThreads

MINUTE = timedelta(minutes=1)


def keeper(store: Store) -> Housekeeping:
    return Housekeeping(StoreThreads(store), StandingClock(NOW), lambda: timedelta(days=90))


def used(store: Store, count: int, until: timedelta) -> None:
    rows = [{"key": f"{until} {number}".encode(), "until": NOW + until} for number in range(count)]
    with store.connected(writing=True) as connection:
        connection.execute(insert(schema.one_use), rows)
        connection.commit()


def left(store: Store) -> int:
    with store.connected() as connection:
        return len(connection.execute(schema.one_use.select()).all())


async def test_all_keys_that_are_over_for_every_clock_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "FORGET_ROWS", 10)
    monkeypatch.setattr(housekeeping, "_BETWEEN_SECONDS", 0.0)
    used(store, 35, -11 * MINUTE)
    used(store, 3, -9 * MINUTE)
    used(store, 4, MINUTE)
    await keeper(store).clean()
    assert left(store) == 7


async def test_another_gateway_that_does_it_is_left_alone(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    used(store, 3, -11 * MINUTE)
    with store.begin() as other:
        assert other.is_alone("housekeeping")
        await keeper(store).clean()
        assert left(store) == 3
    await keeper(store).clean()
    assert left(store) == 0
    store.close()
