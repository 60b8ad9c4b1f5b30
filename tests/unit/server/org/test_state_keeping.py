"""Keeping what the org said last, while the disk takes it and while it does not."""

import asyncio
from pathlib import Path

import pytest

from gateway.adapters.remembered_state import kept_state
from gateway.server.org import state_keeping
from gateway.server.org.state_keeping import StateKeeping


async def until_kept(directory: Path, document: bytes) -> None:
    async with asyncio.timeout(20):
        while kept_state(str(directory)) != document:
            await asyncio.sleep(0.005)


async def test_the_last_of_several_states_is_kept(tmp_path: Path) -> None:
    keeping = StateKeeping(str(tmp_path), pytest.fail)
    running = asyncio.create_task(keeping.run())
    for document in (b"one", b"two", b"three"):
        keeping.keep(document)
    await until_kept(tmp_path, b"three")
    keeping.keep(b"four")
    await until_kept(tmp_path, b"four")
    running.cancel()


async def test_a_disk_that_fails_is_told_of_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_keeping, "_TRY_AGAIN_SECONDS", 0.01)
    told: list[str] = []
    directory = tmp_path / "gone"
    keeping = StateKeeping(str(directory), told.append)
    running = asyncio.create_task(keeping.run())
    keeping.keep(b"one")
    await asyncio.sleep(0.1)
    assert told == ["No such file or directory"]
    directory.mkdir()
    await until_kept(directory, b"one")
    running.cancel()
