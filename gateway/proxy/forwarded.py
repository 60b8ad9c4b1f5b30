"""The `Forwarded` field (RFC 7239 §4): who each proxy on the way was spoken to by."""

import re
from collections.abc import Sequence
from typing import Final

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_PAIR: Final = re.compile(rf"({_NAME})=({_NAME}|{_QUOTED})")
_BETWEEN: Final = re.compile(r"[ \t]*([;,])[ \t]*")
_ESCAPED: Final = re.compile(r"\\(.)")


class ForwardedRefused(Exception):
    """The field is malformed. Where a part of it ends is then unknown, and with it who wrote which part."""


def forwarded_for(fields: Sequence[bytes]) -> list[str]:
    """The `for` of each element, first hop first; an empty text for an element that has none.

    Raises ForwardedRefused. Whether a `for` is an address is not checked: it may be `unknown` or a made-up
    name (§6.3).
    """
    hops: list[str] = []
    for field in fields:
        hops.extend(_hops(field.decode("latin-1").strip(" \t")))
    return hops


def _hops(text: str) -> list[str]:
    hops: list[str] = []
    seen: dict[str, str] = {}
    position, separator = 0, ","
    while True:
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ForwardedRefused("not a name and a value")
        name, value = pair[1].lower(), pair[2]
        if name in seen:
            raise ForwardedRefused("the same name twice in one element")
        seen[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value
        position = pair.end()
        if position == len(text):
            return [*hops, seen.get("for", "")]
        between = _BETWEEN.match(text, position)
        if between is None:
            raise ForwardedRefused("neither ; nor , behind a value")
        position, separator = between.end(), between[1]
        if separator == ",":
            hops.append(seen.get("for", ""))
            seen = {}
