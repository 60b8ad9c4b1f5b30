"""Identifiers in the shape that tools for Okta expect: three characters of kind, then seventeen of base62.

The random bytes are an argument. With 13 bytes (104 bits) two ids of a million collide once in 10^19 tries.
"""

from enum import StrEnum
from typing import Final

ID_LENGTH: Final = 20
_RANDOM_CHARACTERS: Final = 17
MIN_RANDOM_BYTES: Final = 13
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class IdKind(StrEnum):
    """What an id names, as its first three characters."""

    USER = "00u"
    GROUP = "00g"
    DEVICE = "guo"
    POLICY = "rst"
    RULE = "0pr"
    ZONE = "nzo"
    API_TOKEN = "00T"  # noqa: S105 - the kind of an id, not a secret
    AUTHORITY = "aut"
    IWA = "iwa"


def new_id(kind: IdKind, random: bytes) -> str:
    """An id of 20 characters made of ``random``, at least 13 bytes. The same bytes give the same id."""
    if len(random) < MIN_RANDOM_BYTES:
        raise ValueError(f"an id needs {MIN_RANDOM_BYTES} random bytes, not {len(random)}")
    rest = int.from_bytes(random, "big")
    characters: list[str] = []
    for _ in range(_RANDOM_CHARACTERS):
        rest, digit = divmod(rest, 62)
        characters.append(_ALPHABET[digit])
    return kind.value + "".join(characters)


def is_id(text: str, kind: IdKind) -> bool:
    """Whether a text has the shape of an id of this kind; not whether such a thing exists."""
    return (
        len(text) == ID_LENGTH
        and text.startswith(kind.value)
        and all(character in _ALPHABET for character in text[len(kind.value) :])
    )
