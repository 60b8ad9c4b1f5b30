"""The System Log's end in a worker."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.adapters.spool import Spool
from gateway.adapters.spool_reader import SpoolReader
from gateway.adapters.system_log import NoSystemLog, SpooledSystemLog
from gateway.model.events import ChallengeAnswered
from gateway.model.settings import SystemLogSettings
from gateway.model.spooling import SystemLogFull
from gateway.system_log.spooled import decode_event

LIMIT = 1_048_576
ANSWERED = ChallengeAnswered(
    datetime(2026, 1, 2, tzinfo=UTC), "ref", "wiki", "flow", "trusted", "", "", "guo1", "thumb", "192.0.2.1"
)


class World:
    def __init__(self, keys: Path, *, refuses: bool) -> None:
        self.keys = keys
        self.unlogged = 0
        self.spool = Spool(str(keys), 1, LIMIT, now_ns=1, random=b"rand")
        self.log = SpooledSystemLog(self.spool, SystemLogSettings(LIMIT, refuses), self._count)

    def _count(self) -> None:
        self.unlogged += 1

    def fill(self) -> None:
        while self.spool.used_bytes < LIMIT:
            self.spool.append([b"x" * 60_000])


def test_an_event_is_in_the_spool_when_it_was_kept(tmp_path: Path) -> None:
    world = World(tmp_path, refuses=True)
    world.log.keep(ANSWERED)
    batch = SpoolReader(str(tmp_path)).read(lambda _: None)
    assert [decode_event(record.content) for record in batch.records] == [ANSWERED]


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    world = World(tmp_path, refuses=True)
    world.fill()
    with pytest.raises(SystemLogFull):
        world.log.require_room()
    with pytest.raises(SystemLogFull):
        world.log.keep(ANSWERED)
    assert world.unlogged == 0


def test_a_full_spool_loses_the_event_and_counts_it_where_sign_ons_go_on(tmp_path: Path) -> None:
    world = World(tmp_path, refuses=False)
    world.fill()
    world.log.require_room()
    world.log.keep(ANSWERED)
    assert world.unlogged == 1


def test_a_new_configuration_counts_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, refuses=True)
    world.fill()
    world.log.apply(SystemLogSettings(2 * LIMIT, True))
    world.log.keep(ANSWERED)
    world.log.apply(SystemLogSettings(LIMIT, False))
    world.log.keep(ANSWERED)
    assert world.unlogged == 1


def test_without_a_store_nothing_is_kept() -> None:
    log = NoSystemLog()
    log.require_room()
    log.keep(ANSWERED)
    log.apply(SystemLogSettings())
