"""The typed events of the data plane as records of a spool, and back.

A worker writes what it knows, in few bytes and little time; who people and devices are in the store is found
when the record is read. A record is a JSON object with the kind of event and its fields. Reader and writer
may be two versions of this program: fields that the reader does not know are passed over, those that it
misses are empty.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from gateway.model.events import ChallengeAnswered, CrlFailed, SignOnDecided

SpooledEvent = SignOnDecided | ChallengeAnswered | CrlFailed

# An assertion's user may have as many characters as its issuer likes, and a record has its bound. What is
# written to the log is cut further.
MAX_TEXT_CHARACTERS: Final = 512
MAX_LIST_ITEMS: Final = 20

_KINDS: Final[dict[str, type[Any]]] = {
    "sign_on": SignOnDecided,
    "challenge": ChallengeAnswered,
    "crl_failed": CrlFailed,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_encode: Final[Callable[[Any], str]] = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class RecordUnreadable(Exception):
    """A record that is none of ours."""


def encode_event(event: SpooledEvent) -> bytes:
    """One record."""
    fields: dict[str, Any] = {"kind": _NAMES[type(event)]}
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if type(value) is str and len(value) > MAX_TEXT_CHARACTERS:
            value = value[:MAX_TEXT_CHARACTERS]
        elif type(value) is tuple:
            value = [text[:MAX_TEXT_CHARACTERS] for text in value[:MAX_LIST_ITEMS]]
        elif type(value) is datetime:
            value = value.timestamp()
        fields[name] = value
    return _encode(fields).encode("ascii")


def decode_event(record: bytes) -> SpooledEvent:
    """Raises RecordUnreadable."""
    try:
        fields = json.loads(record)
        kind = _KINDS[fields["kind"]]
        values = {name: _READERS[kind][name](fields.get(name, _ABSENT[kind][name])) for name in _FIELDS[kind]}
    except (ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError) as error:
        raise RecordUnreadable(type(error).__name__) from error
    event: SpooledEvent = kind(**values)
    return event


def _moment(value: Any) -> datetime:
    return datetime.fromtimestamp(float(value), UTC)


def _text(value: Any) -> str:
    """What no store can keep (NUL, half of a surrogate pair) is replaced: one such name, written in a rule or
    made up in a certificate, must not hold up all events behind it."""
    if not isinstance(value, str):
        raise TypeError
    return _UNSTORABLE.sub("\ufffd", value)


def _maybe_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, value))


def _flag(value: Any) -> bool:
    return value is True


def _reader(hint: Any) -> tuple[Callable[[Any], Any], Any]:
    """(what makes a field of a JSON value, the value of one that is absent)."""
    if hint is datetime:
        return _moment, None
    if hint is str:
        return _text, ""
    if hint is bool:
        return _flag, False
    if NoneType in get_args(hint):
        return _maybe_text, None
    return _texts, []


_FIELDS: Final = {kind: tuple(kind.__dataclass_fields__) for kind in _NAMES}
_READERS: Final = {
    kind: {name: _reader(hint)[0] for name, hint in get_type_hints(kind).items()} for kind in _NAMES
}
_ABSENT: Final = {
    kind: {name: _reader(hint)[1] for name, hint in get_type_hints(kind).items()} for kind in _NAMES
}
