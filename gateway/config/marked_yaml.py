"""YAML text → plain values that remember their lines. Every configuration file is read through here.

The accepted language is the part of YAML that a configuration needs, read by the core schema of
YAML 1.2 (§10.3.2): ``yes``, ``on`` and ``12:30`` are text, not a truth value or 750 minutes. Refused,
each with its line: a key given twice (the last one would silently win), anchors, aliases and merge
keys (a few lines can expand to gigabytes, and a rule that stands elsewhere is not seen by its
reviewer), tags (they choose types), several documents, keys that are not text.

Not checked here: which keys there are and what their values mean. That is the reader's work, and it
gets its lines from `MarkedDocument.line`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from gateway.config.errors import ConfigError, KeyPath, format_key_path
from gateway.model.quoting import printable

# A gateway.yaml with 2,000 apps has about 0.7 million; it is read in well under a second.
MAX_DOCUMENT_CHARACTERS: Final = 1_048_576
# The deepest key of gateway.yaml stands at 5. Below the limit, recursion cannot exhaust the stack.
MAX_DEPTH: Final = 32
# int() is quadratic in the number of digits; the largest number that any setting takes has 10.
MAX_NUMBER_CHARACTERS: Final = 40

_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL_OR_HEX = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# The C scanner is more than ten times faster; builds of PyYAML without libyaml do not have it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class MarkedDocument:
    """``value`` holds dict, list, str, int, float, bool and None only; ``source`` is for messages."""

    source: str
    value: Any
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line (from 1) of a key or list item, or of the nearest thing around it: a missing key
        is reported where it should have stood. None for an empty document."""
        for end in range(len(path), -1, -1):
            found = self.lines.get(path[:end])
            if found is not None:
                return found
        return None

    def error(self, path: KeyPath, message: str) -> ConfigError:
        """The error to raise about what stands at ``path``."""
        return ConfigError(self.source, self.line(path), format_key_path(path), message)


def load_marked(text: str, source: str, limit: int = MAX_DOCUMENT_CHARACTERS) -> MarkedDocument:
    """Read one YAML document of at most ``limit`` characters. ``source`` names it in messages. Raises
    ConfigError, nothing else."""
    if len(text) > limit:
        raise ConfigError(source, None, "", f"longer than {limit} characters")
    builder = _Builder(source, iter(yaml.parse(text, Loader=_Loader)))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(source, line, "", f"not YAML: {what}") from error
    except (yaml.YAMLError, UnicodeError) as error:  # characters that YAML does not allow
        raise ConfigError(source, None, "", f"not YAML: {str(error).splitlines()[0]}") from error
    return MarkedDocument(source, value, builder.lines)


def reads_as_text(text: str) -> bool:
    """Whether a scalar without quotes is text, not a number or a constant."""
    numbers = (_INTEGER, _OCTAL_OR_HEX, _FLOAT)
    return text not in _CONSTANTS and not any(number.match(text) for number in numbers)


class _Builder:
    """One pass over the parser's events. Composing nodes with PyYAML would resolve aliases and tags
    before anything could refuse them, and recurses without a bound."""

    def __init__(self, source: str, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> Any:
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refused(event, (), "a second document in one file")
            elif isinstance(event, yaml.NodeEvent):
                value = self._node(event, ())
        return value

    def _node(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._refused(event, path, "anchors and aliases are not allowed; write the value out")
        if event.tag is not None:
            raise self._refused(event, path, f"tags are not allowed: {printable(event.tag)}")
        if len(path) > MAX_DEPTH:
            raise self._refused(event, (), f"nested deeper than {MAX_DEPTH} levels")
        self.lines.setdefault(path, event.start_mark.line + 1)
        match event:
            case yaml.MappingStartEvent():
                return self._mapping(path)
            case yaml.SequenceStartEvent():
                return self._sequence(path)
            case _:
                return self._scalar(event, path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            here = (*path, key)
            if key in values:
                first = self.lines[here]
                raise self._refused(event, here, f"given twice; the first one is on line {first}")
            self.lines[here] = event.start_mark.line + 1
            values[key] = self._node(next(self._events), here)
        return values

    def _sequence(self, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*path, len(values))))
        return values

    def _key(self, event: Any, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refused(event, path, "a key is a word, not a list, a mapping or an alias")
        if event.anchor is not None or event.tag is not None or (event.value == "<<" and event.implicit[0]):
            raise self._refused(event, path, "anchors, tags and merge keys are not allowed")
        key = self._scalar(event, path)
        if not isinstance(key, str):
            raise self._refused(
                event, path, f"the key {printable(event.value)} is not text; put it in quotes"
            )
        return key

    def _scalar(self, event: Any, path: KeyPath) -> str | int | float | bool | None:
        text: str = event.value
        if not event.implicit[0]:  # printable, or a block scalar: text, whatever it looks like
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if len(text) > MAX_NUMBER_CHARACTERS:
            return text
        if _INTEGER.match(text):
            return int(text)
        if _OCTAL_OR_HEX.match(text):
            return int(text, 0)
        if _FLOAT.match(text):
            number = float(text)
            if not math.isfinite(number):
                raise self._refused(event, path, "a number too large")
            return number
        return text

    def _refused(self, event: Any, path: KeyPath, message: str) -> ConfigError:
        return ConfigError(self._source, event.start_mark.line + 1, format_key_path(path), message)
