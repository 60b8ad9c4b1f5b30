"""The ``q`` of the log API: words that all have to stand somewhere in the values of an event.

A word counts where it stands alone: what surrounds it in the value is neither letter, digit nor underscore.
So a value with hyphens is found whole and by each of its parts, and an address of the form user@host by
either side. Upper and lower case are one. Names of fields are not searched.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.system_log.errors import invalid_value

MAX_KEYWORDS: Final = 10
MAX_KEYWORD_CHARACTERS: Final = 40
_ESCAPED: Final = frozenset('"\\')


class Keywords:
    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        # Of these the canonical JSON of an event tells at once whether they can be in it.
        self._plain = [
            word for word in words if word.isascii() and word.isprintable() and not _ESCAPED & set(word)
        ]
        self._searches = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words]

    def may_be_in(self, canonical_event: str) -> bool:
        """False only where not all words are in the event, as its canonical JSON tells without being read."""
        if "\\u" in canonical_event:  # some letters beyond ASCII are, in one case, letters of ASCII
            return True
        text = canonical_event.lower()
        return all(word in text for word in self._plain)

    def are_in(self, event: Mapping[str, Any]) -> bool:
        text = "\n".join(_texts(event)).casefold()
        # A look for the letters alone is ten times cheaper, and most events fail it.
        return all(word in text for word in self.words) and all(
            search.search(text) is not None for search in self._searches
        )


def parse_keywords(text: str) -> Keywords | None:
    """None where there is no word. Raises QueryRefused (E0000001)."""
    words = text.split()
    if len(words) > MAX_KEYWORDS:
        raise invalid_value("q", f"Freeform search cannot contain more than {MAX_KEYWORDS} items.")
    if any(len(word) > MAX_KEYWORD_CHARACTERS for word in words):
        raise invalid_value(
            "q", f"Freeform search cannot contain items longer than {MAX_KEYWORD_CHARACTERS} characters."
        )
    return Keywords(tuple(word.casefold() for word in words)) if words else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
