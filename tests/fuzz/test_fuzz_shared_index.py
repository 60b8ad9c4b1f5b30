"""Tables and descriptions from another process: any bytes are an index or the one declared exception."""

import json
import os
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from support.crl_world import CA, authority, memory_with

from gateway.adapters.crl_parsing import parse_crls
from gateway.adapters.shared_index import SharedIndexInvalid, describe, open_index
from gateway.pki.crl import CrlSnapshot
from gateway.pki.revocation import RevocationIndex
from gateway.pki.serials import SerialSet, SerialTableInvalid

bounded = settings(deadline=None, max_examples=300)
SERIALS = st.integers(0, 2**159 - 1)


@bounded
@given(st.lists(SERIALS, max_size=80), st.binary(max_size=32), st.lists(SERIALS, max_size=5))
def test_a_table_holds_what_was_put_in_and_nothing_else(
    numbers: list[int], key: bytes, others: list[int]
) -> None:
    table = SerialSet.of([number.to_bytes(20) for number in numbers], key).table()
    found = SerialSet.read(table, 0, len(table))
    assert sorted(found) == sorted(numbers)
    assert all(number in found for number in numbers)
    assert [number in found for number in others] == [number in numbers for number in others]


@bounded
@given(
    st.lists(SERIALS, max_size=40), st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=4)
)
def test_a_damaged_table_is_refused_or_can_be_looked_into(
    numbers: list[int], changes: list[tuple[int, int]]
) -> None:
    table = bytearray(SerialSet.of([number.to_bytes(20) for number in numbers]).table())
    for at, value in changes:
        table[at % len(table)] = value
    with suppress(SerialTableInvalid):
        found = SerialSet.read(bytes(table), 0, len(table))
        assert len(list(found)) == len(found) == len(numbers)
        assert all(isinstance(number in found, bool) for number in numbers)


def described() -> tuple[bytes, tuple[int, ...], object]:
    (crl,) = parse_crls(memory_with(CA.crl([1, 2], number=7)), authority(ca=CA).certificates, apart=False)
    assert isinstance(crl, CrlSnapshot)
    sent = describe(RevocationIndex().with_crl(crl))
    return sent.description, sent.descriptors, sent


DESCRIPTION, DESCRIPTORS, KEPT = described()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def opened(description: bytes) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but the count
    with suppress(SharedIndexInvalid):
        open_index(description, [os.dup(each) for each in DESCRIPTORS])
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@bounded
@given(st.sampled_from(sorted(json.loads(DESCRIPTION)[0])), VALUES)
def test_a_description_with_any_value_in_it_is_an_index_or_refused(key: str, value: object) -> None:
    crls = json.loads(DESCRIPTION)
    crls[0][key] = value
    opened(json.dumps(crls).encode())


@bounded
@given(VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_any_description_is_an_index_or_refused(description: bytes) -> None:
    opened(description)
