"""Memory that several processes share: once is once, whoever asks, and whatever becomes of the others."""

import asyncio
import fcntl
import hashlib
import os
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.one_use_file import (
    ONE_USE_FILE,
    OneUseFileDamaged,
    load_one_use_table,
    save_one_use_table,
)
from gateway.adapters.shared_memories import SharedChallengeMarks, SharedOneUseKeys, SharedSeenRequests
from gateway.adapters.shared_table import SharedTable, TableBusy
from gateway.model.challenge_stage import ChallengeStage
from gateway.model.one_use import OneUseKeysFull

NOW = 1_780_000_000.0


@pytest.fixture
def table() -> SharedTable:
    return SharedTable.create("test", 100)


@pytest.mark.parametrize(
    ("later", "is_first"),
    [(0.0, False), (60.0, False), (60.002, True)],
    ids=["at once", "in the moment that it expires", "after that"],
)
def test_a_key_can_be_claimed_again_only_after_it_has_expired(
    table: SharedTable, later: float, is_first: bool
) -> None:
    assert table.claim(b"key", NOW + 60, NOW)
    assert (table.get(b"key", NOW + later) is None) is is_first
    assert table.claim(b"key", NOW + later + 60, NOW + later) is is_first


def test_what_one_process_claims_another_finds(table: SharedTable) -> None:
    other = SharedTable.open(os.dup(table.descriptor))
    assert table.claim(b"key", NOW + 60, NOW, b"value")
    assert not other.claim(b"key", NOW + 60, NOW)
    assert (other.get(b"key", NOW) or b"").rstrip(b"\0") == b"value"


def test_a_full_table_refuses_new_keys_and_forgets_none_of_the_old() -> None:
    table = SharedTable.create("test", 1)  # one bucket
    for number in range(64):
        assert table.claim(b"%d" % number, NOW + 60 + number, NOW)
    with pytest.raises(OneUseKeysFull):
        table.claim(b"one more", NOW + 60, NOW)
    assert not any(table.claim(b"%d" % number, NOW + 60, NOW) for number in range(64))
    assert table.claim(b"one more", NOW + 600, NOW + 61), "the first one made room"
    assert not table.claim(b"1", NOW + 600, NOW + 61)


def test_where_forgetting_is_allowed_what_ends_first_makes_room() -> None:
    table = SharedTable.create("test", 1)
    for number in range(65):
        table.put(b"%d" % number, NOW + 60 + number, b"x")
    assert [table.get(b"%d" % number, NOW) is None for number in range(65)] == [True] + [False] * 64


def test_a_table_has_room_for_as_many_as_were_asked_for() -> None:
    table = SharedTable.create("test", 20_000)
    assert all(table.claim(b"%d" % number, NOW + 60, NOW) for number in range(20_000))


def test_the_memory_can_neither_shrink_nor_grow(table: SharedTable) -> None:
    for size in (0, 4_096, 1_000_000):
        with pytest.raises(PermissionError):
            os.ftruncate(table.descriptor, size)


def test_a_descriptor_of_something_else_is_refused(tmp_path: Path) -> None:
    descriptor = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 8_192)
    with pytest.raises(ValueError, match="no shared table"):
        SharedTable.open(descriptor)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    with pytest.raises(ValueError, match="no shared table"):
        SharedTable.open(descriptor)
    os.close(descriptor)


CLAIM = """
import sys, time
from gateway.adapters.shared_table import SharedTable, TableBusy
table = SharedTable.open(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
def claim(n):
    while True:
        try:
            return table.claim(b"key %d" % n, float(sys.argv[2]) + 60, float(sys.argv[2]))
        except TableBusy:  # the holder lost its processor
            time.sleep(0.001)

print(sum(map(claim, range(5_000))))
"""


