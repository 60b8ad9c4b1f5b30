"""Many who write into one store at once, by threads and by processes; and some that are killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.org_values import an_event
from support.postgres import PostgresCluster

from gateway.adapters.store import FeedWatch, Patience, Store, View
from gateway.adapters.store.address import store_address
from gateway.model.changes import Change, device_deactivated
from gateway.model.org import SettingName
from gateway.model.store_errors import StoreUnavailable
from gateway.system_log.verification import BEGINNING, Head, Verification

WRITERS = 4
COMMITS = 10
LONG = 60.0  # guards against a hang; nothing waits so long


@contextmanager
def writer(url: str, name: str, commits: int) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "support.store_writer", url, name, str(commits)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(LONG)
        if process.stdout is not None:
            process.stdout.close()


async def follow(store: Store, up_to: int) -> list[Change]:
    """As the org process does: woken, read what comes next, and never look back."""
    seen: list[Change] = []
    async with FeedWatch(store) as watch, asyncio.timeout(LONG):
        while len(seen) < up_to:
            await watch.wait(1.0)
            with store.read() as view:
                seen += view.feed.changes_after(len(seen), limit=7)
    return seen


def whole(store: Store) -> int:
    """The log holds together from its first row to its head; how many rows it has."""
    verification = Verification(BEGINNING)
    with store.read() as view:
        assert list(verification.read(view.log.rows())) == []
        head = view.log.head()
        assert list(verification.end(Head(*head))) == []
    return head[0]


async def test_a_follower_misses_nothing_while_processes_write(store: Store, store_url: str) -> None:
    total = WRITERS * COMMITS * 3
    names = [f"writer{number}" for number in range(WRITERS)]
    with ExitStack() as stack:
        processes = [stack.enter_context(writer(store_url, name, COMMITS)) for name in names]
        seen = await follow(store, total)
        for process in processes:
            assert await asyncio.to_thread(process.wait, LONG) == 0
    assert [change.number for change in seen] == list(range(1, total + 1))
    devices = [str(change.payload["device"]) for change in seen]
    for name in names:
        mine = [device for device in devices if device.startswith(name)]
        assert mine == [f"{name} {number} {part}" for number in range(COMMITS) for part in range(3)]
    # A commit's changes stand together: nobody came between them.
    commits = [device.rsplit(" ", 1)[0] for device in devices]
    assert all(len(set(commits[at : at + 3])) == 1 for at in range(0, total, 3))
    assert whole(store) == WRITERS * COMMITS * 2


async def test_threads_of_one_process_take_turns(store: Store) -> None:
    def write(name: str) -> None:
        for number in range(COMMITS):
            with store.begin() as work:
                work.record(device_deactivated(f"{name} {number}"))
                work.log_event(an_event())

    async with asyncio.timeout(LONG):
        seen, *_ = await asyncio.gather(
            follow(store, WRITERS * COMMITS), *(store.run(write, f"thread{at}") for at in range(WRITERS))
        )
    assert [change.number for change in seen] == list(range(1, WRITERS * COMMITS + 1))
    assert whole(store) == WRITERS * COMMITS


def test_who_is_killed_in_a_transaction_leaves_nothing_of_it(store: Store, store_url: str) -> None:
    """Even with everything written and the heads locked: the next one takes the next number."""
    with writer(store_url, "killed", 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
        process.wait(LONG)
    with store.begin() as work:
        work.record(device_deactivated("after"))
        work.log_event(an_event())
    with store.read() as view:
        assert [(found.number, found.payload) for found in view.feed.changes_after(0)] == [
            (1, {"device": "after"})
        ]
        assert view.settings.get(SettingName.LEARN_MORE_URL) is None
    assert whole(store) == 1


def test_what_was_acknowledged_outlives_a_kill(store: Store, store_url: str) -> None:
    with writer(store_url, "killed", 10_000) as process:
        assert process.stdout is not None
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        acknowledged = 20 + len(process.stdout.read().splitlines())
        process.wait(LONG)
    with store.read() as view:
        commits, rest = divmod(view.feed.head(), 3)
    assert rest == 0
    assert acknowledged <= commits <= acknowledged + 1
    assert whole(store) == commits * 2


def test_who_reads_sees_one_moment(store: Store) -> None:
    with store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, 1, datetime.now(UTC))
    with store.read() as view:
        assert view.settings.get(SettingName.READ_ONLY) == 1
        with store.begin() as work:
            work.settings.put(SettingName.READ_ONLY, 2, datetime.now(UTC))
            work.record(device_deactivated("x"))
        assert view.settings.get(SettingName.READ_ONLY) == 1
        assert view.feed.head() == 0


def test_a_key_claimed_by_many_at_once_is_won_by_one(store: Store) -> None:
    now = datetime.now(UTC)

    def claim(_: int) -> bool:
        with store.begin() as work:
            return work.one_use.claim(b"ticket", now + timedelta(minutes=1), now)

    async def race() -> list[bool]:
        return await asyncio.gather(*(store.run(claim, number) for number in range(16)))

    assert sum(asyncio.run(race())) == 1


def test_a_writer_that_holds_the_store_is_not_waited_for_without_end(store: Store, store_url: str) -> None:
    """On PostgreSQL the server itself ends a transaction that holds the heads and says nothing for 5 s."""
    with writer(store_url, "slow", 0) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        impatient = Store.open(store_url, patience=Patience(lock_seconds=0.2))
        with pytest.raises(StoreUnavailable, match="lock"), impatient.begin() as work:
            work.record(device_deactivated("x"))
        impatient.close()


def ask_frozen(cluster: PostgresCluster, view: View) -> None:
    view.feed.head()
    cluster.freeze()
    view.feed.head()


def test_a_server_that_does_not_answer_is_given_up() -> None:
    """It was stopped, not ended: its kernel goes on acknowledging what is sent."""
    with PostgresCluster.running() as cluster:
        url = cluster.create_database("org")
        store = Store.reach(store_address(url), patience=Patience(answer_seconds=0.5))
        store.migrate()
        with pytest.raises(StoreUnavailable, match="does not answer"), store.read() as view:
            ask_frozen(cluster, view)
        cluster.thaw()
        with store.read() as view:
            assert view.feed.head() == 0
        store.close()
