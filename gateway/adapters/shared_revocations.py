"""The revoked serial numbers of our own issuers, in memory that all workers map.

A line of JSON ([[issuer hash as hex, length in bytes]…]), and then each issuer's table in the form of
`gateway.pki.serials`, one after the other.
"""

import json
import os
from collections.abc import Mapping
from typing import Final

from gateway.adapters.sealed_memory import NotSealed, SealedMemory, memory_file, sealed
from gateway.pki.serials import SerialSet

# 50,000,000 serial numbers; a bound on what is mapped, and no more than that.
MAX_REVOKED_BYTES: Final = 1024 * 1024 * 1024
MAX_ISSUERS: Final = 1_000
_MAX_HEADER_BYTES: Final = 1024 * 1024


class RevokedInvalid(Exception):
    """Memory in which there are no such tables."""


def pack_revoked(revoked: Mapping[bytes, SerialSet]) -> SealedMemory:
    """Raises OSError. Copies the tables: 2 ms for a million serial numbers."""
    with memory_file("revoked serial numbers") as file:
        lengths = [[issuer.hex(), serials.length_bytes] for issuer, serials in revoked.items()]
        file.write(json.dumps(lengths).encode() + b"\n")
        for serials in revoked.values():
            file.write(serials.table())
        return sealed(file)


def open_revoked(descriptor: int) -> Mapping[bytes, SerialSet]:
    """The tables by the hash of their issuer. Owns the descriptor from the call on, also when it raises.

    Raises RevokedInvalid. Tables are looked through (2 ms for a million serial numbers), so a process that
    must not stall does this in a thread.
    """
    try:
        memory = SealedMemory.mapped(descriptor, MAX_REVOKED_BYTES)
    except (NotSealed, OSError) as problem:
        os.close(descriptor)
        raise RevokedInvalid(f"cannot be mapped: {problem!r}") from problem
    end = memory.find(b"\n", 0, _MAX_HEADER_BYTES)
    try:
        lengths = json.loads(memory[: max(end, 0)])
        if not isinstance(lengths, list) or len(lengths) > MAX_ISSUERS:
            raise RevokedInvalid("not a list of tables")
        tables: dict[bytes, SerialSet] = {}
        at = end + 1
        for issuer, length in lengths:
            tables[bytes.fromhex(issuer)] = SerialSet.read(memory, at, length)
            at += length
    except (ValueError, TypeError, RecursionError) as problem:
        raise RevokedInvalid(f"not what it should be: {problem}") from problem
    if at != len(memory):
        raise RevokedInvalid("longer than its tables")
    return tables
