"""What the log API is asked: the rules of since, until, after, limit and sortOrder, as tables."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.model.log_event import LogQuery, Outcome, Severity
from gateway.system_log.errors import QueryRefused
from gateway.system_log.filter import parse_filter
from gateway.system_log.narrowing import narrowed
from gateway.system_log.query import (
    Bounded,
    BoundedCursor,
    Polling,
    PollingCursor,
    parse_question,
)

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLLED = PollingCursor(7)
RISING = BoundedCursor(NOW - DAY, NOW, NOW - DAY / 2, 7, False)
FALLING = BoundedCursor(NOW - DAY, NOW, NOW - DAY / 2, 7, True)

RANGES = [
    ("nothing: polls the last 7 days", {}, Polling(NOW - 7 * DAY, None)),
    ("since alone polls", {"since": "2026-01-19T12:00:00Z"}, Polling(NOW - DAY, None)),
    ("times of another zone", {"since": "2026-01-19T14:00:00.000+02:00"}, Polling(NOW - DAY, None)),
    ("a plus that was not encoded", {"since": "2026-01-19T14:00:00 02:00"}, Polling(NOW - DAY, None)),
    ("a date alone", {"since": "2026-01-19"}, Polling(NOW - 1.5 * DAY, None)),
    ("a space instead of T", {"since": "2026-01-19 12:00"}, Polling(NOW - DAY, None)),
    ("empty is left out", {"since": "", "until": "", "q": "", "filter": ""}, Polling(NOW - 7 * DAY, None)),
    (
        "since and until are bounds",
        {"since": "2026-01-19T12:00:00Z", "until": "2026-01-20T12:00:00Z"},
        Bounded(NOW - DAY, NOW, False),
    ),
    (
        "until alone: 7 days before it",
        {"until": "2026-01-19T12:00:00Z"},
        Bounded(NOW - 8 * DAY, NOW - DAY, False),
    ),
    ("descending ends now", {"sortOrder": "DESCENDING"}, Bounded(NOW - 7 * DAY, NOW, True)),
    (
        "descending in any case",
        {"sortOrder": "descending", "since": "2026-01-19T12:00:00Z"},
        Bounded(NOW - DAY, NOW, True),
    ),
    ("going on polling", {"after": str(POLLED)}, Polling(datetime(1970, 1, 1, tzinfo=UTC), POLLED)),
    (
        "since beside after says nothing",
        {"after": str(POLLED), "since": "2026-01-19"},
        Polling(datetime(1970, 1, 1, tzinfo=UTC), POLLED),
    ),
    (
        "going on within bounds",
        {"after": str(RISING), "until": "2026-01-20T12:00:00Z"},
        Bounded(NOW - DAY, NOW, False, RISING),
    ),
    (
        "going on downwards",
        {"after": str(FALLING), "sortOrder": "DESCENDING"},
        Bounded(NOW - DAY, NOW, True, FALLING),
    ),
    ("180 days ago", {"since": "2025-07-24T12:00:00Z"}, Polling(NOW - 180 * DAY, None)),
]


@pytest.mark.parametrize(("name", "fields", "expected"), RANGES, ids=[case[0] for case in RANGES])
def test_what_is_asked(name: str, fields: dict[str, str], expected: Polling | Bounded) -> None:
    assert parse_question(fields, NOW).range == expected


@pytest.mark.parametrize(("text", "limit"), [(None, 100), ("", 100), ("0", 0), ("1000", 1000)])
def test_limits(text: str | None, limit: int) -> None:
    assert parse_question({} if text is None else {"limit": text}, NOW).limit == limit


REFUSED = [
    ("half a year and a day", {"since": "2025-07-24T11:59:59Z"}, "E0000053", "over 180 days prior"),
    (
        "a time that is none",
        {"until": "yesterday"},
        "E0000001",
        "'until': The date format in your query is not recognized",
    ),
    ("a time of the year 0", {"since": "0000-01-01T00:00:00Z"}, "E0000001", "not recognized"),
    ("a time that no zone has", {"since": "0001-01-01T00:00:00+14:00"}, "E0000001", "not recognized"),
    ("a very long time", {"since": "2026-01-19T12:00:00." + "0" * 100 + "Z"}, "E0000001", "not recognized"),
    ("since after until", {"since": "2026-01-19", "until": "2026-01-18"}, "E0000001", "later than since"),
    ("too many", {"limit": "1001"}, "E0000001", "between 0 and 1000"),
    ("less than none", {"limit": "-1"}, "E0000001", "'limit'"),
    ("digits of another script", {"limit": "٣"}, "E0000001", "'limit'"),
    ("an order that is none", {"sortOrder": "UP"}, "E0000001", "'sortOrder'"),
    ("a cursor of somebody's own", {"after": "349996bd-5091-45dc-a39f-d357867a30d7"}, "E0000053", "after"),
    ("a long cursor", {"after": "A" * 300}, "E0000053", "after"),
    ("a cursor beyond all times", {"after": "Yi5hLjk5OTk5OTk5OTk5OTk5OTk5LjEuMS4x"}, "E0000053", "after"),
    ("polling on with until", {"after": str(POLLED), "until": "2026-01-20"}, "E0000053", "after"),
    ("polling on downwards", {"after": str(POLLED), "sortOrder": "DESCENDING"}, "E0000053", "after"),
    ("bounds without until", {"after": str(RISING)}, "E0000053", "after"),
    ("bounds the other way", {"after": str(RISING), "sortOrder": "DESCENDING"}, "E0000053", "after"),
]


@pytest.mark.parametrize(("name", "fields", "code", "finding"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_cannot_be_asked(name: str, fields: dict[str, str], code: str, finding: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        parse_question(fields, NOW)
    assert refused.value.code == code
    assert finding in refused.value.summary


def test_a_time_that_is_none_is_told_with_two_causes() -> None:
    with pytest.raises(QueryRefused) as refused:
        parse_question({"until": "x"}, NOW)
    assert [cause.partition(":")[0] for cause in refused.value.causes] == ["until", "until"]


NARROWED = [
    ('eventType eq "a"', {"event_types": frozenset("a")}, True),
    ('eventType eq "a" or eventType eq "b"', {"event_types": frozenset("ab")}, True),
    ('eventType eq "a" and target.id eq "t"', {"event_types": frozenset("a"), "target_id": "t"}, True),
    ('target.id eq "t" and target.id eq "u"', {"target_id": "t"}, False),
    (
        'actor.id eq "u" and outcome.result eq "DENY"',
        {"actor_id": "u", "outcomes": frozenset([Outcome.DENY])},
        True,
    ),
    (
        'severity eq "WARN" or severity eq "ERROR"',
        {"severities": frozenset([Severity.WARN, Severity.ERROR])},
        True,
    ),
    ('severity eq "LOUD"', {}, False),
    ('eventType eq "a" or severity eq "WARN"', {}, False),
    ('not eventType eq "a"', {}, False),
    ('eventType ne "a"', {}, False),
    ("eventType eq 7", {}, False),
    ('eventType eq "a" and debugContext.debugData.deviceId eq "d"', {"event_types": frozenset("a")}, False),
]


@pytest.mark.parametrize(("text", "narrower", "whole"), NARROWED, ids=[case[0] for case in NARROWED])
def test_what_an_index_is_asked(text: str, narrower: dict[str, Any], whole: bool) -> None:
    found = narrowed(LogQuery(), parse_filter(text))
    assert found.query == LogQuery(**narrower)
    assert found.whole is whole
