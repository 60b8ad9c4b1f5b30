"""One copy of a `RevocationIndex` for several processes.

Who holds the index describes it: a few hundred bytes for each CRL, and descriptors of sealed memory that go
with them over a Unix socket (SCM_RIGHTS). Who receives them maps the same pages. Large CRLs are in a file
each, as the process that parsed them wrote it; small ones are copied into one file together, made anew for
each description.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.adapters.crl_description import DescriptionInvalid, Place, crl_from, described
from gateway.adapters.sealed_memory import NotSealed, SealedMemory, memory_file, sealed
from gateway.pki.crl import CrlRejected, CrlSnapshot
from gateway.pki.revocation import RevocationIndex
from gateway.pki.serials import SerialSet

# The kernel passes 253 descriptors in a message. What is left over goes into the common file.
MAX_DESCRIPTORS: Final = 200
# About 10,000 CRLs with a distribution point each.
MAX_DESCRIPTION_BYTES: Final = 8 * 1024 * 1024
# 50,000,000 serial numbers; a bound on what is mapped, and no more than that.
MAX_FILE_BYTES: Final = 1024 * 1024 * 1024


class SharedIndexInvalid(Exception):
    """A description, or memory that came with it, that no index can be made of."""


@dataclass(frozen=True, slots=True)
class DescribedIndex:
    """An index to send: ``description``, and ``descriptors`` that go with it in this order. They are open as
    long as this value lives, and may be sent any number of times."""

    description: bytes
    descriptors: tuple[int, ...]
    files: tuple[SealedMemory, ...]


def describe(index: RevocationIndex) -> DescribedIndex:
    """Raises OSError where memory or descriptors run out. Copies the small CRLs: a few milliseconds at
    most."""
    crls = [crl for held in index.all_held() for crl in (held.full, held.delta) if crl is not None]
    own = _own_files(crls)
    number_of = {id(file): number for number, file in enumerate(own, start=1)}
    with memory_file("small CRLs") as common:
        common.write(b"\0")  # never empty

        def place(serials: SerialSet) -> Place:
            number = number_of.get(id(serials.data), 0)
            if number:
                return [number, serials.offset, serials.length_bytes]
            offset = common.tell()
            common.write(serials.table())
            return [0, offset, serials.length_bytes]

        values = [described(crl, place(crl.revoked), place(crl.removed)) for crl in crls]
        files = (sealed(common), *own)
    description = json.dumps(values, separators=(",", ":")).encode()
    return DescribedIndex(description, tuple(file.descriptor for file in files), files)


def open_index(
    description: bytes, descriptors: Sequence[int], previous: RevocationIndex | None = None
) -> RevocationIndex:
    """The index that another process described. Owns ``descriptors`` from the call on, also when it raises.

    A CRL that ``previous`` (what an earlier description gave) holds is taken from there, with its mapping.
    Raises SharedIndexInvalid; what was held before is untouched. Tables are looked through (2 ms for a
    million serial numbers that are new), so a process that must not stall does this in a thread.
    """
    received = _Received(descriptors)
    try:
        if len(description) > MAX_DESCRIPTION_BYTES or len(descriptors) > MAX_DESCRIPTORS + 1:
            raise SharedIndexInvalid("too large")
        known = _known(previous)
        index = RevocationIndex()
        for value in _values(description):
            index = index.with_crl(_crl(value, received, known))
    except (DescriptionInvalid, CrlRejected) as problem:
        raise SharedIndexInvalid(str(problem)) from problem
    finally:
        received.close_unused()
    return index


def _own_files(crls: Sequence[CrlSnapshot]) -> tuple[SealedMemory, ...]:
    """The memory that large CRLs are in; of more than can be passed, the largest."""
    data = (serials.data for crl in crls for serials in (crl.revoked, crl.removed))
    files = {id(each): each for each in data if isinstance(each, SealedMemory)}
    return tuple(sorted(files.values(), key=len, reverse=True)[:MAX_DESCRIPTORS])


def _known(index: RevocationIndex | None) -> dict[str, CrlSnapshot]:
    held = () if index is None else index.all_held()
    return {crl.sha256.hex(): crl for each in held for crl in (each.full, each.delta) if crl is not None}


def _values(description: bytes) -> list[Any]:
    try:
        values = json.loads(description)
    except (ValueError, RecursionError):
        raise SharedIndexInvalid("not JSON") from None
    if not isinstance(values, list):
        raise SharedIndexInvalid("not a list")
    return values


def _crl(value: Any, received: "_Received", known: dict[str, CrlSnapshot]) -> CrlSnapshot:
    """Small CRLs are read anew: to go on with one would keep the whole former file of all small ones."""
    described_only = crl_from(value, lambda _: _NOTHING)
    held = known.get(described_only.sha256.hex())
    if held == described_only and value["revoked"][0] != 0:
        return held
    return crl_from(value, received.table_at)


_NOTHING: Final = SerialSet.of()


class _Received:
    """Descriptors that came with a description; each is mapped when the first table in it is asked for."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors: dict[int, int] = dict(enumerate(descriptors))
        self._mapped: dict[int, SealedMemory] = {}

    def table_at(self, place: Place) -> SerialSet:
        """Raises DescriptionInvalid and SerialTableInvalid."""
        number, offset, length = place
        return SerialSet.read(self._file(number), offset, length)

    def close_unused(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _file(self, number: int) -> SealedMemory:
        mapped = self._mapped.get(number)
        if mapped is None:
            if number not in self._descriptors:
                raise DescriptionInvalid("a descriptor is missing")
            try:
                mapped = SealedMemory.mapped(self._descriptors[number], MAX_FILE_BYTES)
            except (NotSealed, OSError) as problem:
                raise DescriptionInvalid(f"cannot be mapped: {problem!r}") from problem
            del self._descriptors[number]
            self._mapped[number] = mapped
        return mapped
