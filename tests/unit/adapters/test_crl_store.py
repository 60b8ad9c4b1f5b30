"""CRL files as dialogues: files change, and the index follows or stays as it was."""

import asyncio
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.crl_world import CA, HOUR, IMPOSTOR, OTHER, START, World, authority, replace

from gateway.adapters import crl_store
from gateway.adapters.crl_child import CrlResult
from gateway.adapters.crl_files import file_identity, read_crl_file
from gateway.adapters.crl_source import CrlPace
from gateway.adapters.crl_store import CrlState
from gateway.adapters.sealed_memory import SealedMemory
from gateway.pki.certificate import Certificate


async def test_a_crl_file_is_loaded_and_followed_through_atomic_renames(tmp_path: Path) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=10))
    world = World(authority(path))
    async with world.running():
        assert (world.status(1), world.status(2)) == ("revoked", "good")
        replace(path, CA.crl([1, 2], number=11))
        await world.until(lambda: world.status(2) == "revoked")
    assert world.report.lines == [("loaded", "corp.crl", 10, 1), ("loaded", "corp.crl", 11, 2)]
    assert world.indexes[-1] is world.store.index
    assert len(world.indexes) == 2


async def test_a_mounted_secret_is_followed_through_its_symlink_swap(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for version, number in (("..2026_1", 1), ("..2026_2", 2)):
        (mount / version).mkdir(parents=True)
        (mount / version / "corp.crl").write_bytes(CA.crl([number], number=number))
    (mount / "..data").symlink_to("..2026_1")
    (mount / "corp.crl").symlink_to("..data/corp.crl")
    world = World(authority(mount / "corp.crl"))
    async with world.running():
        assert (world.status(1), world.status(2)) == ("revoked", "good")
        (mount / "..data_tmp").symlink_to("..2026_2")
        (mount / "..data_tmp").replace(mount / "..data")
        await world.until(lambda: world.status(2) == "revoked")


async def test_the_target_of_a_link_in_another_directory_is_followed(tmp_path: Path) -> None:
    (tmp_path / "published").mkdir()
    (tmp_path / "certs").mkdir()
    target = tmp_path / "published" / "corp.crl"
    target.write_bytes(CA.crl([], number=1))
    (tmp_path / "certs" / "corp.crl").symlink_to(target)
    world = World(authority(tmp_path / "certs" / "corp.crl"))
    async with world.running():
        assert world.status(5) == "good"
        replace(target, CA.crl([5], number=2))
        await world.until(lambda: world.status(5) == "revoked")
    assert world.report.lines == [("loaded", "corp.crl", 1, 0), ("loaded", "corp.crl", 2, 1)]


async def test_a_half_written_file_changes_nothing_and_is_taken_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=1))
    world = World(authority(path))
    following = CA.crl([1, 2], number=2)
    async with world.running():
        for length in (100, 200, 300):  # in place, piece by piece: one report, not three
            path.write_bytes(following[:length])
            await asyncio.sleep(0.15)
        assert world.status(1) == "revoked"
        assert world.report.failures() == ["not an acceptable CRL: not a CRL in PEM"]
        path.write_bytes(following)
        await world.until(lambda: world.status(2) == "revoked")
    assert world.report.lines[-1] == ("loaded", "corp.crl", 2, 2)


async def test_a_missing_file_is_reported_once_and_taken_when_it_appears(tmp_path: Path) -> None:
    path = tmp_path / "later" / "corp.crl"
    world = World(authority(path), pace=CrlPace(file_poll=0.05))
    async with world.running():
        assert world.status(1) == "unknown"
        await asyncio.sleep(0.2)  # some polls
        assert world.report.lines == [("failed", "corp.crl", "cannot be read: No such file or directory")]
        path.parent.mkdir()
        path.write_bytes(CA.crl([1], number=1))
        await world.until(lambda: world.status(1) == "revoked")


async def test_a_file_that_goes_away_leaves_its_crl_in_force_and_its_return_is_told(tmp_path: Path) -> None:
    path = tmp_path / "corp.crl"
    content = CA.crl([1], number=1)
    path.write_bytes(content)
    world = World(authority(path))
    async with world.running():
        path.unlink()
        await world.until(lambda: len(world.report.lines) == 2)
        assert world.status(1) == "revoked"
        (state,) = world.store.freshness(world.clock.now())
        assert (state.fresh, state.detail) == (True, "cannot be read: No such file or directory")
        path.write_bytes(content)
        await world.until(lambda: len(world.report.lines) == 3)
    assert [line[0] for line in world.report.lines] == ["loaded", "failed", "loaded"]
    assert len(world.indexes) == 1


