"""Numbers, the chain of the log and its questions, on both engines."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.org_values import NOW, a_user, an_event

from gateway.adapters.store import Committed, Store, Work
from gateway.model.changes import (
    ChangeKind,
    StatePart,
    certificate_released,
    certificate_revoked,
    device_activated,
    device_deactivated,
    state_changed,
    user_activated,
    user_deactivated,
)
from gateway.model.device import CertificateId
from gateway.model.issued import RevocationReason
from gateway.model.log_event import LogQuery, Outcome, Severity
from gateway.model.store_errors import AlreadyExists, FeedBroken
from gateway.system_log.chain import FIRST_PREVIOUS_HASH, row_hash
from gateway.system_log.wire import to_okta

SECOND = timedelta(seconds=1)
CERTIFICATE = CertificateId(b"\1" * 32, 0xABC)


def test_every_kind_of_change_comes_back_with_number_and_time(store: Store) -> None:
    changes = [
        certificate_revoked(CERTIFICATE, RevocationReason.KEY_COMPROMISE, device="urn:x", user="alice"),
        certificate_released(CERTIFICATE),
        device_deactivated("urn:x"),
        device_activated("urn:x"),
        user_deactivated("alice"),
        user_activated("alice"),
        state_changed(StatePart.SETTINGS),
    ]
    assert {change.kind for change in changes} == set(ChangeKind)
    heard: list[Committed] = []
    forget = store.on_commit(heard.append)
    with store.begin() as work:
        for change in changes[:3]:
            work.record(change)
        assert work.committed is None
    assert work.committed == Committed(3, 0)
    with store.begin() as work:
        for change in changes[3:]:
            work.record(change)
        work.log_event(an_event())
    forget()
    with store.read() as view:
        found = view.feed.changes_after(0)
        assert [(change.kind, change.payload) for change in found] == [
            (change.kind, change.payload) for change in changes
        ]
        assert [change.number for change in found] == list(range(1, 8))
        assert all(change.at and change.at.tzinfo is UTC for change in found)
        assert [change.number for change in view.feed.changes_after(2, limit=3)] == [3, 4, 5]
        assert view.feed.changes_after(7) == []
        assert view.feed.head() == 7
    assert heard == [Committed(3, 0), Committed(7, 1)]


def record_and_add(work: Work, device: str, login: str) -> None:
    work.record(device_deactivated(device))
    work.log_event(an_event())
    work.users.add(a_user(login))


def fail_after_recording(work: Work) -> None:
    record_and_add(work, "urn:x", "bob")
    raise ZeroDivisionError


def test_a_transaction_that_fails_takes_no_number(store: Store) -> None:
    with store.begin() as work:
        work.users.add(a_user("alice"))
    with pytest.raises(AlreadyExists), store.begin() as work:
        record_and_add(work, "urn:x", "alice")
    with pytest.raises(ZeroDivisionError), store.begin() as work:
        fail_after_recording(work)
    with store.begin() as work:
        work.record(device_deactivated("urn:y"))
    with store.read() as view:
        assert [(change.number, change.payload) for change in view.feed.changes_after(0)] == [
            (1, {"device": "urn:y"})
        ]
        assert view.log.head() == (0, FIRST_PREVIOUS_HASH)


def test_a_follower_is_told_when_changes_are_gone_or_were_never_there(store: Store) -> None:
    with store.begin() as work:
        for number in range(10):
            work.record(device_deactivated(str(number)))
    now = datetime.now(UTC)
    with store.begin() as work:
        assert work.feed.trim(4, now - timedelta(days=1)) == 0
        assert work.feed.trim(4, now + timedelta(days=1)) == 4
        oldest = work.feed.oldest()
        assert oldest is not None
        assert (oldest.number, work.feed.count(), work.feed.head()) == (5, 6, 10)
        assert len(work.feed.changes_after(4)) == 6
        with pytest.raises(FeedBroken, match="change 4"):
            work.feed.changes_after(3)
        with pytest.raises(FeedBroken, match="the store is at 10"):
            work.feed.changes_after(11)
    with store.begin() as work:
        newest = work.feed.get(10)
        assert work.feed.trim(10, now + timedelta(days=1)) == 5
        assert work.feed.changes_after(10, known=newest) == []
        with pytest.raises(FeedBroken):
            work.feed.changes_after(8)


def test_a_follower_is_told_when_a_number_was_given_out_anew(store: Store) -> None:
    with store.begin() as work:
        for number in range(1, 6):
            work.record(device_deactivated(str(number)))
    with store.begin() as work:
        before = work.feed.get(3)
        assert before is not None
        assert [each.number for each in work.feed.changes_after(3, 1, known=before)] == [4]
        other = replace(before, payload={"device": "another"})
        with pytest.raises(FeedBroken, match="change 3 is in the store no longer, or is another one"):
            work.feed.changes_after(3, known=other)
        with pytest.raises(FeedBroken):
            work.feed.changes_after(6, known=replace(before, number=6))


def test_rows_hold_on_to_each_other_across_transactions(store: Store) -> None:
    events = [an_event("pki.cert.issue", "guo1"), an_event(debug_data={"text": "ü\0🔐", "n": [1, None]})]
    with store.begin() as work:
        work.log_event(events[0])
        work.log.append_many(events[1:])
    events.append(an_event("user.lifecycle.deactivate"))
    with store.begin() as work:
        work.log_event(events[2])
    previous = FIRST_PREVIOUS_HASH
    with store.read() as view:
        rows = list(view.log.rows())
        for number, (event, row) in enumerate(zip(events, rows, strict=True), start=1):
            assert (row.number, row.uuid, row.published) == (number, event.uuid, event.published)
            assert json.loads(row.event_json) == to_okta(event)
            assert row.previous_hash == previous
            assert row.hash == row_hash(previous, number, row.event_json.encode())
            previous = row.hash
        assert view.log.head() == (3, previous)
        assert view.log.get(2) == rows[1]
        assert view.log.by_uuid(events[2].uuid) == rows[2]
        assert (view.log.first_number(), view.log.count()) == (1, 3)


EVENTS = [
    an_event("a", "guo1", "guo2", published=NOW),
    an_event("b", "guo2", published=NOW + 2 * SECOND, severity=Severity.WARN),
    an_event("a", published=NOW + SECOND, outcome=Outcome.DENY),
    an_event("c", published=NOW + 2 * SECOND),
]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (LogQuery(), [1, 3, 2, 4]),
        (LogQuery(descending=True), [4, 2, 3, 1]),
        (LogQuery(by_number=True), [1, 2, 3, 4]),
        (LogQuery(by_number=True, descending=True, limit=2), [4, 3]),
        (LogQuery(since=NOW + SECOND), [3, 2, 4]),
        (LogQuery(until=NOW + 2 * SECOND), [1, 3]),
        (LogQuery(by_number=True, after_number=2), [3, 4]),
        (LogQuery(by_number=True, before_number=3, after_number=1), [2]),
        (LogQuery(after=(NOW + SECOND, 3)), [2, 4]),
        (LogQuery(after=(NOW + 2 * SECOND, 2)), [4]),
        (LogQuery(after=(NOW + 2 * SECOND, 2), descending=True), [3, 1]),
        (LogQuery(event_types=frozenset({"a", "c"})), [1, 3, 4]),
        (LogQuery(target_id="guo2"), [1, 2]),
        (LogQuery(target_id="guo3"), []),
        (LogQuery(actor_id="00u00000000000000001", limit=1), [1]),
        (LogQuery(actor_id="nobody"), []),
        (LogQuery(severities=frozenset({Severity.WARN})), [2]),
        (LogQuery(outcomes=frozenset({Outcome.DENY, Outcome.ALLOW})), [3]),
    ],
)
def test_questions_to_the_log(store: Store, query: LogQuery, numbers: list[int]) -> None:
    with store.begin() as work:
        work.log.append_many(EVENTS)
    with store.read() as view:
        assert [row.number for row in view.log.rows(query)] == numbers


def test_the_log_loses_its_beginning_and_never_its_middle(store: Store) -> None:
    with store.begin() as work:
        work.log.append_many(
            an_event("a", "guo1", published=NOW + offset * SECOND) for offset in (0, 1, 5, 2)
        )
    with store.begin() as work:
        assert work.log.trim(NOW + 4 * SECOND, limit=1) == 1
        assert work.log.trim(NOW + 4 * SECOND, limit=10) == 1
        assert work.log.trim(NOW + 4 * SECOND, limit=10) == 0
        assert [row.number for row in work.log.rows()] == [3, 4]
        assert [row.number for row in work.log.rows(LogQuery(target_id="guo1", by_number=True))] == [3, 4]
        assert work.log.trim(NOW + 10 * SECOND, limit=10) == 2
        assert work.log.first_number() is None
        work.log_event(an_event())
    with store.read() as view:
        row = view.log.get(5)
        assert row is not None
        assert row.previous_hash != FIRST_PREVIOUS_HASH


def test_thousands_of_events_in_one_transaction(store: Store) -> None:
    with store.begin() as work:
        work.log.append_many(an_event("a", "guo1") for _ in range(2_100))
    with store.read() as view:
        assert [row.number for row in view.log.rows()] == list(range(1, 2_101))
