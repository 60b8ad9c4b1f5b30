"""Reads the spools of all workers of a gateway, those that are gone included, for the System Log in the
store.

    batch = reader.read(position_of, limit)      up to ``limit`` records and the positions behind them
    …                                            one transaction: insert the events, advance the positions
    reader.release(batch)                        only then: segments that were read to their end are deleted

Whoever is killed in between reads again from the positions that the store has: each record is in the log
once. The last segment of a run gets another name first, and is deleted when the run's position is forgotten:
so that one who is killed before that leaves something by which the next one knows what to forget.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from gateway.adapters.spool_format import (
    DAMAGED_SUFFIX,
    DONE_SUFFIX,
    MAX_RECORD_BYTES,
    SPOOL_DIRECTORY,
    UNFINISHED_SUFFIX,
    RecordDamaged,
    Segment,
    is_written,
    records,
    runs_that_are_over,
    segments,
)

MAX_BATCH_RECORDS: Final = 500
_READ_BYTES: Final = 262_144
_LOCK_NAME: Final = ".reader"
# A worker names a segment within microseconds after it made it.
_ABANDONED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Position:
    """Everything before this offset of this segment, and all segments before it, are in the log."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class SpooledRecord:
    """``place`` names it for ever: no other record has had it or will."""

    place: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Loss:
    """Bytes that could not be read. ``torn``: the end of a write that a worker did not live to finish, and
    that nobody was told had succeeded. Else the file was damaged later, and is kept under another name."""

    path: Path
    offset: int
    count: int
    torn: bool


@dataclass(slots=True)
class Batch:
    """``forgotten``: runs of which nothing is left on disk; their positions can go."""

    records: list[SpooledRecord] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    finished: list[Segment] = field(default_factory=list)
    damaged: list[Segment] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.positions or self.forgotten)


class PositionOf(Protocol):
    def __call__(self, run: str) -> Position | None: ...


class SpoolReader:
    """Raises OSError where the directory cannot be made. Not safe for several threads at once."""

    def __init__(self, keys_directory: str) -> None:
        self._root = Path(keys_directory, SPOOL_DIRECTORY)
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = -1
        self._over: dict[str, list[Path]] | None = None  # None: not looked for yet

    def claim(self) -> bool:
        """Become the one reader of these spools; False while another process is. Raises OSError."""
        if self._lock >= 0:
            return True
        descriptor = os.open(self._root / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self, position_of: Callable[[str], Position | None], limit: int = MAX_BATCH_RECORDS) -> Batch:
        """What is there now, at most ``limit`` records. Changes no file. Raises OSError."""
        batch = Batch()
        if self._over is None:
            self._over = runs_that_are_over(self._root)
        positions: dict[str, Position | None] = {}
        stopped: set[str] = set()  # runs that have to go on with the next batch
        for segment in segments(self._root):
            if segment.run in stopped:
                continue
            if segment.run not in positions:
                positions[segment.run] = position_of(segment.run)
            position = positions[segment.run]
            if position is not None and segment.number < position.segment:
                batch.finished.append(segment)  # whoever read it did not live to delete it
                continue
            begin = position.offset if position is not None and position.segment == segment.number else 0
            end, complete = self._read_segment(segment, begin, limit, batch)
            if end != begin or position is None or position.segment != segment.number:
                positions[segment.run] = batch.positions[segment.run] = Position(segment.number, end)
            if not complete:
                stopped.add(segment.run)
            if len(batch.records) >= limit:
                break
        batch.forgotten.extend(self._over)
        return batch

    def release(self, batch: Batch) -> None:
        """After the transaction: delete what is in the log to its end. Raises OSError."""
        over = {} if self._over is None else self._over
        for run in batch.forgotten:
            for path in over.get(run, ()):
                path.unlink(missing_ok=True)
            over.pop(run, None)
        if not batch.finished and not batch.damaged:
            return
        taken = {segment.path for segment in (*batch.finished, *batch.damaged)}
        going_on = {segment.run for segment in segments(self._root) if segment.path not in taken}
        for segment in batch.damaged:
            segment.path.rename(_suffixed(segment.path, DAMAGED_SUFFIX))
            if segment.run not in going_on:
                over.setdefault(segment.run, [])
        for segment in batch.finished:
            if segment.run in going_on:
                segment.path.unlink(missing_ok=True)
                continue
            done = _suffixed(segment.path, DONE_SUFFIX)
            with contextlib.suppress(FileNotFoundError):
                segment.path.rename(done)
            over.setdefault(segment.run, []).append(done)

    def tidy(self, now: float) -> None:
        """Delete what workers left that were killed while they began a segment. Raises OSError."""
        for path in self._root.glob(f"*/.*{UNFINISHED_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if now - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()

    def _read_segment(self, segment: Segment, begin: int, limit: int, batch: Batch) -> tuple[int, bool]:
        """(where the next reading begins, whether nothing will follow there)."""
        try:
            descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return begin, True
        try:
            # Asked before reading: what is not written any more by then is all there.
            is_complete = not is_written(descriptor)
            at, damaged = self._read_records(descriptor, segment, begin, limit, batch)
            if len(batch.records) >= limit:
                return at, False
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if not is_complete:
            return at, False
        if at < size:
            batch.losses.append(Loss(segment.path, at, size - at, torn=not damaged))
        (batch.damaged if damaged else batch.finished).append(segment)
        return size, True

    def _read_records(
        self, descriptor: int, segment: Segment, begin: int, limit: int, batch: Batch
    ) -> tuple[int, bool]:
        """(where the last whole record ends, whether what follows is damaged)."""
        at = begin
        while len(batch.records) < limit:
            content = os.pread(descriptor, max(_READ_BYTES, 2 * MAX_RECORD_BYTES), at)
            before = at
            try:
                for record, end in records(content):
                    place = f"{segment.run}-{segment.number}-{before + end}"
                    batch.records.append(SpooledRecord(place, record))
                    at = before + end
                    if len(batch.records) >= limit:
                        break
            except RecordDamaged:
                return at, True
            if at == before:
                break
        return at, False


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
