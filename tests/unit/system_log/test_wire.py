"""What other tools read of an event."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from okta.models.log_event import LogEvent as SdkLogEvent
from support.log_events import log_event

from gateway.model.log_event import (
    Actor,
    Authentication,
    Client,
    LoggedDevice,
    Outcome,
    Target,
    Transaction,
    TransactionType,
)
from gateway.system_log.wire import (
    MAX_DETAIL_ITEMS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    MAX_TARGETS,
    timestamp,
    to_okta,
)


def test_an_event_has_every_name_of_the_api() -> None:
    wire = to_okta(log_event())
    assert set(wire) == {
        "actor",
        "authenticationContext",
        "client",
        "debugContext",
        "device",
        "displayMessage",
        "eventType",
        "legacyEventType",
        "outcome",
        "published",
        "request",
        "securityContext",
        "severity",
        "target",
        "transaction",
        "uuid",
        "version",
    }
    assert wire["version"] == "0"
    assert wire["published"] == "2026-01-02T12:00:01.000Z"
    assert wire["target"][0]["type"] == "AppInstance"
    assert wire["request"]["ipChain"] == [
        {"ip": "192.0.2.7", "version": "V4", "source": None, "geographicalContext": None}
    ]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05.000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC), "2026-01-02T03:04:05.678Z"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05.000Z"),
    ],
)
def test_times_have_milliseconds_and_a_z(at: datetime, text: str) -> None:
    assert timestamp(at) == text


@pytest.mark.parametrize(
    "event",
    [
        log_event(),
        log_event(client=Client(), targets=(), debug_data={}),
        log_event(
            authentication=Authentication("FEDERATION", None, "CERTIFICATE", "session", None, "okta", "idp"),
            device=LoggedDevice("guo1", "PC-7", "WINDOWS", None, True, True),
            transaction=Transaction("job", TransactionType.JOB, {"requestApiTokenId": "00T1"}),
            targets=(
                Target("a", "User", "b", "c", {"x": 1}, {"status": "ACTIVE"}, {"status": "DEPROVISIONED"}),
            ),
            outcome=Outcome.CHALLENGE,
        ),
    ],
    ids=["sign-on", "bare", "everything"],
)
def test_the_sdk_reads_every_event(event: object) -> None:
    wire = to_okta(event)  # type: ignore[arg-type]
    read = SdkLogEvent.from_dict(json.loads(json.dumps(wire)))
    assert read is not None
    assert read.uuid == wire["uuid"]
    assert read.event_type == wire["eventType"]


def test_an_empty_reason_is_none_because_the_sdk_refuses_it() -> None:
    assert to_okta(log_event(reason=""))["outcome"]["reason"] is None


def test_long_values_are_cut_and_many_are_bounded() -> None:
    wire = to_okta(
        log_event(
            reason="r" * 1_000,
            actor=Actor("1", "User", "a" * 1_000, "d" * 1_000),
            targets=(Target("t", "User", "t", "t"),) * 100,
            debug_data={f"name{number}": "v" * 10_000 for number in range(1_000)},
        )
    )
    assert len(wire["outcome"]["reason"]) == MAX_REASON_CHARACTERS
    assert len(wire["actor"]["displayName"]) == MAX_NAME_CHARACTERS
    assert len(wire["target"]) == MAX_TARGETS
    assert len(wire["debugContext"]["debugData"]) == MAX_DETAIL_ITEMS
    assert len(json.dumps(wire)) < 100_000


@pytest.mark.parametrize(
    "name", ["password", "clientSecret", "client_secret", "Authorization", "private-key"]
)
def test_what_is_called_like_a_secret_has_no_value(name: str) -> None:
    wire = to_okta(log_event(debug_data={"outer": {name: "hunter2"}, name: "hunter2"}))
    assert "hunter2" not in json.dumps(wire)


_JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters()), _JSON_LIKE), st.text(st.characters()))
def test_whatever_a_peer_calls_itself_becomes_storable_json(details: dict[str, object], name: str) -> None:
    wire = to_okta(
        log_event(
            debug_data=details,
            actor=Actor(name, "User", name, name),
            client=Client(ip=name, ip_chain=(name,)),
        )
    )
    text = json.dumps(wire, allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\0" not in text
    assert "\\u0000" not in text
