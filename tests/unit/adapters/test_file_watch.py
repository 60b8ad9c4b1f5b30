"""What rings the watch: a watched file that is written, a file that comes or goes; and what does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters.file_watch import watch_files

SOON = 5.0
QUIET = 0.6  # longer than the watch gathers changes


class Checks:
    def __init__(self) -> None:
        self.count = 0
        self.rang = asyncio.Event()

    async def check(self) -> None:
        self.count += 1
        self.rang.set()


@asynccontextmanager
async def watching(*paths: Path) -> AsyncIterator[Checks]:
    checks = Checks()
    task = asyncio.create_task(watch_files([str(path) for path in paths], checks.check, poll_seconds=60))
    try:
        await asyncio.wait_for(checks.rang.wait(), SOON)
        await asyncio.sleep(QUIET)
        checks.count = 0
        checks.rang.clear()
        yield checks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text("new")
    new.replace(path)


RINGS: list[tuple[str, Callable[[Path], object]]] = [
    ("written in place", lambda path: path.write_text("other")),
    ("replaced", replace),
    ("removed", lambda path: path.unlink()),
    ("written through its link", lambda path: (path.parent / "elsewhere" / "real").write_text("other")),
]


@pytest.mark.parametrize("change", [r[1] for r in RINGS], ids=[r[0] for r in RINGS])
async def test_a_watched_file_that_is(change: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real").write_text("one")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "real")
    watched = tmp_path / "gateway.yaml"
    watched.write_text("one")
    async with watching(watched, tmp_path / "link") as checks:
        change(watched)
        await asyncio.wait_for(checks.rang.wait(), SOON)


async def test_a_log_that_grows_beside_it_does_not_ring(tmp_path: Path) -> None:
    watched, log = tmp_path / "gateway.yaml", tmp_path / "gateway.log"
    watched.write_text("one")
    log.write_text("")
    async with watching(watched) as checks:
        for _ in range(5):
            with log.open("a") as file:
                file.write("a line\n")
            await asyncio.sleep(QUIET / 3)
        assert checks.count == 0
        watched.write_text("two")
        await asyncio.wait_for(checks.rang.wait(), SOON)
