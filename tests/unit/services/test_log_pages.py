"""Pages of the System Log against a model: whoever follows them sees each event once."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.log_events import NOON, log_event
from support.memory_log import MemoryLog

from gateway.model.log_event import LogEvent, LogRow, Severity
from gateway.services.log_pages import STEP_ROWS, read_page, row_matches
from gateway.system_log.filter import parse_filter
from gateway.system_log.keywords import parse_keywords
from gateway.system_log.query import Bounded, BoundedCursor, Polling, PollingCursor, Question

FILTERS = (
    None,
    'severity eq "WARN"',
    'debugContext.debugData.flowId ew "3"',
    'severity eq "WARN" and debugContext.debugData.flowId ne "flow-2"',
)


def never() -> bool:
    return False


def always() -> bool:
    return True


@st.composite
def logs(draw: st.DrawFn) -> list[LogEvent]:
    """Events of which some were written later than they were published, and some at the same time."""
    times = draw(st.lists(st.integers(0, 8), max_size=25))
    return [
        log_event(
            number,
            published=NOON + timedelta(seconds=second),
            severity=Severity.WARN if second % 3 == 0 else Severity.INFO,
        )
        for number, second in enumerate(times, 1)
    ]


def numbers(rows: tuple[LogRow, ...] | list[LogRow]) -> list[int]:
    return [row.number for row in rows]


def expected(log: MemoryLog, question: Question, fits: Callable[[LogRow], bool]) -> list[LogRow]:
    return [row for row in log.held if fits(row) and row_matches(question, row)]


@given(
    logs(),
    st.integers(1, 7),
    st.sampled_from(FILTERS),
    st.sampled_from([never, always]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
)
def test_bounded_pages_have_every_event_within_once_and_in_order(
    events: list[LogEvent],
    limit: int,
    text: str | None,
    time_is_up: Callable[[], bool],
    since: int,
    length: int,
    descending: bool,
) -> None:
    log = MemoryLog(events)
    begin, end = NOON + timedelta(seconds=since), NOON + timedelta(seconds=since + length)
    question = Question(Bounded(begin, end, descending), limit, None if text is None else parse_filter(text))
    seen: list[LogRow] = []
    asked = question
    for _ in range(60):
        page = read_page(log, asked, time_is_up)
        assert len(page.rows) <= limit
        seen += page.rows
        if page.next is None:
            break
        assert isinstance(page.next, BoundedCursor)
        asked = replace(question, range=Bounded(begin, end, descending, page.next))
    else:
        pytest.fail("the pages have no end")
    within = expected(log, question, lambda row: begin <= row.published < end)
    within.sort(key=lambda row: (row.published, row.number), reverse=descending)
    assert numbers(seen) == numbers(within)


@given(logs(), logs(), st.integers(1, 7), st.sampled_from(FILTERS), st.integers(0, 9))
def test_polling_sees_each_event_once_also_those_written_late(
    before: list[LogEvent], later: list[LogEvent], limit: int, text: str | None, since: int
) -> None:
    log = MemoryLog(before)
    begin = NOON + timedelta(seconds=since)
    question = Question(Polling(begin, None), limit, None if text is None else parse_filter(text))
    first = next((row.number for row in log.held if row.published >= begin), len(before) + 1)
    seen: list[LogRow] = []
    asked, waiting = question, list(later)
    for _ in range(120):
        page = read_page(log, asked, never)
        seen += page.rows
        assert isinstance(page.next, PollingCursor)
        asked = replace(question, range=Polling(begin, page.next))
        if waiting:
            log.append_many([replace(waiting.pop(0), uuid=f"late-{len(waiting)}")])
        elif not page.rows:
            break
    assert numbers(seen) == numbers(expected(log, question, lambda row: row.number >= first))


def test_a_polling_page_that_runs_out_of_time_says_where_to_go_on() -> None:
    log = MemoryLog(log_event(number) for number in range(1, 2 * STEP_ROWS + 10))
    question = Question(Polling(NOON, None), 10, parse_filter('debugContext.debugData.flowId eq "flow-2001"'))
    page = read_page(log, question, always)
    assert page.rows == ()
    assert page.next == PollingCursor(STEP_ROWS)
    page = read_page(log, replace(question, range=Polling(NOON, PollingCursor(STEP_ROWS))), never)
    assert numbers(page.rows) == [2001]


def test_keywords_are_looked_for_in_each_event() -> None:
    log = MemoryLog([log_event(1), log_event(2, reason="the needle"), log_event(3)])
    page = read_page(log, Question(Polling(NOON, None), 10, keywords=parse_keywords("NEEDLE")), never)
    assert [json.loads(row.event_json)["outcome"]["reason"] for row in page.rows] == ["the needle"]


def test_nothing_asked_for_is_nothing_given_and_goes_on_at_the_same_place() -> None:
    log = MemoryLog([log_event(1), log_event(2)])
    page = read_page(log, Question(Polling(NOON, PollingCursor(1)), 0), never)
    assert (page.rows, page.next) == ((), PollingCursor(1))
    page = read_page(log, Question(Bounded(NOON, NOON + timedelta(hours=1), False), 0), never)
    assert (page.rows, page.next) == ((), None)


def test_what_an_index_answers_is_not_looked_at_row_by_row() -> None:
    log = MemoryLog(log_event(number) for number in range(1, 500))
    question = Question(
        Bounded(NOON, NOON + timedelta(hours=1), False), 5, parse_filter('severity eq "INFO"')
    )
    read_page(log, question, never)
    assert log.read == 6


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ('outcome.reason eq "Stra\\u00dfe \\"7\\""', "", [1]),
        ('outcome.reason co "ße"', "", [1]),
        ('outcome.reason ne "Stra\\u00dfe \\"7\\""', "", [2, 3]),
        ("", "STRASSE", [1]),
        ("", "back\\slash", [2]),
        ("", "kelvin", [3]),
    ],
)
def test_a_look_at_the_raw_text_passes_over_nothing_that_matches(
    text: str, words: str, expected: list[int]
) -> None:
    reasons = ('Straße "7"', "back\\slash", "\u212aelvin")
    log = MemoryLog(log_event(number, reason=reason) for number, reason in enumerate(reasons, 1))
    question = Question(Polling(NOON, None), 10, parse_filter(text) if text else None, parse_keywords(words))
    assert numbers(read_page(log, question, never).rows) == expected
