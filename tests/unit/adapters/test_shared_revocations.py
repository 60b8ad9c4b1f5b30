"""The revoked serial numbers of several issuers, packed by one process and mapped by others."""

import os

import pytest

from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.adapters.shared_revocations import RevokedInvalid, open_revoked, pack_revoked
from gateway.pki.serials import SerialSet

ONE, OTHER = b"\1" * 32, b"\2" * 32


def descriptor_of(content: bytes) -> int:
    with memory_file("test") as file:
        file.write(content)
        held = sealed(file)
    return os.dup(held.descriptor)


def test_what_is_packed_is_found_again_issuer_by_issuer() -> None:
    packed = pack_revoked({ONE: SerialSet.of([b"\5", b"\7"]), OTHER: SerialSet.of()})
    tables = open_revoked(os.dup(packed.descriptor))
    assert set(tables) == {ONE, OTHER}
    assert (5 in tables[ONE], 6 in tables[ONE], 7 in tables[ONE], len(tables[OTHER])) == (
        True,
        False,
        True,
        0,
    )
    nothing = pack_revoked({})
    assert open_revoked(os.dup(nothing.descriptor)) == {}


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\n",
        b"5\n",
        b"[5]\n",
        b'[["zz", 5]]\n',
        b'[["00", 5]]\n12345',
        b'[["00", "5"]]\n12345',
        b"[]\nmore",
        b"[" * 10_000 + b"\n",
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(RevokedInvalid):
        open_revoked(descriptor_of(content))


def test_memory_that_can_still_change_is_refused() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(RevokedInvalid):
        open_revoked(reading)
    with pytest.raises(OSError):
        os.fstat(reading)
