"""The spool of one worker: sign-on events on their way into the store, which may be away for a while.

An event is kept when `append` returns: one write(2), so it outlives this process, though not the machine's
power. The spool of a gateway is bounded. What other workers wrote, and what the org process has taken away,
shows with the next `look`, so a bound may be passed by what all write between two of them.
"""

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.adapters.spool_format import (
    SPOOL_DIRECTORY,
    UNFINISHED_SUFFIX,
    framed,
    segment_name,
    segments,
)
from gateway.model.spooling import SystemLogFull

_SMALLEST_SEGMENT_BYTES: Final = 65_536
_LARGEST_SEGMENT_BYTES: Final = 1_048_576
_SEGMENTS_OF_A_SPOOL: Final = 1_024
RUN_RANDOM_BYTES: Final = 4


class Spool:
    """``slot`` is the worker's place among those of the gateway, ``now_ns`` the time of its start and
    ``random`` 4 bytes: together they name this run. Raises OSError where there can be no directory."""

    def __init__(
        self, keys_directory: str, slot: int, limit_bytes: int, *, now_ns: int, random: bytes
    ) -> None:
        assert len(random) == RUN_RANDOM_BYTES
        self.limit_bytes = limit_bytes
        self._root = Path(keys_directory, SPOOL_DIRECTORY)
        self._directory = self._root / str(slot)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run = f"{now_ns:016x}{random.hex()}"
        self._number = 0
        self._descriptor = -1
        self._size = 0
        self._written = 0
        self._others = 0
        self.look()

    @property
    def used_bytes(self) -> int:
        """Of all workers together, as far as it is known."""
        return self._others + self._written

    def require_room(self) -> None:
        """Raises SystemLogFull where no further event would be taken."""
        if self.used_bytes >= self.limit_bytes:
            raise SystemLogFull(f"the spool holds {self.used_bytes} of at most {self.limit_bytes} bytes")

    def append(self, written: Sequence[bytes]) -> None:
        """Keep these records, all or none. Raises SystemLogFull."""
        content = b"".join(map(framed, written))
        self.require_room()
        try:
            if self._descriptor < 0 or self._size + len(content) > self._segment_bytes:
                self._begin_segment()
            count = os.write(self._descriptor, content)
        except OSError as error:
            self._take_back()
            raise SystemLogFull(f"{self._directory}: {error.strerror}") from error
        if count != len(content):
            self._take_back()
            raise SystemLogFull(f"{self._directory}: took {count} of {len(content)} bytes")
        self._size += count
        self._written += count

    def look(self) -> int:
        """Count what all spools hold; may be called from another thread than `append`. The bytes in use.
        Raises OSError."""
        own = self._written
        total = 0
        for segment in segments(self._root):
            with contextlib.suppress(FileNotFoundError):  # taken away meanwhile
                total += segment.path.stat().st_size
        self._others = total - own
        return total

    def close(self) -> None:
        """Whoever reads may then take the last segment away, too."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _segment_bytes(self) -> int:
        """Small beside the bound, since only whole segments are taken away."""
        share = self.limit_bytes // _SEGMENTS_OF_A_SPOOL
        return min(max(share, _SMALLEST_SEGMENT_BYTES), _LARGEST_SEGMENT_BYTES)

    def _begin_segment(self) -> None:
        path = self._directory / segment_name(self._run, self._number + 1)
        unfinished = path.with_name(f".{path.name}{UNFINISHED_SUFFIX}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(unfinished, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unfinished.rename(path)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        self.close()
        self._descriptor, self._size = descriptor, 0
        self._number += 1

    def _take_back(self) -> None:
        """Leave nothing half written: the next record would be taken for its rest."""
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self.close()  # a reader passes over what is at its end
