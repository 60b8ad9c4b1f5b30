"""Where a record ends, told from the lengths in the headers alone."""

import pytest

from gateway.tls.records import bytes_missing


def record(size: int, kind: int = 23) -> bytes:
    return bytes((kind, 3, 3)) + size.to_bytes(2) + bytes(size)


STREAMS = [
    ("a whole record", [record(10)], [0]),
    ("two records", [record(10) + record(0)], [0]),
    ("a record in pieces", [record(10)[:8], record(10)[8:12], record(10)[12:]], [7, 3, 0]),
    ("one record and half of the next", [record(3) + record(10)[:9], record(10)[9:]], [6, 0]),
    ("the rest of one and a whole one", [record(10)[:8], record(10)[8:] + record(4)], [7, 0]),
    ("a header cut through is lost for good", [record(10)[:3], record(10)[3:], record(4)], [-1, -1, -1]),
    ("more records than are counted", [record(0) * 300, record(4)], [-1, -1]),
    ("nothing", [b""], [0]),
]


@pytest.mark.parametrize(("pieces", "missing"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS])
def test_bytes_missing_after(pieces: list[bytes], missing: list[int]) -> None:
    said, last = [], 0
    for piece in pieces:
        last = bytes_missing(last, piece)
        said.append(last)
    assert said == missing
