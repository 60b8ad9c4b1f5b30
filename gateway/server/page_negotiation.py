"""Which representation and which language a request asks for (RFC 9110 §12.4, §12.5; RFC 4647 §3.4).

A header that cannot be read is treated as absent: a page is never refused with 406, since the person
who should read it can do nothing about a header.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

MAX_NEGOTIATION_BYTES = 1024
"""What is read of one header. Browsers send at most about 200 bytes; the rest cannot change the answer of
an honest client, and bounds the work for a dishonest one."""

HTML = "text/html"
PROBLEM_JSON = "application/problem+json"
_JSON_TYPES = (PROBLEM_JSON, "application/json")

# Each alternative of both patterns begins with another character, so neither can backtrack.
_LIST_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def preferred_media_type(accept: bytes | None) -> str:
    """``text/html`` or ``application/problem+json``.

    The higher quality wins; between equals the one that the client named more precisely (so that
    ``application/json, */*`` asks for JSON); between equals in that too, HTML. ``application/json`` also
    asks for problem JSON, the JSON that there is for an error (RFC 9457 §3). Parameters of a range other
    than ``q`` are ignored.
    """
    ranges = _qualities(_bounded(accept))
    html = _quality_of(HTML, ranges)
    json = max(_quality_of(media_type, ranges) for media_type in _JSON_TYPES)
    return PROBLEM_JSON if json > html else HTML


def preferred_language(accept_language: bytes | None, available: tuple[str, ...], default: str) -> str:
    """The available language that the client likes best (RFC 4647 §3.4, look-up: ``de-AT`` finds ``de``)."""
    return _best_language(_bounded(accept_language), available, default)


@lru_cache(maxsize=1024)
def _best_language(accept_language: bytes, available: tuple[str, ...], default: str) -> str:
    ranges = _qualities(accept_language)
    for language_range, quality in sorted(ranges.items(), key=lambda item: -item[1]):
        if quality == 0:
            continue
        if language_range == "*":
            return default
        subtags = language_range.split("-")
        while subtags:
            candidate = "-".join(subtags)
            if candidate in available and ranges.get(candidate) != 0:
                return candidate
            subtags.pop()
    return default


def _bounded(header: bytes | None) -> bytes:
    return (header or b"")[:MAX_NEGOTIATION_BYTES]


@lru_cache(maxsize=1024)
def _qualities(header: bytes) -> Mapping[str, float]:
    """Range in lower case → quality, in the header's order. A member with an invalid ``q`` is left out."""
    qualities: dict[str, float] = {}
    text = header.decode("latin-1").lower()
    for member in _LIST_MEMBER.findall(text):
        value, *parameters = (part.strip() for part in _PARAMETER.findall(member) or ("",))
        quality = "1"
        for parameter in parameters:
            name, _, parameter_value = parameter.partition("=")
            if name.strip() == "q":
                quality = parameter_value.strip()
                break
        if value and _QVALUE.fullmatch(quality):
            qualities.setdefault(value, float(quality))
    return qualities


def _quality_of(media_type: str, ranges: Mapping[str, float]) -> tuple[float, int]:
    """Quality, and how precisely the range behind it names the type: 2 fully, 1 type/*, 0 */*."""
    main_type = media_type.partition("/")[0]
    for precision, media_range in ((2, media_type), (1, f"{main_type}/*"), (0, "*/*")):
        if media_range in ranges:
            quality = ranges[media_range]
            return quality, precision if quality > 0 else 0
    return 0.0, 0
