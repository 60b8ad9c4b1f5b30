"""Tables of serial numbers: exact at any size, whatever the numbers, and nothing but a table is opened."""

import hashlib
import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from gateway.pki.serials import SerialSet, SerialTableInvalid

LARGEST = 2**159 - 1
HEADER_BYTES = 36


def scattered(count: int) -> list[int]:
    return [int.from_bytes(hashlib.sha256(n.to_bytes(4)).digest()[:20]) >> 1 for n in range(count)]


NUMBERS = {
    "none": [],
    "one": [7],
    "zero": [0],
    "the smallest and the largest": [1, LARGEST],
    "in sequence": list(range(1, 5_000)),
    "in steps of a power of two": [n << 64 for n in range(1, 5_000)],
    "random": scattered(5_000),
    "all twice": [*range(100), *range(100)],
}


def table(numbers: list[int], key: bytes = b"") -> SerialSet:
    return SerialSet.of([number.to_bytes(20) for number in numbers], key)


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS.keys())
@pytest.mark.parametrize("key", [b"", bytes(32), bytes([255]) * 32, hashlib.sha256(b"a CRL").digest()])
def test_what_was_put_in_is_in_it_and_its_neighbors_are_not(numbers: list[int], key: bytes) -> None:
    copied = table(numbers, key).table()
    found = SerialSet.read(b"before" + copied + b"after", 6, len(copied))
    members = set(numbers)
    assert set(found) == members
    assert len(found) == len(numbers)
    assert all(number in found for number in members)
    others = {number + step for number in numbers[:500] for step in (-1, 1, 256)} - members - {-1, 2**160}
    assert not any(number in found for number in others)


def test_a_number_that_stands_across_two_others_is_not_in_it() -> None:
    first, second = 0x11 << 8, 0x22 << 152 | 0x33
    joined = first.to_bytes(20) + second.to_bytes(20)
    across = [int.from_bytes(joined[at : at + 20]) for at in range(1, 20)]
    for order in ([first, second], [second, first]):
        assert not any(number in table(order) for number in across)
        assert all(number in table(order) for number in order)


def test_numbers_made_for_one_key_crowd_no_bucket_under_another() -> None:
    """Whoever knows the key can find numbers that share a bucket; they do not know the next one."""
    keys = [hashlib.sha256(name).digest() for name in (b"known", b"next")]

    def bucket(number: int, key: bytes, buckets: int) -> int:
        return number * int.from_bytes(key[:20]) % (2**160 + 7) % buckets

    chosen = [number for number in scattered(60_000) if bucket(number, keys[0], 26) == 0][:400]
    assert len(chosen) == 400
    assert [fullest_bucket(table(chosen, key)) for key in keys] == [400, pytest.approx(28, abs=12)]


def fullest_bucket(serials: SerialSet) -> int:
    data = serials.table()
    (buckets,) = struct.unpack_from("<I", data, 12)
    bounds = struct.unpack_from(f"<{buckets + 1}I", data, HEADER_BYTES)
    return max(end - begin for begin, end in pairwise(bounds))


def with_word(at: int, value: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + struct.pack("<I", value) + data[at + 4 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "half a header": lambda data: data[:20],
    "something else": lambda data: b"serials\x02" + data[8:],
    "its end is missing": lambda data: data[:-1],
    "more than a table": lambda data: data + b"\0",
    "another count": with_word(8, 39),
    "no buckets": with_word(12, 0),
    "more buckets than fit": with_word(12, 2**32 - 1),
    "does not begin at its begin": with_word(HEADER_BYTES, 1),
    "buckets overlap": with_word(HEADER_BYTES + 4, 41),
    "a bucket beyond the end": with_word(HEADER_BYTES + 12, 41),
    "numbers that no bucket reaches": with_word(HEADER_BYTES + 12, 39),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_what_is_no_table_is_not_opened(damage: Callable[[bytes], bytes]) -> None:
    good = table(list(range(1, 41))).table()
    assert struct.unpack_from("<II", good, 8) == (40, 3)
    damaged = damage(good)
    assert damaged != good
    with pytest.raises(SerialTableInvalid):
        SerialSet.read(damaged, 0, len(damaged))


@pytest.mark.parametrize(("offset", "length"), [(-1, 44), (0, 45), (1, 44), (45, 0), (0, -1)])
def test_a_place_outside_of_the_memory_is_not_read(offset: int, length: int) -> None:
    good = table([]).table()
    assert len(good) == 44
    with pytest.raises(SerialTableInvalid):
        SerialSet.read(good, offset, length)


def test_overlapping_buckets_are_found_in_every_part_of_a_large_table() -> None:
    good = table(scattered(140_000)).table()
    (buckets,) = struct.unpack_from("<I", good, 12)
    assert buckets > 8_192
    for bucket in (8_191, 8_192, buckets - 1):
        at = HEADER_BYTES + 4 * bucket
        damaged = with_word(at, struct.unpack_from("<I", good, at)[0] + 1_000)(good)
        with pytest.raises(SerialTableInvalid):
            SerialSet.read(damaged, 0, len(damaged))
