"""The files of a spool of sign-on events, as the workers write them and the org process reads them.

    <keys>/spool/<worker>/<run>-<number>.spool

A run is one life of one worker; its segments are numbered from 1. A record is its length and its CRC-32 (4
bytes each, big-endian), then that many bytes. While a worker writes a segment it holds a lock on it (flock):
what nobody holds is complete, or as complete as it will ever be. A segment gets its name when it is locked
already.
"""

import fcntl
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SPOOL_DIRECTORY: Final = "spool"
SUFFIX: Final = ".spool"
UNFINISHED_SUFFIX: Final = ".new"
DAMAGED_SUFFIX: Final = ".damaged"
DONE_SUFFIX: Final = ".done"
HEADER: Final = struct.Struct(">II")
# An event has some 500 bytes; with the longest names that are kept, in the costliest script, 250 KB. More is
# a sign of damage.
MAX_RECORD_BYTES: Final = 262_144

_NAME: Final = re.compile(r"([0-9a-f]{24})-([0-9]{8})\.spool")
_OVER: Final = re.compile(
    rf"([0-9a-f]{{24}})-[0-9]{{8}}\.spool({re.escape(DAMAGED_SUFFIX)}|{re.escape(DONE_SUFFIX)})"
)


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """Ordered as they were begun."""

    run: str
    number: int
    path: Path


def segment_name(run: str, number: int) -> str:
    return f"{run}-{number:08d}{SUFFIX}"


def segments(spool: Path) -> list[Segment]:
    """All segments of all workers, in order. Other files are passed over. Raises OSError."""
    found = []
    try:
        slots = [slot for slot in spool.iterdir() if slot.is_dir()]
    except FileNotFoundError:
        return []
    for slot in slots:
        for path in slot.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None:
                found.append(Segment(match[1], int(match[2]), path))
    return sorted(found)


def runs_that_are_over(spool: Path) -> dict[str, list[Path]]:
    """Of each run whose last segment was read to its end, or is damaged, the files that are left and of no
    use to anybody. Raises OSError."""
    over: dict[str, list[Path]] = {}
    for path in spool.glob("*/*"):
        match = _OVER.fullmatch(path.name)
        if match is not None:
            over.setdefault(match[1], []).extend([path] if match[2] == DONE_SUFFIX else [])
    for segment in segments(spool):
        over.pop(segment.run, None)
    return over


def framed(record: bytes) -> bytes:
    """Raises ValueError for a record of a size that no reader would take."""
    if not 0 < len(record) <= MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(record)} bytes")
    return HEADER.pack(len(record), zlib.crc32(record)) + record


class RecordDamaged(Exception):
    """What stands there was never written so."""


def records(content: bytes) -> Iterator[tuple[bytes, int]]:
    """(record, where it ends) for each whole record; ends before one that is not all there. Raises
    RecordDamaged."""
    at = 0
    while at + HEADER.size <= len(content):
        length, check = HEADER.unpack_from(content, at)
        if not 0 < length <= MAX_RECORD_BYTES:
            raise RecordDamaged
        end = at + HEADER.size + length
        if end > len(content):
            return
        record = content[at + HEADER.size : end]
        if zlib.crc32(record) != check:
            raise RecordDamaged
        yield record, end
        at = end


def is_written(descriptor: int) -> bool:
    """Whether a worker may still append to the segment."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
