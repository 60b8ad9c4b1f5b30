"""The little of Okta's filter and search language that lists take:
`profile.login eq "…" and status eq "…"`."""

import json
import re
from collections.abc import Collection
from typing import Final

from gateway.server.org.errors import invalid_filter

MAX_CHARACTERS: Final = 2_048
_COMPARISON: Final = re.compile(r'\s*([A-Za-z.]{1,64})\s+eq\s+("(?:[^"\\]|\\.)*")\s*', re.IGNORECASE)
_AND: Final = re.compile(r"and\s", re.IGNORECASE)


def equalities(text: str | None, known: Collection[str]) -> dict[str, str]:
    """What each named field must be; empty where nothing is asked for. Raises ApiError for anything else than
    `eq` joined by `and`, and for a field that is not ``known`` or is there twice."""
    found: dict[str, str] = {}
    if not text:
        return found
    if len(text) > MAX_CHARACTERS:
        raise invalid_filter(f"longer than {MAX_CHARACTERS} characters")
    at = 0
    while True:
        comparison = _COMPARISON.match(text, at)
        if comparison is None:
            raise invalid_filter('only comparisons with eq, joined by and, such as status eq "ACTIVE"')
        name = comparison[1]
        if name not in known or name in found:
            raise invalid_filter(f"only each once of {', '.join(known)}")
        found[name] = _value(comparison[2])
        at = comparison.end()
        if at == len(text):
            return found
        joined = _AND.match(text, at)
        if joined is None:
            raise invalid_filter("comparisons are joined by and")
        at = joined.end()


def _value(quoted: str) -> str:
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        raise invalid_filter("a text that cannot be read") from None
