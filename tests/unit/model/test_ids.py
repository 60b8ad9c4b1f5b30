"""Identifiers: shape, kinds, and that all of the randomness is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.ids import ID_LENGTH, MIN_RANDOM_BYTES, IdKind, is_id, new_id

_RANDOM = st.binary(min_size=MIN_RANDOM_BYTES, max_size=32)


@given(st.sampled_from(IdKind), _RANDOM)
def test_an_id_has_twenty_characters_of_base62_and_begins_with_its_kind(kind: IdKind, random: bytes) -> None:
    made = new_id(kind, random)
    assert len(made) == ID_LENGTH
    assert made.isascii()
    assert made.isalnum()
    assert is_id(made, kind)
    assert [other for other in IdKind if is_id(made, other)] == [kind]


@given(st.binary(min_size=12, max_size=12), st.binary(min_size=12, max_size=12))
def test_two_ids_differ_where_their_random_bytes_do(left: bytes, right: bytes) -> None:
    same = new_id(IdKind.USER, b"\0" + left) == new_id(IdKind.USER, b"\0" + right)
    assert same == (left == right)


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="13 random bytes"):
        new_id(IdKind.USER, bytes(12))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00u",
        "00u1234567890123456",
        "00u123456789012345678",
        "00g12345678901234567",
        "00u1234567890123456-",
    ],
)
def test_what_is_no_users_id(text: str) -> None:
    assert not is_id(text, IdKind.USER)