async def test_the_poll_finds_what_no_watch_tells(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "corp.crl").write_bytes(CA.crl([], number=1))
    world = World(authority(directory / "corp.crl"), pace=CrlPace(file_poll=1.0))
    async with world.running():
        # The whole directory is replaced: its watch stays with the old one.
        prepared = tmp_path / "prepared"
        prepared.mkdir()
        (prepared / "corp.crl").write_bytes(CA.crl([7], number=2))
        directory.rename(tmp_path / "old")
        prepared.rename(directory)
        await world.until(lambda: world.status(7) == "revoked")
        # And from then on the new one is watched.
        replace(directory / "corp.crl", CA.crl([7, 8], number=3))
        await world.until(lambda: world.status(8) == "revoked", seconds=0.8)
    assert [line[2] for line in world.report.lines if line[0] == "loaded"] == [1, 2, 3]


async def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=1))
    two_minutes_ago = (START - timedelta(minutes=2)).timestamp()
    os.utime(path, (two_minutes_ago, two_minutes_ago))
    reads: list[str] = []
    original = crl_store.read_crl_file
    monkeypatch.setattr(crl_store, "read_crl_file", lambda p: reads.append(p) or original(p))
    world = World(authority(path))
    async with world.running():
        (tmp_path / "something else").write_bytes(b"")
        await asyncio.sleep(0.3)
    assert reads == [str(path)]


async def test_a_file_written_a_moment_ago_is_read_again_but_not_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second write within one tick of the file system's clock would look the same."""
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=1))
    called: list[str] = []
    for name in ("read_crl_file", "parse_crls"):
        original = getattr(crl_store, name)

        def counted(*given: object, name: str = name, original: Any = original, **named: object) -> object:
            called.append(name)
            return original(*given, **named)

        monkeypatch.setattr(crl_store, name, counted)
    world = World(authority(path))
    async with world.running():
        replace(tmp_path / "something else", b"")
        await world.until(lambda: called.count("read_crl_file") >= 3)
    assert called.count("parse_crls") == 1


def test_the_identity_of_a_file_is_known_once_it_has_been_quiet_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(b"crl")
    assert read_crl_file(str(path)).identity is None
    os.utime(path, (START.timestamp() - 10, START.timestamp() - 10))
    assert read_crl_file(str(path)).identity == file_identity(str(path))
    assert file_identity(str(tmp_path / "missing")) is None


async def test_one_file_may_hold_the_crls_of_several_issuers(tmp_path: Path) -> None:
    issuing = CA.issue_intermediate("Issuing CA")
    path = tmp_path / "all.pem"
    path.write_bytes(b"first\n" + CA.crl([1], number=1) + b"\nsecond\n" + issuing.crl([2], number=1))
    world = World(authority(path, more=[issuing]))
    await world.store.load()
    assert (world.status(1), world.status(2, issuing)) == ("revoked", "revoked")
    assert world.report.failures() == []


