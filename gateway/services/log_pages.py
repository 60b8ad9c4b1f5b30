"""Pages of the System Log: the rows that a question asks for, read in bounded steps."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from gateway.model.log_event import LogQuery, LogRow
from gateway.system_log.filter import matches
from gateway.system_log.narrowing import Narrowed, narrowed
from gateway.system_log.query import Bounded, BoundedCursor, Polling, PollingCursor, Question

# Rows read at once where each has to be looked at: some 2 MB.
STEP_ROWS: Final = 1_000
_FEW_STEPS: Final = 10


class LogRows(Protocol):
    """The System Log of a consistent view of the store."""

    def rows(self, query: LogQuery | None = None) -> Iterable[LogRow]:
        """The rows, in the order that the query names; at most its ``limit``."""
        ...

    def first_number_since(self, at: datetime) -> int | None:
        """The lowest number of a row that was published at this time or later."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Number and hash of the last row; (0, zeros) where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class LogPage:
    """``next`` None: the last page of a bounded question."""

    rows: tuple[LogRow, ...]
    next: PollingCursor | BoundedCursor | None


def read_page(log: LogRows, question: Question, time_is_up: Callable[[], bool]) -> LogPage:
    """The next page. Where few rows match and ``time_is_up``, it ends early, with what was found until then
    and the place where the next page goes on: whoever follows misses nothing."""
    match question.range:
        case Polling() as polling:
            return _polled(log, question, polling, time_is_up)
        case Bounded() as bounded:
            return _within(log, question, bounded, time_is_up)


def row_matches(question: Question, row: LogRow) -> bool:
    """What of a question is asked of each row: its filter and its keywords."""
    if not all(text in row.event_json for text in question.needed_texts):
        return False
    if question.keywords is not None and not question.keywords.may_be_in(row.event_json):
        return False
    event: dict[str, Any] = json.loads(row.event_json)
    if question.filter is not None and not matches(event, question.filter):
        return False
    return question.keywords is None or question.keywords.are_in(event)


def _polled(log: LogRows, question: Question, polling: Polling, time_is_up: Callable[[], bool]) -> LogPage:
    if polling.after is None:
        # What was published earlier and written later than the first of them belongs to it, too.
        first = _first_since(log, polling.since)
        at = log.head()[0] if first is None else first - 1
    else:
        at = polling.after.number
    narrow = narrowed(LogQuery(by_number=True), question.filter)
    if log.head()[0] - at <= _FEW_STEPS * STEP_ROWS:
        # An index by type or person holds the rows of all times: those few are looked at sooner.
        narrow = Narrowed(LogQuery(by_number=True), whole=question.filter is None)
    found, last, _ = _found(
        log,
        question,
        lambda after: replace(narrow.query, after_number=at if after is None else after.number),
        narrow.whole,
        time_is_up,
    )
    return LogPage(found, PollingCursor(at if last is None else last.number))


def _within(log: LogRows, question: Question, bounded: Bounded, time_is_up: Callable[[], bool]) -> LogPage:
    begin = None if bounded.after is None else (bounded.after.published, bounded.after.number)
    narrow = narrowed(
        LogQuery(since=bounded.since, until=bounded.until, descending=bounded.descending), question.filter
    )
    found, last, more = _found(
        log,
        question,
        lambda after: replace(
            narrow.query, after=begin if after is None else (after.published, after.number)
        ),
        narrow.whole,
        time_is_up,
    )
    if not more:
        return LogPage(found, None)
    if last is None:  # nothing was asked for
        return LogPage(found, bounded.after)
    return LogPage(
        found,
        BoundedCursor(bounded.since, bounded.until, last.published, last.number, bounded.descending),
    )


def _first_since(log: LogRows, since: datetime) -> int | None:
    """Whoever asks for everything need not wait until all of it was looked through."""
    for oldest in log.rows(LogQuery(by_number=True, limit=1)):
        if oldest.published >= since:
            return oldest.number
    return log.first_number_since(since)


def _found(
    log: LogRows,
    question: Question,
    query_after: Callable[[LogRow | None], LogQuery],
    whole: bool,
    time_is_up: Callable[[], bool],
) -> tuple[tuple[LogRow, ...], LogRow | None, bool]:
    """(rows that match, the last row that was looked at, whether there may be more behind it)."""
    looks_at_each = question.keywords is not None or not whole
    found: list[LogRow] = []
    last: LogRow | None = None
    while len(found) < question.limit:
        wanted = question.limit - len(found)
        step = STEP_ROWS if looks_at_each else wanted
        # One more than wanted tells whether the page is the last one.
        rows = list(log.rows(replace(query_after(last), limit=step + 1)))
        more = len(rows) > step
        for place, row in enumerate(rows[:step]):
            last = row
            if not looks_at_each or row_matches(question, row):
                found.append(row)
                if len(found) == question.limit:
                    return tuple(found), last, more or place + 1 < len(rows[:step])
        if not more or time_is_up():
            return tuple(found), last, more
    return tuple(found), last, False
