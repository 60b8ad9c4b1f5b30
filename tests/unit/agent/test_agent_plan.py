"""What a run does with what it finds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.own_authority import OwnAuthority

from gateway.agent.plan import (
    Circumstances,
    Enroll,
    Held,
    Keep,
    Plan,
    Renew,
    Standing,
    Wait,
    decide,
    renew_from,
)

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
DAY = timedelta(days=1)
RENEW_BEFORE = 30 * DAY
STORE = frozenset({"/home/alice/.pki/nssdb"})
ABOUT = Circumstances(NOW, RENEW_BEFORE, login="alice@example.test", device="urn:device:ws-42")


def held(age_days: int, **other) -> Held:
    """A certificate of 365 days that is so many days old, with its key here and in the browser's store."""
    certificate = OwnAuthority(now=NOW - age_days * DAY).issue()
    facts = {
        "own": True,
        "key_name": "k1",
        "stores": STORE,
        "standing": Standing.GOOD,
        "login": "alice@example.test",
        "device": "urn:device:ws-42",
    }
    return Held(certificate, **{**facts, **other})


FRESH, DUE, ENDED = held(10), held(340), held(366)
OLDER = held(20, key_name="k0")
REVOKED = replace(FRESH, standing=Standing.REVOKED)
ON_HOLD = replace(FRESH, standing=Standing.ON_HOLD)
SILENT = replace(FRESH, standing=Standing.UNKNOWN)
KEYLESS = held(5, key_name=None, stores=frozenset(), keyless_stores=STORE)
IN_DOUBT = replace(KEYLESS, key_in_doubt=True)
ONLY_IN_STORE = held(3, key_name=None)
ONLY_HERE = held(3, stores=frozenset())
FOREIGN = held(1, own=False, key_name=None)
OTHER_ORGS = held(1, own=False)
BOBS = held(1, login="bob@example.test")
BOBS_IMPORTED = replace(BOBS, key_name=None)
OTHER_DEVICE = held(1, device="urn:device:ws-7")

TABLE = [
    # what it is about, what is found, about, action, removed (at once?), remarks
    ("nothing", [], ABOUT, Enroll, [], 0),
    ("a good one", [FRESH], ABOUT, Keep, [], 0),
    ("a good one that the org says nothing of", [SILENT], ABOUT, Keep, [], 0),
    ("a good one, and force", [FRESH], replace(ABOUT, force=True), Renew, [], 0),
    ("one that is due", [DUE], ABOUT, Renew, [], 0),
    ("one that is due, and force", [DUE], replace(ABOUT, force=True), Renew, [], 0),
    ("an expired one", [ENDED], ABOUT, Enroll, [(ENDED, False)], 0),
    ("a revoked one", [REVOKED], ABOUT, Enroll, [(REVOKED, False)], 0),
    ("a revoked one, and force", [REVOKED], replace(ABOUT, force=True), Enroll, [(REVOKED, False)], 0),
    ("one without key", [KEYLESS], ABOUT, Enroll, [(KEYLESS, True)], 0),
    ("one whose key cannot be read now", [IN_DOUBT], ABOUT, Enroll, [(IN_DOUBT, False)], 0),
    ("a good one and a revoked one", [REVOKED, OLDER], ABOUT, Keep, [(REVOKED, True)], 0),
    ("a good one and an expired one", [FRESH, ENDED], ABOUT, Keep, [(ENDED, True)], 0),
    ("a good one and one without key", [FRESH, KEYLESS], ABOUT, Keep, [(KEYLESS, True)], 0),
    ("two good ones", [OLDER, FRESH], ABOUT, Keep, [(OLDER, True)], 0),
    ("two good ones, and force", [OLDER, FRESH], replace(ABOUT, force=True), Renew, [(OLDER, False)], 0),
    ("a fresh one and one that is due", [DUE, FRESH], ABOUT, Keep, [(DUE, True)], 0),
    ("one whose key only the browser has", [ONLY_IN_STORE], ABOUT, Keep, [], 0),
    ("one that an interrupted run did not install", [ONLY_HERE], ABOUT, Keep, [], 0),
    ("ours, and one whose key only the browser has", [FRESH, ONLY_IN_STORE], ABOUT, Keep,
     [(ONLY_IN_STORE, True)], 0),
    ("one on hold", [ON_HOLD], ABOUT, Wait, [], 0),
    ("one on hold, and force", [ON_HOLD], replace(ABOUT, force=True), Wait, [], 0),
    ("one on hold and a good one", [ON_HOLD, OLDER], ABOUT, Keep, [], 0),
    ("one on hold and an expired one", [ON_HOLD, ENDED], ABOUT, Wait, [(ENDED, False)], 0),
    ("a foreign one", [FOREIGN], ABOUT, Enroll, [], 1),
    ("a foreign one and a good one", [FOREIGN, FRESH], ABOUT, Keep, [], 1),
    ("one of another org that the agent made", [OTHER_ORGS], ABOUT, Enroll, [(OTHER_ORGS, False)], 0),
    ("another person's that the agent made", [BOBS], ABOUT, Enroll, [(BOBS, False)], 0),
    ("another person's that somebody put there", [BOBS_IMPORTED], ABOUT, Enroll, [], 1),
    ("another person's, before we had one", [BOBS], replace(ABOUT, login=None), Keep, [], 0),
    ("another computer's that the agent made", [OTHER_DEVICE], ABOUT, Enroll, [(OTHER_DEVICE, False)], 0),
    ("a key in a file where a TPM is asked for", [FRESH],
     replace(ABOUT, hardware_needed=True, hardware_keys=frozenset({"k9"})), Enroll, [(FRESH, False)], 0),
    ("a key in a TPM where that is asked for", [FRESH],
     replace(ABOUT, hardware_needed=True, hardware_keys=frozenset({"k1"})), Keep, [], 0),
    ("a clock that is behind", [FRESH], replace(ABOUT, now=NOW - 20 * DAY), Keep, [], 1),
]  # fmt: skip