async def test_a_file_of_two_authorities_is_followed_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where one of them is still reading when the file changes again."""
    path = tmp_path / "all.pem"

    def both(number: int) -> bytes:
        return CA.crl([number], number=number) + OTHER.crl([number], number=number)

    path.write_bytes(both(1))
    world = World(authority(path), authority(path, name="other", ca=OTHER))
    original = crl_store.parse_crls

    def slow_for_one(memory: SealedMemory, issuers: Sequence[Certificate], *, apart: bool) -> list[CrlResult]:
        if issuers[0].issuer_hash == authority(ca=OTHER).anchors[0].issuer_hash:
            time.sleep(0.3)
        return original(memory, issuers, apart=apart)

    async with world.running():
        monkeypatch.setattr(crl_store, "parse_crls", slow_for_one)
        replace(path, both(2))
        await world.until(lambda: world.status(2) == "revoked")
        assert world.status(2, OTHER) == "good"
        replace(path, both(3))
        await world.until(lambda: world.status(3) == "revoked")
        await world.until(lambda: world.status(3, OTHER) == "revoked")


async def test_a_bad_crl_in_a_file_does_not_take_the_good_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "all.pem"
    path.write_bytes(CA.crl([1], number=1) + OTHER.crl([2], number=1))
    world = World(authority(path))
    await world.store.load()
    assert world.status(1) == "revoked"
    assert world.report.failures() == ["its issuer is not a configured authority"]


REFUSED: list[tuple[str, bytes, str]] = [
    ("a CRL of another issuer", OTHER.crl([1], number=20), "its issuer is not a configured authority"),
    (
        "a forged CRL",
        IMPOSTOR.crl([], number=20),
        "not signed by a configured authority of that name that may sign CRLs",
    ),
    ("a lower number", CA.crl([], number=9), "CRL number 9 is lower than 10, which is held"),
    ("a number used twice", CA.crl([], number=10), "another CRL with number 10 is held"),
    ("something else", b"hello", "not an acceptable CRL: "),
    ("an empty file", b"", "is empty"),
    ("too many CRLs", CA.crl([], number=20) * 65, "holds more than 64 CRLs"),
]


@pytest.mark.parametrize(("content", "detail"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
async def test_what_is_refused_leaves_the_former_crl_in_force(
    tmp_path: Path, content: bytes, detail: str
) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=10))
    world = World(authority(path), pace=CrlPace(file_poll=0.05))
    async with world.running():
        replace(path, content)
        await world.until(lambda: world.report.failures() != [])
        await asyncio.sleep(0.15)  # some polls: no second report
    assert [str(failure).startswith(detail) for failure in world.report.failures()] == [True]
    assert world.status(1) == "revoked"
    assert len(world.indexes) == 1


async def test_a_fifo_does_not_stop_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "corp.crl")
    world = World(authority(tmp_path / "corp.crl"))
    await world.store.load()
    assert world.report.failures() == ["is not a regular file"]


# Delta CRLs.


@pytest.mark.parametrize("order", [("full", "delta"), ("delta", "full")], ids=["full first", "delta first"])
async def test_the_order_of_full_and_delta_crl_does_not_matter(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    (tmp_path / "full").write_bytes(CA.crl([1], number=10))
    (tmp_path / "delta").write_bytes(CA.crl([2], number=11, delta_from=10))
    world = World(authority(*(tmp_path / name for name in order)))
    await world.store.load()
    assert (world.status(1), world.status(2)) == ("revoked", "revoked")
    assert world.report.failures() == []
    assert len(world.indexes) == 1


async def test_a_delta_crl_waits_for_its_base(tmp_path: Path) -> None:
    (tmp_path / "full").write_bytes(CA.crl([1], number=10))
    (tmp_path / "delta").write_bytes(CA.crl([2], number=13, delta_from=12))
    world = World(authority(tmp_path / "delta", tmp_path / "full"))
    async with world.running():
        assert world.status(2) == "good"
        assert world.report.failures() == ["delta CRL 13 waits for its base CRL 12"]
        delta, full = world.store.freshness(START)
        assert (delta.fresh, full.fresh) == (False, True)
        replace(tmp_path / "full", CA.crl([1], number=12))
        await world.until(lambda: world.status(2) == "revoked")
        assert [state.fresh for state in world.store.freshness(START)] == [True, True]
    assert world.report.lines[-2:] == [("loaded", "delta", 13, 1), ("loaded", "full", 12, 1)]


@pytest.mark.parametrize("full_number", [13, 15])
async def test_a_delta_crl_that_a_full_one_contains_is_no_failure(tmp_path: Path, full_number: int) -> None:
    (tmp_path / "full").write_bytes(CA.crl([1, 2], number=full_number))
    (tmp_path / "delta").write_bytes(CA.crl([2], number=13, delta_from=12))
    world = World(authority(tmp_path / "delta", tmp_path / "full"))
    await world.store.load()
    assert ("loaded", "full", full_number, 2) in world.report.lines
    assert world.report.failures() == []
    assert [state.fresh for state in world.store.freshness(START)] == [True, True]


# Freshness.


@pytest.mark.parametrize(
    ("allowed", "after", "fresh", "overdue"),
    [
        (None, timedelta(0), True, False),
        (None, timedelta(seconds=1), False, True),
        (6 * HOUR, 6 * HOUR, True, True),
        (6 * HOUR, 6 * HOUR + timedelta(seconds=1), False, True),
    ],
    ids=["at nextUpdate", "a second later", "within what is allowed", "a second after that"],
)
async def test_freshness_is_what_the_trust_decision_goes_by(
    tmp_path: Path, allowed: timedelta | None, after: timedelta, fresh: bool, overdue: bool
) -> None:
    path = tmp_path / "corp.crl"
    path.write_bytes(CA.crl([1], number=1, next_update=START + HOUR))
    world = World(authority(path, allowed=allowed))
    assert world.store.freshness(START) == (CrlState("corp", str(path), None, False, "not loaded yet"),)
    await world.store.load()
    (state,) = world.store.freshness(START + HOUR + after)
    detail = f"its successor was due on {START + HOUR:%Y-%m-%d %H:%M} UTC" if overdue else ""
    assert state == CrlState("corp", str(path), START + HOUR, fresh, detail)


async def test_nothing_to_watch_is_nothing_to_do() -> None:
    world = World(authority())
    async with world.running():
        assert world.store.freshness(START) == ()
    assert world.indexes == []
