"""The one form of an event's JSON, and the hash that holds a row to the one before."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.system_log.chain import FIRST_PREVIOUS_HASH, canonical, row_hash

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_OBJECTS = st.dictionaries(st.text(), _VALUES, max_size=6)


@given(_OBJECTS)
def test_what_was_read_back_has_the_same_form_again(event: dict[str, object]) -> None:
    once = canonical(event)
    assert canonical(json.loads(once)) == once
    assert once.isascii()


@given(_OBJECTS)
def test_the_order_in_which_keys_were_set_does_not_count(event: dict[str, object]) -> None:
    assert canonical(dict(reversed(event.items()))) == canonical(event)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(ValueError):
        canonical({"value": value})


def test_a_row_is_hashed_as_it_is_written_down() -> None:
    """Another program can follow the chain with nothing but SHA-256."""
    event = canonical({"b": 1, "a": "ü"})
    assert event == b'{"a":"\\u00fc","b":1}'
    expected = hashlib.sha256(
        b"devicetrust system log row 1\n" + bytes(32) + b"\0\0\0\0\0\0\0\x01" + event
    ).digest()
    assert row_hash(FIRST_PREVIOUS_HASH, 1, event) == expected


@given(st.integers(1, 2**40), st.binary(min_size=32, max_size=32))
def test_number_event_and_row_before_all_count(number: int, previous: bytes) -> None:
    made = row_hash(previous, number, b"{}")
    assert row_hash(previous, number + 1, b"{}") != made
    assert row_hash(previous, number, b'{"a":1}') != made
    assert row_hash(bytes(byte ^ 1 for byte in previous), number, b"{}") != made
