"""JSON as the API takes it (RFC 8259), with what lenient parsers let through refused.

Of two members with one name each program takes another one; NaN is no JSON; a lone surrogate has no UTF-8,
and PostgreSQL has no place for U+0000. What is parsed can therefore be stored, and means one thing.
"""

import json
import re
from typing import Any, Final, Never

MAX_DEPTH: Final = 32
# Every number that the API knows is far smaller; the databases' integers have 64 bits.
MAX_INTEGER: Final = 2**63 - 1
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class JsonRefused(ValueError):
    """The one exception for JSON that is not taken; the text says why, without the content."""


def parse_json(data: bytes) -> Any:
    """The value. Raises JsonRefused. The caller bounds the length of ``data``."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise JsonRefused("not UTF-8") from None
    except RecursionError:
        raise JsonRefused("nested too deeply") from None
    except JsonRefused:
        raise
    except ValueError:
        raise JsonRefused("not JSON") from None
    _check(value, MAX_DEPTH)
    return value


def is_storable(text: str) -> bool:
    """False for text with U+0000 or with a lone surrogate."""
    return _UNSTORABLE.search(text) is None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise JsonRefused("a name twice in one object")
    return value


def _constant(_: str) -> Never:
    raise JsonRefused("a number that is none")


def _integer(text: str) -> int:
    if len(text) > len(str(-MAX_INTEGER)) or abs(int(text)) > MAX_INTEGER:
        raise JsonRefused("a number beyond 64 bits")
    return int(text)


def _check(value: Any, depth: int) -> None:
    match value:
        case str():
            if not is_storable(value):
                raise JsonRefused("a character that cannot be stored")
        case float():
            if value in (float("inf"), float("-inf")):
                raise JsonRefused("a number that is too large")
        case dict() | list():
            if depth == 0:
                raise JsonRefused("nested too deeply")
            if isinstance(value, dict):
                for name in value:
                    _check(name, depth)
            for each in value.values() if isinstance(value, dict) else value:
                _check(each, depth - 1)
        case _:
            pass
