"""A set of serial numbers in 20 bytes each."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from gateway.pki.certificate import MAX_SERIAL_NUMBER_BYTES

_WIDTH = MAX_SERIAL_NUMBER_BYTES


@dataclass(frozen=True, slots=True)
class SerialSet:
    """Serial numbers, big-endian at fixed width, sorted and joined.

    A million take 20 MB, where a set of ints takes 130; one look-up is about 20 comparisons.
    """

    packed: bytes = b""

    @classmethod
    def of(cls, serial_numbers: Iterable[bytes]) -> Self:
        """From the contents of INTEGER elements: not negative, at most 20 bytes, in any order."""
        return cls(b"".join(sorted({number.rjust(_WIDTH, b"\0") for number in serial_numbers})))

    def __len__(self) -> int:
        return len(self.packed) // _WIDTH

    def __contains__(self, serial_number: int) -> bool:
        packed = self.packed
        if not packed:
            return False
        wanted = serial_number.to_bytes(_WIDTH)
        count = len(packed) // _WIDTH
        index = bisect_left(range(count), wanted, key=lambda i: packed[i * _WIDTH : (i + 1) * _WIDTH])
        return packed[index * _WIDTH : (index + 1) * _WIDTH] == wanted
