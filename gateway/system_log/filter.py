"""The filter language of the log API: comparisons of fields, joined by and, or, not and parentheses.

    eventType eq "pki.cert.revoke" and (outcome.result ne "SUCCESS" or target.id pr)

SCIM's grammar (RFC 7644 §3.4.2.2) without value paths in brackets. Operators and keywords in any case. Texts
are compared exactly, upper and lower case apart, since identifiers differ in nothing else. A field of a list
(target) fulfils a comparison if one of its items does; ``ne`` is the opposite of ``eq``, so it says that none
does, and holds for an event without the field.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

from gateway.system_log.errors import INVALID, UNSUPPORTED, QueryRefused
from gateway.system_log.fields import resolve, values_at

# A filter is written by a person or a tool's configuration; the longest known has some hundred characters.
# The other two bound what one event costs, and how deep the reader recurses.
MAX_FILTER_CHARACTERS: Final = 2_048
MAX_COMPARISONS: Final = 50
MAX_DEPTH: Final = 16

_TOKEN: Final = re.compile(
    r'(?P<space>[ \t\r\n]+)|(?P<open>\()|(?P<close>\))|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<word>[A-Za-z0-9_.:$+/-]+)"
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")
# No index helps there, and such values are long.
_NEVER_SEARCHED: Final = frozenset(
    {("debugContext", "debugData", "url"), ("debugContext", "debugData", "requestUri")}
)

Value = str | int | float | bool | None


class Operator(StrEnum):
    EQ = "eq"
    NE = "ne"
    CO = "co"
    SW = "sw"
    EW = "ew"
    PR = "pr"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"


@dataclass(frozen=True, slots=True)
class Comparison:
    path: tuple[str, ...]
    operator: Operator
    value: Value = None


@dataclass(frozen=True, slots=True)
class And:
    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    parts: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


Filter = Comparison | And | Or | Not


def parse_filter(text: str) -> Filter:
    """Raises QueryRefused: E0000053 for what is no filter or no field, E0000031 for an operator that a field
    does not take."""
    if len(text) > MAX_FILTER_CHARACTERS:
        raise QueryRefused(INVALID, f"Invalid filter: longer than {MAX_FILTER_CHARACTERS} characters")
    return _Parser(text).whole()


def matches(event: Mapping[str, Any], question: Filter) -> bool:
    """Whether an event in its wire form fulfils a filter."""
    match question:
        case Comparison():
            return _compare(event, question)
        case And(parts):
            return all(matches(event, part) for part in parts)
        case Or(parts):
            return any(matches(event, part) for part in parts)
        case Not(part):
            return not matches(event, part)
        case _:
            assert_never(question)


def _compare(event: Mapping[str, Any], comparison: Comparison) -> bool:
    values, operator, wanted = values_at(event, comparison.path), comparison.operator, comparison.value
    match operator:
        case Operator.PR:
            return any(value not in ("", {}) for value in values)
        case Operator.EQ:
            return _equals(values, wanted)
        case Operator.NE:
            return not _equals(values, wanted)
        case Operator.CO:
            return any(isinstance(value, str) and str(wanted) in value for value in values)
        case Operator.SW:
            return any(isinstance(value, str) and value.startswith(str(wanted)) for value in values)
        case Operator.EW:
            return any(isinstance(value, str) and value.endswith(str(wanted)) for value in values)
        case Operator.GT | Operator.GE | Operator.LT | Operator.LE:
            return any(_is_ordered(operator, value, wanted) for value in values)
        case _:
            assert_never(operator)


def _equals(values: list[Any], wanted: Value) -> bool:
    if wanted is None:
        return not values
    kind = _kind(wanted)
    return any(_kind(value) is kind and value == wanted for value in values)


def _is_ordered(operator: Operator, value: Any, wanted: Any) -> bool:
    if _kind(value) is not _kind(wanted):
        return False
    if operator is Operator.GT:
        return bool(value > wanted)
    if operator is Operator.GE:
        return bool(value >= wanted)
    if operator is Operator.LT:
        return bool(value < wanted)
    return bool(value <= wanted)


def _kind(value: object) -> type | None:
    """bool, float for numbers, str; None for what is compared with nothing. True is not 1 here."""
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None


class _Parser:
    """Recursive descent; or binds weaker than and, and weaker than not."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self._at = 0
        self._comparisons = 0

    def whole(self) -> Filter:
        found = self._any_of(0)
        if self._at < len(self._tokens):
            _, text, place = self._tokens[self._at]
            raise self._wrong(f"Unexpected '{text[:32]}' at position {place}")
        return found

    def _split(self, text: str) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                raise self._wrong(f"Unrecognized character at position {at}")
            if token.lastgroup != "space":
                yield token.lastgroup, token[0], at
            at = token.end()

    def _any_of(self, depth: int) -> Filter:
        parts = [self._all_of(depth)]
        while self._takes_word("or"):
            parts.append(self._all_of(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all_of(self, depth: int) -> Filter:
        parts = [self._one(depth)]
        while self._takes_word("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise self._wrong(f"Nested deeper than {MAX_DEPTH} levels")
        kind, text, place = self._next("a field, not or (")
        if kind == "open":
            found = self._any_of(depth + 1)
            kind, text, place = self._next(")")
            if kind != "close":
                raise self._wrong(f"Expected ) instead of '{text[:32]}' at position {place}")
            return found
        if kind != "word":
            raise self._wrong(f"Expected a field instead of '{text[:32]}' at position {place}")
        if text.lower() == "not":
            return Not(self._one(depth + 1))
        return self._comparison(text)

    def _comparison(self, name: str) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise self._wrong(f"More than {MAX_COMPARISONS} comparisons")
        kind, text, place = self._next("an operator")
        try:
            operator = Operator(text.lower() if kind == "word" else "")
        except ValueError:
            expected = ",".join(Operator)
            raise self._wrong(
                f"Unrecognized attribute operator '{text[:32]}' at position {place}. Expected: {expected}"
            ) from None
        if name.lower() == "published":
            raise self._wrong("the attribute published is asked for by since and until")
        path = resolve(name)
        if operator is Operator.PR:
            return Comparison(path, operator)
        value = self._value()
        ordered = operator in (Operator.GT, Operator.GE, Operator.LT, Operator.LE)
        searches = operator in (Operator.CO, Operator.SW, Operator.EW)
        unfit = (searches and not isinstance(value, str)) or (ordered and isinstance(value, bool | None))
        if unfit or (operator is Operator.CO and path in _NEVER_SEARCHED):
            raise QueryRefused(
                UNSUPPORTED,
                "The supplied combination of operator and field is not currently supported. "
                f"Operator: {operator}, Field: {'.'.join(path)}",
            )
        return Comparison(path, operator, value)

    def _value(self) -> Value:
        kind, text, place = self._next("a value")
        if kind == "text":
            try:
                return str(json.loads(text, strict=False))
            except ValueError:
                raise self._wrong(f"Unreadable text at position {place}") from None
        if kind == "word":
            words: dict[str, Value] = {"true": True, "false": False, "null": None}
            if text.lower() in words:
                return words[text.lower()]
            if _NUMBER.fullmatch(text):
                return float(text) if "." in text else int(text)
        raise self._wrong(f"Expected a value instead of '{text[:32]}' at position {place}")

    def _takes_word(self, word: str) -> bool:
        if self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind == "word" and text.lower() == word:
                self._at += 1
                return True
        return False

    def _next(self, expected: str) -> tuple[str, str, int]:
        if self._at == len(self._tokens):
            raise self._wrong(f"Ends where {expected} is expected")
        self._at += 1
        return self._tokens[self._at - 1]

    def _wrong(self, finding: str) -> QueryRefused:
        return QueryRefused(INVALID, f"Invalid filter '{self._text[:200]}': {finding}")