@pytest.mark.parametrize(("what", "found", "about", "action", "removed", "remarks"), TABLE, ids=lambda v: v if isinstance(v, str) else "")  # fmt: skip  # noqa: E501
def test_a_run_does_what_the_table_says(what, found, about, action, removed, remarks) -> None:
    plan = decide(found, about)
    assert type(plan.action) is action, plan
    assert [(each.held, each.at_once) for each in plan.removals] == removed
    assert len(plan.remarks) == remarks
    assert all(each and "\n" not in each for each in _sentences(plan))
    assert decide(list(reversed(found)), about).action == plan.action


def test_of_two_good_ones_that_stays_which_browsers_pick() -> None:
    plan = decide([OLDER, FRESH], ABOUT)
    assert isinstance(plan.action, Keep)
    assert plan.action.held is FRESH


def test_only_a_certificate_that_is_not_due_is_renewed_by_force() -> None:
    forced = decide([FRESH], replace(ABOUT, force=True)).action
    due = decide([DUE], replace(ABOUT, force=True)).action
    assert isinstance(forced, Renew)
    assert forced.forced
    assert isinstance(due, Renew)
    assert not due.forced


def test_only_what_works_still_is_named_as_replaced() -> None:
    """So that the org need not be told of a certificate that it revoked itself."""
    for found in ([REVOKED], [ENDED], [KEYLESS], [BOBS]):
        action = decide(found, ABOUT).action
        assert isinstance(action, Enroll)
        assert action.replaces is None
    action = decide([FRESH], replace(ABOUT, hardware_needed=True)).action
    assert isinstance(action, Enroll)
    assert action.replaces is FRESH


@pytest.mark.parametrize(
    ("renew_before", "due_after_days"),
    [(30 * DAY, 335), (timedelta(0), 365), (400 * DAY, 182.5)],
)
def test_a_certificate_is_due_before_its_end_but_not_in_its_first_half(renew_before, due_after_days) -> None:
    due = renew_from(FRESH.certificate, renew_before)
    begun = NOW - 10 * DAY
    assert abs(due - (begun + due_after_days * DAY)) < timedelta(minutes=10)


def _sentences(plan: Plan) -> list[str]:
    return [plan.action.sentence, *(each.sentence for each in plan.removals), *plan.remarks]
