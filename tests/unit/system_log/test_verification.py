"""The chain of the System Log: whatever is done to its rows is found."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.log_events import NOON, log_event

from gateway.model.log_event import LogEvent, LogRow
from gateway.system_log.administration import log_trimmed
from gateway.system_log.catalog import job
from gateway.system_log.chain import FIRST_PREVIOUS_HASH, canonical, row_hash
from gateway.system_log.verification import BEGINNING, Finding, Head, Problem, Verification, parse_head
from gateway.system_log.wire import to_okta


def chained(events: Sequence[LogEvent], start: Head = BEGINNING) -> list[LogRow]:
    rows: list[LogRow] = []
    previous = start.hash
    for number, event in enumerate(events, start.number + 1):
        text = canonical(to_okta(event))
        own = row_hash(previous, number, text)
        rows.append(LogRow(number, event.uuid, event.published, text.decode(), previous, own))
        previous = own
    return rows


ROWS = chained([log_event(number) for number in range(1, 13)])
HEAD = Head(12, ROWS[-1].hash)


def findings(
    rows: Sequence[LogRow], head: Head = HEAD, start: Head = BEGINNING, expected: Sequence[Head] = ()
) -> list[Finding]:
    verification = Verification(start, expected)
    found = [finding for row in rows for finding in verification.read((row,))]
    return [*found, *verification.end(head)]


def test_rows_as_they_were_written_are_fine() -> None:
    assert findings(ROWS, expected=[HEAD, Head(5, ROWS[4].hash)]) == []
    assert findings([], BEGINNING) == []


_PLACES = st.integers(0, len(ROWS) - 1)


@given(_PLACES, st.sampled_from(["event_json", "hash", "previous_hash", "uuid", "published", "number"]))
def test_any_changed_value_is_found(place: int, name: str) -> None:
    row = ROWS[place]
    other = ROWS[place - 1]
    changed = {
        "event_json": row.event_json.replace("Alice", "Mallory"),
        "hash": other.hash,
        "previous_hash": bytes(31) + b"\1",
        "uuid": "another",
        "published": row.published + timedelta(milliseconds=1),
        "number": row.number + 1,
    }
    rows = [*ROWS[:place], replace(row, **{name: changed[name]}), *ROWS[place + 1 :]]
    assert findings(rows)


@given(_PLACES)
def test_any_removed_row_is_found_and_named(place: int) -> None:
    found = findings([*ROWS[:place], *ROWS[place + 1 :]])
    if place == len(ROWS) - 1:
        assert [finding.problem for finding in found] == [Problem.TRUNCATED]
    else:
        assert (found[0].number, found[0].problem) == (place + 2, Problem.MISSING)


@given(_PLACES, _PLACES)
def test_any_two_rows_that_changed_places_are_found(one: int, other: int) -> None:
    rows = list(ROWS)
    rows[one], rows[other] = rows[other], rows[one]
    assert bool(findings(rows)) is (one != other)


@given(_PLACES, _PLACES)
def test_any_row_that_is_there_twice_is_found(one: int, place: int) -> None:
    assert findings([*ROWS[:place], ROWS[one], *ROWS[place:]])


@given(_PLACES)
def test_rows_numbered_anew_after_a_removal_are_found(place: int) -> None:
    """Who numbers the rest anew without the hashes breaks each of them."""
    rest = [replace(row, number=row.number - 1) for row in ROWS[place + 1 :]]
    assert findings([*ROWS[:place], *rest])


@given(_PLACES, st.integers(1, 5))
def test_events_put_in_between_are_found(place: int, how_many: int) -> None:
    forged = chained(
        [log_event(100 + number) for number in range(how_many)], Head(place, FIRST_PREVIOUS_HASH)
    )
    assert findings([*ROWS[:place], *forged, *ROWS[place:]])


@given(st.integers(0, 11))
def test_a_log_that_was_cut_off_is_found_by_the_stores_own_head(length: int) -> None:
    assert [finding.problem for finding in findings(ROWS[:length])] == [Problem.TRUNCATED]


def test_a_whole_new_chain_is_found_by_a_head_that_was_kept_elsewhere() -> None:
    forged = chained([log_event(number, reason="forged") for number in range(1, 13)])
    head = Head(12, forged[-1].hash)
    assert findings(forged, head) == []
    assert [(f.number, f.problem) for f in findings(forged, head, expected=[Head(7, ROWS[6].hash)])] == [
        (7, Problem.NOT_AS_EXPECTED)
    ]


def test_a_log_that_ends_before_a_kept_head_is_found() -> None:
    short = ROWS[:5]
    found = findings(short, Head(5, short[-1].hash), expected=[HEAD])
    assert [(finding.number, finding.problem) for finding in found] == [(12, Problem.NOT_AS_EXPECTED)]


def test_what_was_removed_for_its_age_leaves_a_chain_that_holds() -> None:
    uuids = count(1)
    anchor = Head(4, ROWS[3].hash)
    occasion = job(NOON + timedelta(days=90), lambda: f"trim-{next(uuids)}", "retention")
    told = chained([log_trimmed(occasion, anchor.number, anchor.hash, 4)], HEAD)
    rows, head = [*ROWS[4:], *told], Head(13, told[-1].hash)
    assert findings(rows, head, anchor) == []
    assert findings(rows, head, anchor, expected=[Head(2, ROWS[1].hash), anchor]) == []
    wrong = findings(rows, head, anchor, expected=[Head(4, bytes(32))])
    assert [finding.problem for finding in wrong] == [Problem.NOT_AS_EXPECTED]


def test_first_rows_that_are_gone_without_a_word_are_found() -> None:
    anchor = Head(4, ROWS[3].hash)
    assert [finding.problem for finding in findings(ROWS[4:], start=anchor)] == [Problem.UNRECORDED_REMOVAL]


def test_the_finding_names_the_row() -> None:
    broken = replace(ROWS[4], event_json=json.dumps({"uuid": "x"}))
    (finding,) = findings([*ROWS[:4], broken, *ROWS[5:]])
    assert str(finding) == "row 5: changed: the event is not the one that was written"


def test_a_head_is_read_as_it_is_printed() -> None:
    assert parse_head(f" {HEAD}\n") == HEAD
    for text in ("", "12", "12:abc", f"-1:{'0' * 64}", f"{HEAD}0"):
        with pytest.raises(ValueError, match="NUMBER:HASH"):
            parse_head(text)
