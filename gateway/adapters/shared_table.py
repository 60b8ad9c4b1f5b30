"""A table of short-lived entries in memory that several processes map: whoever writes first wins, for all of
them.

The memory has no name in any file system. It is allocated whole when it is made and can neither shrink nor
grow, so that no later shortage of memory or disk ends a process that touches it. Its descriptor is passed on
to other processes, and the table lives as long as one of them holds it.

One page of 4,096 bytes is a bucket of 64 entries, little-endian:

=====  =====  =======================================================================
from   bytes  content
=====  =====  =======================================================================
0      8 × 64   until when each entry counts, milliseconds since 1970; 0 for a free one
512    32 × 64  the keyed hash of each key
2560   24 × 64  the value of each entry
=====  =====  =======================================================================

The first page holds the key of the hash (BLAKE2b). It is random, so nobody outside can choose keys that meet
in one bucket. A key is looked for in its own bucket only. A bucket can therefore be full before the table is:
a table is made with room for 1.65 times as many entries as are asked for, and then all of them find a place,
but for a few in a hundred thousand.

Every access holds the lock of its bucket: a byte-range lock of the kernel (fcntl), which ends with the
process that holds it, however that ends. An entry is written with its time last; a process that dies before
has claimed nothing. Threads of one process are not kept apart: it is for the event loop only.
"""

import errno
import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final, Self

from gateway.model.one_use import OneUseKeysFull

VALUE_BYTES: Final = 24
DIGEST_BYTES: Final = 32
HASH_KEY_BYTES: Final = 32

_PAGE: Final = 4_096
_ENTRIES: Final = 64
_TIME_BYTES: Final = 8
_DIGESTS_AT: Final = _ENTRIES * _TIME_BYTES
_VALUES_AT: Final = _DIGESTS_AT + _ENTRIES * DIGEST_BYTES
_SPARE: Final = 1.65
_MAGIC: Final = b"dt-table-1\0\0\0\0\0\0"
# struct flock: type, whence, start, length, process.
_LOCK: Final = struct.Struct("hhqqi4x")
# A holder needs some microseconds. One that was stopped or lost its processor in between may need many
# milliseconds, for which the event loop must not wait: whoever can come back later does.
_TRIES_AT_ONCE: Final = 50
_LATER_TRIES: Final = 4
_PAUSE_SECONDS: Final = 0.000_5

Entry = tuple[bytes, int, bytes]


class TableBusy(OneUseKeysFull):
    """Another process holds the bucket for longer than anybody may wait."""


