"""Raw values (what a YAML or JSON reader yields) → checked ones. Every refusal is a `PolicyInvalid`."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

from gateway.model.quoting import printable
from gateway.policy.errors import KeyPath, PolicyInvalid, PolicyProblem

# Names are shown on pages, in headers and in logs, each in one line.
MAX_NAME_CHARACTERS: Final = 100
# Users, groups and zones of one list. Longer lists belong into a group of the directory.
MAX_LIST_ITEMS: Final = 10_000
# RFC 5321 §4.5.3.1 allows 64 + 1 + 255 for an address; AD group names end at 256.
MAX_MEMBER_CHARACTERS: Final = 320

Choice = TypeVar("Choice", bound=StrEnum)


def read_mapping(
    raw: object, path: KeyPath, *, known: Sequence[str], required: Sequence[str] = ()
) -> Mapping[str, Any]:
    """A mapping that has no other than the known keys, and all the required ones."""
    if not isinstance(raw, Mapping):
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, f"expected a mapping, got {kind_of(raw)}")
    for key in raw:
        if key not in known:
            raise PolicyInvalid(
                PolicyProblem.UNKNOWN_KEY,
                (*path, key if isinstance(key, str) else repr(key)),
                "unknown key",
                unknown=str(key),
                alternatives=tuple(known),
            )
    for key in required:
        if key not in raw:
            raise PolicyInvalid(PolicyProblem.MISSING_KEY, (*path, key), "is missing")
    return raw


def read_list(raw: object, path: KeyPath, *, limit: int = MAX_LIST_ITEMS) -> Sequence[Any]:
    if not isinstance(raw, list | tuple):
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, f"expected a list, got {kind_of(raw)}")
    if len(raw) > limit:
        raise PolicyInvalid(PolicyProblem.OUT_OF_RANGE, path, f"{len(raw)} items; at most {limit} are read")
    return raw


def read_text(raw: object, path: KeyPath, *, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Text of 1 to ``limit`` printable characters with no blank at either end.

    A control character or a line break in a name could forge a line of a log or a header.
    """
    if not isinstance(raw, str):
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, f"expected text, got {kind_of(raw)}")
    if not raw or raw != raw.strip():
        raise PolicyInvalid(PolicyProblem.BAD_NAME, path, "must not be empty, or begin or end with a blank")
    if len(raw) > limit:
        raise PolicyInvalid(PolicyProblem.BAD_NAME, path, f"longer than {limit} characters")
    if not raw.isprintable():
        raise PolicyInvalid(PolicyProblem.BAD_NAME, path, "contains a control or invisible character")
    return raw


def read_choice(raw: object, path: KeyPath, choices: type[Choice]) -> Choice:
    names = tuple(choice.value for choice in choices)
    if not isinstance(raw, str):
        detail = f"expected one of {', '.join(names)}, got {kind_of(raw)}"
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, detail)
    if raw not in names:
        raise PolicyInvalid(
            PolicyProblem.UNKNOWN_VALUE,
            path,
            f"unknown value {printable(raw)}",
            unknown=raw,
            alternatives=names,
        )
    return choices(raw)


def read_choices(raw: object, path: KeyPath, choices: type[Choice]) -> frozenset[Choice]:
    """A list of one or more values, each once."""
    chosen: set[Choice] = set()
    for index, item in enumerate(read_list(raw, path)):
        choice = read_choice(item, (*path, index), choices)
        if choice in chosen:
            raise PolicyInvalid(
                PolicyProblem.DUPLICATE, (*path, index), f"{printable(choice)} is listed twice"
            )
        chosen.add(choice)
    if not chosen:
        detail = "an empty list selects nothing; leave the key out to select everything"
        raise PolicyInvalid(PolicyProblem.SELECTS_NOBODY, path, detail)
    return frozenset(chosen)


def read_names(raw: object, path: KeyPath) -> tuple[str, ...]:
    """A list of names, each once; it may be empty."""
    names: dict[str, None] = {}
    for index, item in enumerate(read_list(raw, path)):
        name = read_text(item, (*path, index), limit=MAX_MEMBER_CHARACTERS)
        if name in names:
            raise PolicyInvalid(PolicyProblem.DUPLICATE, (*path, index), f"{printable(name)} is listed twice")
        names[name] = None
    return tuple(names)


def kind_of(raw: object) -> str:
    """What a wrong value is, in the words of the file's author."""
    match raw:
        case None:
            return "nothing"
        case bool():
            return "a truth value"
        case str():
            return f"text ({printable(raw)})" if raw else "empty text"
        case int() | float():
            return f"a number ({str(raw)[:20]})"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return type(raw).__name__
