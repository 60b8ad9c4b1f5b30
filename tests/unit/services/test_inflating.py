"""What is inside a compressed body is seen, however it is cut, and costs no more than its bound."""

import gzip
import zlib

import pytest

from gateway.services.inflating import FREE_INFLATED_BYTES, InflatingScanner
from gateway.services.stray_messages import JsonScanner

PLAIN = b'{"comment":"' + bytes(range(97, 123)) * 9_000 + b'"}'
STRAY = PLAIN[:-1] + b',"SAMLResponse":"x"}'


def passes(body: bytes, piece_bytes: int = 65_536) -> bool:
    scanner = InflatingScanner(JsonScanner())
    return all(scanner.passes(body[i : i + piece_bytes]) for i in range(0, len(body), piece_bytes))


@pytest.mark.parametrize("piece_bytes", [1, 7, 4_096, 1_000_000])
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "zlib"])
def test_a_compressed_body_is_judged_by_what_is_in_it(compress: object, piece_bytes: int) -> None:
    assert callable(compress)
    assert passes(compress(PLAIN), piece_bytes)
    assert not passes(compress(STRAY), piece_bytes)


def test_nothing_hides_behind_the_first_gzip_member() -> None:
    assert passes(gzip.compress(PLAIN) + gzip.compress(PLAIN))
    assert not passes(gzip.compress(PLAIN) + gzip.compress(b'{"SAMLResponse":"x"}'))


@pytest.mark.parametrize("length", range(65_500, 65_600, 3))
def test_nothing_hides_at_the_end_of_a_piece_of_a_stream_without_its_end(length: int) -> None:
    body = b'{"a":"' + b"x" * (length - 30) + b'","SAMLResponse":"x"}'
    packer = zlib.compressobj()
    unfinished = packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert not passes(unfinished)


BROKEN = [
    ("not compressed", PLAIN),
    ("a raw stream", zlib.compress(PLAIN)[2:-4]),
    ("a broken stream", gzip.compress(PLAIN)[:500] + b"\xff" * 500),
    ("rubbish behind the end", gzip.compress(PLAIN) + b"rubbish"),
]


@pytest.mark.parametrize("body", [b[1] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_what_cannot_be_looked_into_does_not_pass(body: bytes) -> None:
    assert not passes(body)


def test_a_bomb_is_refused_at_its_bound() -> None:
    assert passes(gzip.compress(b" " * (FREE_INFLATED_BYTES - 1)))
    assert not passes(gzip.compress(b" " * 50_000_000))
