"""Being woken when anybody commits, on both engines, and through losses of the connection."""

import asyncio
from pathlib import Path

import pytest
from support.org_values import a_user
from support.postgres import PostgresCluster

from gateway.adapters.store import FeedWatch, Store
from gateway.adapters.store.address import store_address
from gateway.model.changes import device_deactivated
from gateway.model.store_errors import StoreUnavailable

LONG = 30.0  # guards against a hang; nothing waits so long


async def settle(watch: FeedWatch) -> None:
    """Until nothing wakes any more of what happened before."""
    while await watch.wait(0.2):
        pass


def commit(store: Store, name: str = "laptop") -> None:
    with store.begin() as work:
        work.record(device_deactivated(name))


async def test_the_first_wait_returns_at_once(store: Store) -> None:
    """Whoever begins to watch reads the feed once without having been told."""
    async with FeedWatch(store) as watch:
        assert await watch.wait(LONG)
        await settle(watch)
        assert not await watch.wait(0.05)


async def test_a_commit_of_another_process_wakes(store: Store, store_url: str) -> None:
    other = Store.open(store_url)
    async with FeedWatch(store) as watch:
        await settle(watch)
        for number in range(1, 4):
            await other.run(commit, other)
            assert await watch.wait(LONG)
            with store.read() as view:
                assert view.feed.head() == number
            await settle(watch)
    other.close()


async def test_a_commit_of_our_own_wakes(store: Store) -> None:
    async with FeedWatch(store) as watch:
        await settle(watch)
        await store.run(commit, store)
        assert await watch.wait(LONG)


async def test_who_watches_no_longer_is_told_no_longer(store: Store) -> None:
    async with FeedWatch(store) as watch:
        await settle(watch)
    commit(store)
    assert not await watch.wait(0.01)


async def test_what_the_feed_does_not_hold_wakes_nobody_on_postgresql(postgres_url: str) -> None:
    store, other = Store.open(postgres_url), Store.open(postgres_url)
    async with FeedWatch(store) as watch:
        await settle(watch)
        with other.begin() as work:
            work.users.add(a_user())
        assert not await watch.wait(0.2)
    store.close()
    other.close()


async def test_what_was_applied_is_told_to_the_fleet(postgres_url: str) -> None:
    store, other = Store.open(postgres_url), Store.open(postgres_url)
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with FeedWatch(store, heard.put_nowait) as watch:
        await settle(watch)
        with other.begin() as work:
            work.announce_applied("gateway 7")
        async with asyncio.timeout(LONG):
            assert await heard.get() == "gateway 7"
    store.close()
    other.close()


async def test_a_lost_server_is_told_and_what_came_meanwhile_is_found() -> None:
    with PostgresCluster.running() as cluster:
        url = cluster.create_database("org")
        store = Store.reach(store_address(url))
        store.migrate()
        async with FeedWatch(store) as watch:
            await settle(watch)
            commit(store)
            await settle(watch)
            cluster.kill()
            with pytest.raises(StoreUnavailable, match="postgresql://postgres@"):
                await watch.wait(LONG)
            with pytest.raises(StoreUnavailable):
                commit(store)
            cluster.start()
            commit(store, "phone")
            async with asyncio.timeout(LONG):
                while True:
                    try:
                        assert await watch.wait(LONG)
                        break
                    except StoreUnavailable:
                        await asyncio.sleep(0.05)
            with store.read() as view:
                assert [change.payload["device"] for change in view.feed.changes_after(0)] == [
                    "laptop",
                    "phone",
                ]
        store.close()


async def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store.open(f"sqlite:///{file}")
    file.rename(tmp_path / "elsewhere")
    async with FeedWatch(store) as watch:
        with pytest.raises(StoreUnavailable, match=r"store\.db: unable to open"):
            await watch.wait(LONG)
        (tmp_path / "elsewhere").rename(file)
        async with asyncio.timeout(LONG):
            while True:
                try:
                    assert await watch.wait(LONG)
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.02)
    store.close()
