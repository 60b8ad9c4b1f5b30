"""The spool of sign-on events: what was acknowledged is read once, whatever ends when."""

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import spool as spool_module
from gateway.adapters.spool import Spool
from gateway.adapters.spool_format import RecordDamaged, framed, records, segments
from gateway.adapters.spool_reader import Batch, Position, SpoolReader
from gateway.model.spooling import SystemLogFull

MEBIBYTE = 1_048_576


class Log:
    """What a store would have: records and positions, changed together or not at all."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.places: list[str] = []
        self.positions: dict[str, Position] = {}

    def commit(self, batch: Batch) -> None:
        self.records += [record.content for record in batch.records]
        self.places += [record.place for record in batch.records]
        self.positions.update(batch.positions)
        for run in batch.forgotten:
            self.positions.pop(run, None)  # who was killed before deleting forgets it again

    def take(self, reader: SpoolReader, limit: int = 500) -> Batch:
        batch = reader.read(self.positions.get, limit)
        self.commit(batch)
        reader.release(batch)
        return batch

    def take_all(self, reader: SpoolReader, limit: int = 500) -> None:
        while self.take(reader, limit).records:
            pass


def spool(keys: Path, slot: int = 1, limit: int = 64 * MEBIBYTE, now_ns: int = 1) -> Spool:
    return Spool(str(keys), slot, limit, now_ns=now_ns, random=b"rand")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path


def test_what_was_appended_is_read_once_and_in_order(keys: Path) -> None:
    written, log, reader = spool(keys), Log(), SpoolReader(str(keys))
    for number in range(10):
        written.append([b"%d" % number])
    written.append([b"a", b"b"])
    log.take_all(reader, limit=3)
    assert log.records == [b"%d" % number for number in range(10)] + [b"a", b"b"]
    assert len(set(log.places)) == len(log.places)
    assert not log.take(reader).records


def test_a_segment_stays_while_its_worker_lives_and_goes_with_its_end(keys: Path) -> None:
    written, log, reader = spool(keys), Log(), SpoolReader(str(keys))
    written.append([b"one"])
    log.take_all(reader)
    assert len(segments(keys / "spool")) == 1
    written.append([b"two"])
    written.close()
    log.take_all(reader)
    log.take(reader)
    assert log.records == [b"one", b"two"]
    assert segments(keys / "spool") == []
    assert log.positions == {}


def test_full_segments_are_followed_by_new_ones_and_taken_away(keys: Path) -> None:
    written, log, reader = spool(keys, limit=16 * MEBIBYTE), Log(), SpoolReader(str(keys))
    for number in range(200):
        written.append([b"%04d" % number * 500])
    assert len(segments(keys / "spool")) > 3
    log.take_all(reader)
    assert [record[:4] for record in log.records] == [b"%04d" % number for number in range(200)]
    assert len(segments(keys / "spool")) == 1


def test_spools_of_workers_that_are_gone_and_of_earlier_runs_are_read_too(keys: Path) -> None:
    for slot, now_ns in ((1, 10), (2, 11), (1, 12), (7, 9)):
        gone = spool(keys, slot, now_ns=now_ns)
        gone.append([b"%d-%d" % (slot, now_ns)])
        gone.close()
    log = Log()
    log.take_all(SpoolReader(str(keys)))
    assert log.records == [b"7-9", b"1-10", b"2-11", b"1-12"]


def test_a_torn_end_is_passed_over_once_its_worker_is_gone(keys: Path) -> None:
    written, log, reader = spool(keys), Log(), SpoolReader(str(keys))
    written.append([b"whole"])
    (segment,) = segments(keys / "spool")
    with segment.path.open("ab") as file:
        file.write(framed(b"never finished")[:-3])
    assert log.take(reader).losses == []
    written.close()
    (loss,) = log.take(reader).losses
    assert (loss.count, loss.torn) == (len(framed(b"never finished")) - 3, True)
    log.take(reader)
    assert log.records == [b"whole"]
    assert segments(keys / "spool") == []


@pytest.mark.parametrize("spoil", [lambda c: c[:20] + b"\xff" + c[21:], lambda c: bytes(len(c))])
def test_a_damaged_segment_is_kept_under_another_name(keys: Path, spoil: object) -> None:
    written, log, reader = spool(keys), Log(), SpoolReader(str(keys))
    written.append([b"first record"])
    written.append([b"second record"])
    written.close()
    (segment,) = segments(keys / "spool")
    segment.path.write_bytes(spoil(segment.path.read_bytes()))  # type: ignore[operator]
    later = spool(keys, now_ns=2)
    later.append([b"later"])
    (loss,) = log.take(reader).losses
    assert not loss.torn
    assert log.records[-1] == b"later"
    assert [path.suffix for path in (keys / "spool" / "1").iterdir() if path.suffix != ".spool"] == [
        ".damaged"
    ]


def test_a_full_spool_takes_nothing_until_it_was_read(keys: Path) -> None:
    written, log, reader = spool(keys, limit=MEBIBYTE), Log(), SpoolReader(str(keys))
    count = 0
    while written.used_bytes < MEBIBYTE:
        written.append([b"x" * 10_000])
        count += 1
    with pytest.raises(SystemLogFull, match="of at most 1048576 bytes"):
        written.append([b"x"])
    with pytest.raises(SystemLogFull):
        written.require_room()
    log.take_all(reader)
    written.look()
    written.require_room()
    written.append([b"again"])
    log.take_all(reader)
    assert len(log.records) == count + 1


def test_what_other_workers_wrote_counts_too(keys: Path) -> None:
    one, other = spool(keys, 1, MEBIBYTE), spool(keys, 2, MEBIBYTE)
    for _ in range(60):
        one.append([b"x" * 10_000])
        other.append([b"x" * 10_000])
    one.look()
    with pytest.raises(SystemLogFull):
        one.append([b"x"])


@pytest.mark.parametrize("fault", ["error", "short"])
def test_a_write_that_fails_leaves_nothing_behind(
    keys: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, log, reader = spool(keys), Log(), SpoolReader(str(keys))
    written.append([b"before"])
    write = os.write

    def fails(descriptor: int, content: bytes) -> int:
        count = write(descriptor, content[:5])
        if fault == "error":
            raise OSError(errno.ENOSPC, "No space left on device")
        return count

    monkeypatch.setattr(spool_module.os, "write", fails)
    with pytest.raises(SystemLogFull):
        written.append([b"lost"])
    monkeypatch.undo()
    written.append([b"after"])
    written.close()
    log.take_all(reader)
    assert log.records == [b"before", b"after"]


def test_a_disk_that_takes_no_new_segment_counts_as_full(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = spool(keys)

    def fails(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(spool_module.os, "open", fails)
    with pytest.raises(SystemLogFull, match="Read-only file system"):
        written.append([b"x"])


def test_two_processes_do_not_read_the_same_spools(keys: Path) -> None:
    one, other = SpoolReader(str(keys)), SpoolReader(str(keys))
    assert one.claim()
    assert one.claim()
    assert not other.claim()
    one.close()
    assert other.claim()
    other.close()


def test_what_a_worker_left_that_was_killed_at_its_start_is_tidied_away(keys: Path) -> None:
    spool(keys)
    left = keys / "spool" / "1" / ".x.spool.new"
    left.touch()
    reader = SpoolReader(str(keys))
    reader.tidy(left.stat().st_mtime + 10)
    assert left.exists()
    reader.tidy(left.stat().st_mtime + 61)
    assert not left.exists()


_STEPS = st.lists(
    st.sampled_from(["write", "two", "end", "take", "taken", "read", "commit", "torn"]) | st.integers(1, 4),
    max_size=60,
)


@settings(deadline=None)
@given(_STEPS, st.integers(0, 2**32))
def test_whatever_ends_in_between_each_record_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str | int], seed: int
) -> None:
    """``read`` reads and is killed; ``commit`` is killed before it deletes, ``taken`` afterwards; ``torn``
    kills the worker within a write; a number is how many records the next batches have at most."""
    keys, chance = tmp_path_factory.mktemp("keys"), random.Random(seed)
    log, reader, run, limit, told = Log(), SpoolReader(str(keys)), 1, 500, []
    written = spool(keys, now_ns=run)
    for step in steps:
        match step:
            case int():
                limit = step
            case "write" | "two":
                new = [b"%d" % (len(told) + extra) for extra in range(2 if step == "two" else 1)]
                written.append(new)
                told += new
            case "end" | "torn":
                if step == "torn" and written._descriptor >= 0:
                    lost = framed(b"lost" * 9)
                    os.write(written._descriptor, lost[: chance.randrange(1, len(lost))])
                written.close()
                run += 1
                written = spool(keys, slot=chance.randrange(1, 3), now_ns=run)
            case "take" | "taken":
                log.take(reader, limit)
                if step == "taken":
                    reader = SpoolReader(str(keys))
            case "read":
                reader.read(log.positions.get, limit)
                reader = SpoolReader(str(keys))
            case "commit":
                log.commit(reader.read(log.positions.get, limit))
                reader = SpoolReader(str(keys))
    written.close()
    log.take_all(reader, limit)
    assert log.records == told
    assert len(set(log.places)) == len(told)
    for _ in range(3):
        log.take(reader, limit)
    assert log.positions == {}
    assert list(keys.rglob("*.spool*")) == []


@given(
    st.binary(max_size=300)
    | st.lists(st.binary(min_size=1, max_size=20)).map(lambda r: b"".join(map(framed, r)))
)
def test_any_bytes_are_records_or_damaged(content: bytes) -> None:
    at = 0
    try:
        for record, end in records(content):
            assert content[at:end] == framed(record)
            at = end
    except RecordDamaged:
        assert at < len(content)