class SharedTable:
    """Made by `create` or `open`. Times are in seconds since 1970."""

    def __init__(self, descriptor: int, memory: mmap.mmap) -> None:
        self._descriptor = descriptor
        self._memory = memory
        self._buckets = len(memory) // _PAGE - 1
        self._hash_key = memory[len(_MAGIC) : len(_MAGIC) + HASH_KEY_BYTES]
        self._times = memoryview(memory).cast("Q")

    @classmethod
    def create(cls, name: str, entries: int, hash_key: bytes | None = None) -> Self:
        """An empty table with room for this many entries. Raises OSError where there is no memory for it."""
        buckets = int(entries * _SPARE) // _ENTRIES + 1
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            size = (buckets + 1) * _PAGE
            os.ftruncate(descriptor, size)
            os.posix_fallocate(descriptor, 0, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            os.pwrite(descriptor, _MAGIC + (hash_key or secrets.token_bytes(HASH_KEY_BYTES)), 0)
            return cls.open(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def open(cls, descriptor: int) -> Self:
        """The table behind a descriptor that another process passed on. Raises ValueError where it is
        none."""
        size = os.fstat(descriptor).st_size
        try:
            sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:  # a file of a file system that knows no seals
            raise ValueError("no shared table") from None
        if not sealed & fcntl.F_SEAL_SHRINK or size < 2 * _PAGE or size % _PAGE:
            raise ValueError("no shared table")
        memory = mmap.mmap(descriptor, size)
        if memory[: len(_MAGIC)] != _MAGIC:
            raise ValueError("no shared table, or one of another version")
        return cls(descriptor, memory)

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def hash_key(self) -> bytes:
        return self._hash_key

    def claim(self, key: bytes, until: float, now: float, value: bytes = b"") -> bool:
        """True if the key had no entry that counts: now it has one, up to and including ``until``. False, and
        nothing is changed, if it had. Raises OneUseKeysFull: no entry makes room before its time."""
        digest = self._digest(key)
        bucket = self._bucket_of(digest)
        now_ms = _milliseconds(now)
        with self._locked(bucket):
            times = self._times_of(bucket)
            held = self._place_of(bucket, digest, times)
            if held is not None and times[held] >= now_ms:
                return False
            oldest = min(times)
            if held is None and oldest >= now_ms:
                raise OneUseKeysFull("no entry of the bucket has expired")
            place = times.index(oldest) if held is None else held
            self._write(bucket, place, digest, _milliseconds(until), value)
        return True

    def put(self, key: bytes, until: float, value: bytes) -> None:
        """Remember a value, in place of the one that the key had, or, in a full bucket, of what ends
        first."""
        digest = self._digest(key)
        bucket = self._bucket_of(digest)
        with self._locked(bucket):
            times = self._times_of(bucket)
            held = self._place_of(bucket, digest, times)
            place = times.index(min(times)) if held is None else held
            self._write(bucket, place, digest, _milliseconds(until), value)

    def get(self, key: bytes, now: float) -> bytes | None:
        """The value of a key (`VALUE_BYTES` long) whose entry counts, or None."""
        digest = self._digest(key)
        bucket = self._bucket_of(digest)
        with self._locked(bucket):
            times = self._times_of(bucket)
            held = self._place_of(bucket, digest, times)
            if held is None or times[held] < _milliseconds(now):
                return None
            at = (bucket + 1) * _PAGE + _VALUES_AT + held * VALUE_BYTES
            return self._memory[at : at + VALUE_BYTES]

    @property
    def buckets(self) -> int:
        return self._buckets

    def entries(self, now: float, buckets: range | None = None) -> Iterator[Entry]:
        """(digest, until in milliseconds, value) of all that counts, as it was at some moment while they are
        read; of these buckets only, if any are given."""
        now_ms = _milliseconds(now)
        wanted = range(self._buckets) if buckets is None else buckets
        for bucket in range(wanted.start, min(wanted.stop, self._buckets)):
            page = (bucket + 1) * _PAGE
            with self._locked(bucket):
                times = self._times_of(bucket)
                if max(times) < now_ms:
                    continue
                content = self._memory[page : page + _PAGE]
            for place, until in enumerate(times):
                if until >= now_ms:
                    digest_at = _DIGESTS_AT + place * DIGEST_BYTES
                    value_at = _VALUES_AT + place * VALUE_BYTES
                    yield (
                        content[digest_at : digest_at + DIGEST_BYTES],
                        until,
                        content[value_at : value_at + VALUE_BYTES],
                    )

    def restore(self, entries: Iterable[Entry], now: float) -> int:
        """Lay entries of a table with the same hash key into this one; how many found no place, as no entry
        makes room before its time."""
        now_ms = _milliseconds(now)
        lost = 0
        for digest, until, value in entries:
            bucket = self._bucket_of(digest)
            with self._locked(bucket):
                times = self._times_of(bucket)
                held = self._place_of(bucket, digest, times)
                place = times.index(min(times)) if held is None else held
                if held is None and times[place] >= now_ms:
                    lost += 1
                elif times[place] < until:
                    self._write(bucket, place, digest, until, value)
        return lost

    def _digest(self, key: bytes) -> bytes:
        return hashlib.blake2b(key, key=self._hash_key, digest_size=DIGEST_BYTES).digest()

    def _bucket_of(self, digest: bytes) -> int:
        return int.from_bytes(digest[:8]) % self._buckets

    def _times_of(self, bucket: int) -> list[int]:
        first = (bucket + 1) * _PAGE // _TIME_BYTES
        return self._times[first : first + _ENTRIES].tolist()

    def _place_of(self, bucket: int, digest: bytes, times: list[int]) -> int | None:
        """Where the digest stands; of several places, the one that counts longest."""
        page = (bucket + 1) * _PAGE
        digests = self._memory[page + _DIGESTS_AT : page + _VALUES_AT]
        found: int | None = None
        at = digests.find(digest)
        while at >= 0:
            place, rest = divmod(at, DIGEST_BYTES)
            if not rest and (found is None or times[place] > times[found]):
                found = place
            at = digests.find(digest, at + 1)
        return found

    def _write(self, bucket: int, place: int, digest: bytes, until_ms: int, value: bytes) -> None:
        page = (bucket + 1) * _PAGE
        time_at = page // _TIME_BYTES + place
        self._times[time_at] = 0
        digest_at = page + _DIGESTS_AT + place * DIGEST_BYTES
        self._memory[digest_at : digest_at + DIGEST_BYTES] = digest
        value_at = page + _VALUES_AT + place * VALUE_BYTES
        self._memory[value_at : value_at + VALUE_BYTES] = value.ljust(VALUE_BYTES, b"\0")
        self._times[time_at] = until_ms

    def _locked(self, bucket: int) -> "_BucketLock":
        return _BucketLock(self._descriptor, bucket)


class _BucketLock:
    __slots__ = ("_bucket", "_descriptor")

    def __init__(self, descriptor: int, bucket: int) -> None:
        self._descriptor = descriptor
        self._bucket = bucket

    def __enter__(self) -> None:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, self._bucket, 1, 0)
        for attempt in range(_TRIES_AT_ONCE + _LATER_TRIES):
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_SETLK, wanted)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                if attempt < _TRIES_AT_ONCE:
                    os.sched_yield()
                else:
                    time.sleep(_PAUSE_SECONDS)
            else:
                return
        raise TableBusy("another process holds the bucket")

    def __exit__(self, *_unused: object) -> None:
        fcntl.fcntl(
            self._descriptor, fcntl.F_SETLK, _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, self._bucket, 1, 0)
        )


def _milliseconds(seconds: float) -> int:
    return max(0, int(seconds * 1_000))
