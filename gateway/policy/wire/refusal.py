"""What is wrong with a wire value: always the field, as its author wrote it, and a sentence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from gateway.model.quoting import printable

# As in a document (`gateway.policy.reading`).
MAX_LIST_ITEMS: Final = 10_000
MAX_ID_CHARACTERS: Final = 400  # the longest login with its prefix

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Problem:
    """``field`` is a path such as ``conditions.people.users.include[0]``."""

    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.field}: {self.sentence}"


class WireRefused(Exception):
    """The one exception for a wire value that is not taken. ``problems`` is never empty."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def refused(field: str, sentence: str) -> WireRefused:
    return WireRefused(Problem(field, sentence))


def gather(
    problems: list[Problem],
    read: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result | None:
    """The result; None, with its problems noted, where it is refused: all are told at once."""
    try:
        return read(*args, **kwargs)
    except WireRefused as refusal:
        problems.extend(refusal.problems)
        return None


def read_object(raw: object, field: str, known: Sequence[str]) -> Mapping[str, Any]:
    """An object with no other than the known members; members that are null count as left out."""
    if not isinstance(raw, Mapping):
        raise refused(field, "must be an object")
    unknown = [str(name) for name in raw if name not in known]
    if unknown:
        raise WireRefused(
            *(
                Problem(f"{field}.{name[:100]}" if field else name[:100], "is not supported")
                for name in unknown
            )
        )
    return {name: value for name, value in raw.items() if value is not None}


def read_ids(raw: object, field: str) -> list[str]:
    """A list of texts; what is there twice counts once."""
    if not isinstance(raw, list) or len(raw) > MAX_LIST_ITEMS:
        raise refused(field, f"must be a list of at most {MAX_LIST_ITEMS} ids")
    for index, item in enumerate(raw):
        if not isinstance(item, str) or not 0 < len(item) <= MAX_ID_CHARACTERS:
            raise refused(f"{field}[{index}]", "must be an id")
    return list(dict.fromkeys(raw))


def read_word(raw: object, field: str, words: Sequence[str]) -> str:
    if not isinstance(raw, str) or raw not in words:
        raise refused(field, f"must be one of {', '.join(words)}, not {shown(raw)}")
    return raw


def read_flag(raw: object, field: str) -> bool:
    if not isinstance(raw, bool):
        raise refused(field, f"must be true or false, not {shown(raw)}")
    return raw


def shown(raw: object) -> str:
    """A value in a sentence."""
    return printable(raw) if isinstance(raw, str) else str(raw)[:60]
