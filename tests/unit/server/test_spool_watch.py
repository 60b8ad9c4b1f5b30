"""How full the spool is, as it is told to metrics and log."""

import json
from pathlib import Path

import pytest

from gateway.adapters.spool import Spool
from gateway.server.log import LogWriter
from gateway.server.spool_watch import SpoolWatch

LIMIT = 10_000_000


class FilledSpool(Spool):
    filled = 0

    def look(self) -> int:
        return self.filled


class World:
    def __init__(self, keys: Path, *, alarms: bool = True) -> None:
        self.lines: list[bytes] = []
        self.reports: list[tuple[int, int]] = []
        self.spool = FilledSpool(str(keys), 1, LIMIT, now_ns=1, random=b"rand")
        self.log = LogWriter(self.lines.append)
        report = lambda used, limit: self.reports.append((used, limit))  # noqa: E731
        self.watch = SpoolWatch(self.spool, self.log, report, alarms=alarms)

    async def at(self, *percents: int) -> None:
        for percent in percents:
            self.spool.filled = LIMIT * percent // 100
            await self.watch.look()

    def told(self) -> list[tuple[str, int]]:
        self.log.start()
        self.log.stop(5)
        return [
            (line["event"], line["percent"]) for line in map(json.loads, b"".join(self.lines).splitlines())
        ]


@pytest.mark.parametrize(
    ("name", "percents", "told"),
    [
        ("little", (0, 10, 49), []),
        (
            "each level once",
            (49, 50, 60, 79, 80, 99, 100, 120),
            [("fills", 50), ("fills", 80), ("fills", 100)],
        ),
        ("at once", (0, 130), [("fills", 130)]),
        ("over only well below", (50, 49, 41, 50, 39), [("fills", 50), ("drains", 39)]),
        ("to and fro", (80, 79, 81, 75, 80), [("fills", 80)]),
        ("down a level", (85, 69, 30), [("fills", 85), ("drains", 69), ("drains", 30)]),
    ],
)
async def test_lines_of_the_log(
    name: str, percents: tuple[int, ...], told: list[tuple[str, int]], tmp_path: Path
) -> None:
    world = World(tmp_path)
    await world.at(*percents)
    assert world.told() == [(f"system_log_spool_{what}", percent) for what, percent in told]


async def test_every_worker_reports_and_one_writes_lines(tmp_path: Path) -> None:
    world = World(tmp_path, alarms=False)
    await world.at(90)
    assert world.reports == [(9_000_000, LIMIT)]
    assert world.told() == []


async def test_a_directory_that_cannot_be_read_is_a_line_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)

    def fails() -> int:
        raise PermissionError("no")

    monkeypatch.setattr(world.spool, "look", fails)
    await world.watch.look()
    world.log.start()
    world.log.stop(5)
    assert json.loads(world.lines[0])["event"] == "system_log_spool_unreadable"
