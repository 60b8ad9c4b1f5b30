"""A set of serial numbers as one table of bytes, which any number of processes can map and look into.

A table, integers little-endian unless said otherwise:

=========  ==============================================================================================
bytes      content
=========  ==============================================================================================
8          magic and version
4          how many serial numbers
4          how many buckets
20         the multiplier of the hash, big-endian
4 each     for each bucket, and for an end after the last, how many serial numbers stand before it
20 each    the serial numbers, big-endian, bucket by bucket
=========  ==============================================================================================

The bucket of a number ``x`` is ``x * multiplier % PRIME % buckets``: a universal hash (Carter and Wegman,
1979), for which any two numbers share a bucket with the probability of chance, over all multipliers. So a
look-up reads a few hundred bytes in a table of any size, and what it finds is exact.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from struct import Struct, unpack
from typing import Final, Protocol, Self

from gateway.pki.certificate import MAX_SERIAL_NUMBER_BYTES

_WIDTH: Final = MAX_SERIAL_NUMBER_BYTES
_MAGIC: Final = b"serials\x01"
_HEADER: Final = Struct(f"<8sII{_WIDTH}s")
_BOUNDS: Final = Struct("<II")
_BOUND_BYTES: Final = 4
# The smallest prime above every serial number.
_PRIME: Final = 2 ** (8 * _WIDTH) + 7
# A quarter of a byte for each serial number then finds the right 320 of 20,000,000.
_NUMBERS_IN_A_BUCKET: Final = 16
# What is checked in one step when a table is opened: far below a millisecond.
_BOUNDS_AT_A_TIME: Final = 8_192


class SerialTableInvalid(ValueError):
    """Bytes that are no table of serial numbers."""


class TableBytes(Protocol):
    """Bytes that do not change, or a mapping of them. A slice is a copy."""

    def __getitem__(self, part: slice, /) -> bytes: ...
    def __len__(self) -> int: ...


class SerialSet:
    """Serial numbers of certificates, as numbers: `in` is exact and takes about a microsecond at any size.

    A million take 20.3 MB. Two sets are never equal: what they were read from says whether they are.
    """

    __slots__ = ("_buckets", "_count", "_first_bound", "_first_number", "_multiplier", "data", "offset")

    def __init__(self, data: TableBytes, offset: int, header: tuple[int, int, int]) -> None:
        """For `of` and `read` only."""
        self.data = data
        self.offset = offset
        self._count, self._buckets, self._multiplier = header
        self._first_bound = offset + _HEADER.size
        self._first_number = self._first_bound + (self._buckets + 1) * _BOUND_BYTES

    @classmethod
    def of(cls, serial_numbers: Sequence[bytes] = (), key: bytes = b"") -> Self:
        """From the contents of INTEGER elements: not negative, at most 20 bytes, in any order.

        ``key`` (20 bytes; a fixed one if there are fewer) spreads them over the buckets. Who chooses the
        numbers must not know it while choosing. The hash of the signed CRL that they come from is such a key.
        """
        multiplier = int.from_bytes(key[:_WIDTH]) if len(key) >= _WIDTH else _PRIME // 3
        multiplier = multiplier or 1
        count = len(serial_numbers)
        buckets = count // _NUMBERS_IN_A_BUCKET + 1
        bucket_of = array(
            "I", [int.from_bytes(number) * multiplier % _PRIME % buckets for number in serial_numbers]
        )
        sizes = [0] * buckets
        for bucket in bucket_of:
            sizes[bucket] += 1
        bounds = list(accumulate(sizes, initial=0))
        header = _HEADER.pack(_MAGIC, count, buckets, multiplier.to_bytes(_WIDTH))
        first_number = len(header) + len(bounds) * _BOUND_BYTES
        table = bytearray(first_number + count * _WIDTH)
        table[: len(header)] = header
        Struct(f"<{len(bounds)}I").pack_into(table, len(header), *bounds)
        ends = [first_number + (bound + 1) * _WIDTH for bound in bounds]
        for number, bucket in zip(serial_numbers, bucket_of, strict=True):
            end = ends[bucket]
            table[end - len(number) : end] = number
            ends[bucket] = end + _WIDTH
        return cls(bytes(table), 0, (count, buckets, multiplier))

    @classmethod
    def read(cls, data: TableBytes, offset: int, length: int) -> Self:
        """The table in ``length`` bytes of ``data`` from ``offset``. Raises SerialTableInvalid.

        Checked: all that keeps a look-up within the table, and every number within reach of one. Not checked:
        that each number is in its own bucket; who made the table is trusted with that.
        """
        end = offset + length
        if not 0 <= offset <= end <= len(data) or length < _HEADER.size:
            raise SerialTableInvalid("beyond the end")
        magic, count, buckets, multiplier = _HEADER.unpack(data[offset : offset + _HEADER.size])
        size = _HEADER.size + (buckets + 1) * _BOUND_BYTES + count * _WIDTH
        if magic != _MAGIC or buckets == 0 or size != length:
            raise SerialTableInvalid("not a table of serial numbers")
        found = cls(data, offset, (count, buckets, int.from_bytes(multiplier)))
        found._check_bounds()
        return found

    @property
    def length_bytes(self) -> int:
        return self._first_number - self.offset + self._count * _WIDTH

    def table(self) -> bytes:
        """A copy of the table."""
        return self.data[self.offset : self.offset + self.length_bytes]

    def __len__(self) -> int:
        """A number that was given twice counts twice."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        for at in range(self._first_number, self._first_number + self._count * _WIDTH, _WIDTH):
            yield int.from_bytes(self.data[at : at + _WIDTH])

    def __contains__(self, serial_number: int) -> bool:
        bound = self._first_bound + serial_number * self._multiplier % _PRIME % self._buckets * _BOUND_BYTES
        begin, end = _BOUNDS.unpack(self.data[bound : bound + _BOUNDS.size])
        first = self._first_number
        bucket = self.data[first + begin * _WIDTH : first + end * _WIDTH]
        wanted = serial_number.to_bytes(_WIDTH)
        found = bucket.find(wanted)
        while found > 0 and found % _WIDTH:  # the end of one number and the begin of the next
            found = bucket.find(wanted, found + 1)
        return found >= 0

    def _check_bounds(self) -> None:
        at, end, last = self._first_bound, self._first_number, 0
        while at < end:
            part = self.data[at : min(at + _BOUNDS_AT_A_TIME * _BOUND_BYTES, end)]
            bounds = list(unpack(f"<{len(part) // _BOUND_BYTES}I", part))
            if bounds[0] < last or bounds != sorted(bounds) or (at == self._first_bound and bounds[0] != 0):
                raise SerialTableInvalid("its buckets overlap")
            last = bounds[-1]
            at += len(part)
        if last != self._count:
            raise SerialTableInvalid("its buckets do not end with it")
