"""Old events go, the chain stays."""

from datetime import timedelta
from itertools import count

from support.log_events import NOON, log_event

from gateway.adapters.store import Store
from gateway.services.log_retention import beginning, trim_log
from gateway.system_log.catalog import job
from gateway.system_log.verification import BEGINNING, Head, Problem, Verification

_UUIDS = count(1)


def trim(store: Store, minutes: int, limit: int) -> int:
    at = NOON + timedelta(days=90, minutes=minutes)
    occasion = job(at, lambda: f"trim-{next(_UUIDS)}", f"retention-{minutes}")
    with store.begin() as work:
        return trim_log(work.log, timedelta(days=90), occasion, limit)


def findings(store: Store, *expected: Head) -> list[Problem]:
    with store.read() as view:
        verification = Verification(beginning(view.log), expected)
        found = [*verification.read(view.log.rows()), *verification.end(Head(*view.log.head()))]
    return [finding.problem for finding in found]


def test_what_is_left_can_be_verified_after_every_step(store: Store) -> None:
    with store.begin() as work:
        work.log.append_many(
            log_event(number, published=NOON + timedelta(minutes=number)) for number in range(1, 31)
        )
    with store.read() as view:
        kept = {row.number: Head(row.number, row.hash) for row in view.log.rows()}
        assert beginning(view.log) == BEGINNING
    assert trim(store, 1, 7) == 0
    assert findings(store, kept[3]) == []
    steps = [trim(store, 16, 7) for _ in range(4)]
    assert steps == [7, 7, 1, 0]
    assert findings(store, kept[3], kept[15], kept[20]) == []
    with store.read() as view:
        assert beginning(view.log) == kept[15]
        assert view.log.first_number() == 16
        assert view.log.head()[0] == 33


def test_when_all_is_old_the_event_that_tells_of_it_is_left(store: Store) -> None:
    with store.begin() as work:
        work.log.append_many([log_event(1)])
    assert trim(store, 60, 10) == 1
    assert findings(store) == []


def test_an_empty_log_has_nothing_to_remove(store: Store) -> None:
    assert trim(store, 0, 10) == 0
    assert findings(store) == []