def test_of_several_processes_exactly_one_gets_each_key() -> None:
    table = SharedTable.create("test", 10_000)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(table.descriptor), str(NOW)],
            pass_fds=[table.descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sum(won) == 5_000, won


HOLD = """
import fcntl, os, struct, sys
fcntl.fcntl(int(sys.argv[1]), fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
print("held", flush=True)
sys.stdin.readline()
"""


def test_who_holds_on_to_a_bucket_is_not_waited_for_and_a_dead_one_does_not_hold(table: SharedTable) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(table.descriptor)],
        pass_fds=[table.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(TableBusy):
        table.claim(b"key", NOW + 60, NOW)
    holder.kill()
    holder.communicate()
    assert table.claim(b"key", NOW + 60, NOW)


async def test_a_sign_on_waits_for_a_bucket_that_is_held_for_a_moment(table: SharedTable) -> None:
    """The holder lost its processor, say; the loop goes on meanwhile."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(table.descriptor)],
        pass_fds=[table.descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    keys, now = SharedOneUseKeys(table), datetime.fromtimestamp(NOW, UTC)
    claim = asyncio.create_task(keys.claim("key", now + timedelta(minutes=1), now))
    await asyncio.sleep(0.05)
    assert not claim.done()
    holder.kill()
    holder.communicate()
    assert await claim
    assert await keys.is_claimed("key", now)


def test_a_process_that_dies_while_it_writes_has_claimed_nothing(table: SharedTable) -> None:
    """What it leaves: hash and value in their place, and no time yet."""
    assert table.claim(b"key", NOW + 60, NOW)
    page = os.pread(table.descriptor, 2 * 4_096 * 8, 4_096)
    place = next(
        i for i in range(0, len(page), 8) if page[i : i + 8] == struct.pack("<Q", int(NOW + 60) * 1_000)
    )
    os.pwrite(table.descriptor, bytes(8), 4_096 + place)
    assert table.get(b"key", NOW) is None
    assert table.claim(b"key", NOW + 60, NOW)
    assert not table.claim(b"key", NOW + 60, NOW)


# On disk.


def test_a_restart_forgets_no_key_that_still_counts(tmp_path: Path) -> None:
    before = load_one_use_table(str(tmp_path), NOW)
    before.claim(b"short", NOW + 10, NOW)
    before.claim(b"long", NOW + 600, NOW)
    save_one_use_table(before, str(tmp_path), NOW)
    assert (tmp_path / ONE_USE_FILE).stat().st_mode & 0o777 == 0o600
    after = load_one_use_table(str(tmp_path), NOW + 60)
    assert not after.claim(b"long", NOW + 600, NOW + 60)
    assert after.claim(b"short", NOW + 600, NOW + 60)
    assert [path.name for path in tmp_path.iterdir()] == [ONE_USE_FILE], "nothing unfinished is left"


def test_what_is_taken_over_finds_place_or_not_but_nothing_that_counts_makes_room_for_it() -> None:
    small = SharedTable.create("small", 1)
    other = SharedTable.create("other", 1, small.hash_key)
    for number in range(64):  # its only bucket is full
        assert small.claim(b"%d" % number, NOW + 10, NOW)
    assert other.claim(b"more", NOW + 600, NOW)
    assert small.restore(list(other.entries(NOW)), NOW) == 1
    assert not any(small.claim(b"%d" % number, NOW + 10, NOW) for number in range(64))
    assert small.restore(list(other.entries(NOW)), NOW + 11) == 0
    assert not small.claim(b"more", NOW + 600, NOW + 11)


def test_one_that_still_drains_and_one_that_was_started_since_forget_no_key_of_each_other(
    tmp_path: Path,
) -> None:
    old = load_one_use_table(str(tmp_path), NOW)
    old.claim(b"before", NOW + 600, NOW)
    old_sha256 = save_one_use_table(old, str(tmp_path), NOW)
    new = load_one_use_table(str(tmp_path), NOW)
    new.claim(b"of the new", NOW + 600, NOW)
    new_sha256 = save_one_use_table(new, str(tmp_path), NOW)
    old.claim(b"while it drained", NOW + 600, NOW)
    save_one_use_table(old, str(tmp_path), NOW, old_sha256)  # its last word
    save_one_use_table(new, str(tmp_path), NOW, new_sha256)
    for table in (new, load_one_use_table(str(tmp_path), NOW)):
        for key in (b"before", b"of the new", b"while it drained"):
            assert not table.claim(key, NOW + 600, NOW + 1)


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:-1], lambda c: b"", lambda c: c[:60] + bytes([c[60] ^ 1]) + c[61:], lambda c: c + b"x"],
    ids=["cut short", "empty", "one bit", "longer"],
)
def test_a_damaged_file_is_said_to_be_so(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    table = load_one_use_table(str(tmp_path), NOW)
    table.claim(b"key", NOW + 600, NOW)
    save_one_use_table(table, str(tmp_path), NOW)
    path = tmp_path / ONE_USE_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OneUseFileDamaged):
        load_one_use_table(str(tmp_path), NOW)


def test_what_was_noted_beside_a_key_outlives_a_restart(tmp_path: Path) -> None:
    table = load_one_use_table(str(tmp_path), NOW)
    table.claim(b"key", NOW + 600, NOW, b"not written yet")
    save_one_use_table(table, str(tmp_path), NOW)
    restored = load_one_use_table(str(tmp_path), NOW)
    assert (restored.get(b"key", NOW) or b"").rstrip(b"\0") == b"not written yet"


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    table = load_one_use_table(str(tmp_path), NOW)
    table.claim(b"key", NOW + 600, NOW)
    ((digest, until, _),) = table.entries(NOW)
    body = b"dt-one-use-1\0\0\0\0" + table.hash_key + struct.pack("<32sQ", digest, until)
    (tmp_path / ONE_USE_FILE).write_bytes(body + hashlib.sha256(body).digest())
    assert not load_one_use_table(str(tmp_path), NOW).claim(b"key", NOW + 600, NOW)


# What is built on it.


async def test_keys_that_one_worker_claimed_are_claimed_for_all(table: SharedTable) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    one, other = SharedOneUseKeys(table), SharedOneUseKeys(SharedTable.open(os.dup(table.descriptor)))
    assert await one.claim("assertion:\udcff", now + timedelta(minutes=1), now)
    assert await other.is_claimed("assertion:\udcff", now)
    assert not await other.claim("assertion:\udcff", now + timedelta(minutes=1), now)


async def test_a_request_belongs_to_the_app_that_sent_it_through_any_worker(table: SharedTable) -> None:
    now, minute = datetime(2026, 6, 1, tzinfo=UTC), timedelta(minutes=1)
    seen = SharedSeenRequests(table, minute)
    seen.remember("wiki", "_1", now)
    seen.remember("intruder", "_1", now)
    other = SharedSeenRequests(SharedTable.open(os.dup(table.descriptor)), minute)
    assert await other.is_from("wiki", "_1", now + minute)
    assert await other.is_from("intruder", "_1", now + minute) is False
    assert await other.is_from("wiki", "_2", now) is None
    assert await other.is_from("wiki", "_1", now + 2 * minute) is None


def test_marks_tell_how_far_a_challenge_came(table: SharedTable) -> None:
    marks = SharedChallengeMarks(table)
    assert marks.stage_of("flow") is None
    marks.mark("flow", ChallengeStage.ARRIVED)
    assert marks.stage_of("flow") is ChallengeStage.ARRIVED
    marks.mark("flow", ChallengeStage.RETURNED)
    assert marks.stage_of("flow") is ChallengeStage.RETURNED
