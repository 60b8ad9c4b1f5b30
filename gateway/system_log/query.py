"""What `GET /api/v1/logs` is asked, read from its query: which events, in which order, from where on.

polling   no ``until``, ascending: in the order in which events were written, for ever. Each page says where
the
          next begins; who follows sees each event exactly once, also one that was published long before it
          could be written. ``since`` says where the first page begins.
bounded   all else: in the order of ``published`` within since and until. The last page has no next one.

A cursor is plain text in base64url. It tells where to go on and opens nothing, so nobody gains by making one.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.system_log.errors import INVALID, VALIDATION, QueryRefused, invalid_value
from gateway.system_log.filter import Filter, parse_filter
from gateway.system_log.keywords import Keywords, parse_keywords
from gateway.system_log.narrowing import needed_texts

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
DEFAULT_PERIOD: Final = timedelta(days=7)
OLDEST_SINCE: Final = timedelta(days=180)
MAX_TIME_CHARACTERS: Final = 40
MAX_CURSOR_CHARACTERS: Final = 200

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_POLLING: Final = re.compile(r"p\.([0-9]{1,18})")
_BOUNDED: Final = re.compile(r"b\.([ad])\.([0-9]{1,17})\.([0-9]{1,17})\.([0-9]{1,17})\.([0-9]{1,18})")
# In an address, a plus that was not encoded is a space.
_LOST_PLUS: Final = re.compile(r" (?=[0-9]{2}:?[0-9]{2}$)")


@dataclass(frozen=True, slots=True)
class PollingCursor:
    """Behind the row with this number."""

    number: int

    def __str__(self) -> str:
        return _encoded(f"p.{self.number}")


@dataclass(frozen=True, slots=True)
class BoundedCursor:
    """Behind the row that was published then and has this number, within these times."""

    since: datetime
    until: datetime
    published: datetime
    number: int
    descending: bool

    def __str__(self) -> str:
        times = ".".join(str(_microseconds(at)) for at in (self.since, self.until, self.published))
        return _encoded(f"b.{'d' if self.descending else 'a'}.{times}.{self.number}")


@dataclass(frozen=True, slots=True)
class Polling:
    """``after`` None: from the first row on that was published at ``since`` or later."""

    since: datetime
    after: PollingCursor | None


@dataclass(frozen=True, slots=True)
class Bounded:
    since: datetime
    until: datetime
    descending: bool
    after: BoundedCursor | None = None


@dataclass(frozen=True, slots=True)
class Question:
    range: Polling | Bounded
    limit: int
    filter: Filter | None = None
    keywords: Keywords | None = None
    needed_texts: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.filter is not None:
            object.__setattr__(self, "needed_texts", needed_texts(self.filter))


def parse_question(fields: Mapping[str, str], now: datetime) -> Question:
    """Read the fields of a query; those that are not known are passed over, as tools send some of their own.
    Raises QueryRefused."""
    filter_text = fields.get("filter", "").strip()
    return Question(
        range=_range(fields, now),
        limit=_limit(fields.get("limit")),
        filter=parse_filter(filter_text) if filter_text else None,
        keywords=parse_keywords(fields.get("q", "")),
    )


def _range(fields: Mapping[str, str], now: datetime) -> Polling | Bounded:
    descending = _descending(fields.get("sortOrder") or "ASCENDING")
    since, until = (parse_time(name, fields.get(name, "")) for name in ("since", "until"))
    after = fields.get("after")
    if after:
        # Okta calls since beside after an error, and the pager of its own SDK sends both. The cursor knows
        # more.
        return _going_on(after, until, descending)
    if since is not None and since < now - OLDEST_SINCE:
        raise QueryRefused(
            INVALID,
            "Invalid parameter: The since parameter is over 180 days prior to the current day.",
        )
    if until is None and not descending:
        return Polling(now - DEFAULT_PERIOD if since is None else since, None)
    end = now if until is None else until
    begin = max(end, _EPOCH + DEFAULT_PERIOD) - DEFAULT_PERIOD if since is None else since
    if begin > end:
        raise invalid_value("until", "must be later than since.")
    return Bounded(begin, end, descending)


def _going_on(after: str, until: datetime | None, descending: bool) -> Polling | Bounded:
    """The times of a bounded question are in its cursor."""
    cursor = _read_cursor(after)
    if isinstance(cursor, PollingCursor):
        if until is not None or descending:
            raise _no_cursor()
        return Polling(_EPOCH, cursor)
    if cursor.descending is not descending or (until is None and not descending):
        raise _no_cursor()
    return Bounded(cursor.since, cursor.until, descending, cursor)


def _read_cursor(text: str) -> PollingCursor | BoundedCursor:
    if len(text) > MAX_CURSOR_CHARACTERS:
        raise _no_cursor()
    try:
        padded = text + "=" * (-len(text) % 4)
        plain = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        raise _no_cursor() from None
    polling = _POLLING.fullmatch(plain)
    if polling is not None:
        return PollingCursor(int(polling[1]))
    bounded = _BOUNDED.fullmatch(plain)
    if bounded is None:
        raise _no_cursor()
    try:
        since, until, published = (_EPOCH + int(bounded[place]) * _MICROSECOND for place in (2, 3, 4))
    except OverflowError:
        raise _no_cursor() from None
    return BoundedCursor(since, until, published, int(bounded[5]), bounded[1] == "d")


def _limit(text: str | None) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= MAX_LIMIT):
        raise invalid_value("limit", f"must be a number between 0 and {MAX_LIMIT}.")
    return int(text)


def _descending(text: str) -> bool:
    if text.upper() not in ("ASCENDING", "DESCENDING"):
        raise invalid_value("sortOrder", "must be ASCENDING or DESCENDING.")
    return text.upper() == "DESCENDING"


def parse_time(name: str, text: str) -> datetime | None:
    """A time in ISO 8601, UTC where it names no zone; None for an empty one. Raises QueryRefused, which names
    the parameter ``name``."""
    text = text.strip()
    if not text:
        return None
    try:
        if len(text) > MAX_TIME_CHARACTERS:
            raise ValueError
        at = datetime.fromisoformat(_LOST_PLUS.sub("+", text) if "T" in text else text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        unreadable = (
            "The date format in your query is not recognized. Please enter dates using ISO8601 string format."
        )
        required = "must be a valid date-time or empty."
        raise QueryRefused(
            VALIDATION,
            f"Api validation failed: '{name}': {unreadable} '{name}': {required}",
            (f"{name}: {unreadable}", f"{name}: {required}"),
        ) from None
    return max(at, _EPOCH)


def _encoded(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode("ascii")).decode("ascii").rstrip("=")


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _no_cursor() -> QueryRefused:
    return QueryRefused(INVALID, "Invalid parameter: The after parameter is not one of a next link.")
