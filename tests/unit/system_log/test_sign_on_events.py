"""What the System Log says of sign-ons, from the record of a worker to the event that tools read."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from okta.models.log_event import LogEvent as SdkLogEvent

from gateway.adapters.spool_format import MAX_RECORD_BYTES
from gateway.model.events import ChallengeAnswered, CrlFailed, SignOnDecided
from gateway.model.org import (
    Device,
    DeviceStatus,
    Lifecycle,
    PolicySource,
    StoredPolicy,
    User,
    UserSource,
    UserStatus,
)
from gateway.system_log.sign_on_events import log_events
from gateway.system_log.spooled import RecordUnreadable, decode_event, encode_event
from gateway.system_log.wire import to_okta

NOON = datetime(2026, 1, 2, 12, 0, 0, 123_456, tzinfo=UTC)
DECIDED = SignOnDecided(
    at=NOON,
    reference_id="00112233",
    app="wiki",
    protocol="saml2",
    user="Alice@example.test",
    identity_provider="okta",
    ip="203.0.113.7",
    client="web_browser",
    platform="windows",
    access="allow",
    reason="RULE Trusted Windows",
    rule="Trusted Windows",
    device_trust="trusted",
    trust_reason=None,
    trust_detail="",
    device="urn:devicetrust:device:guo1",
    certificate_thumbprint="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    flow_id="flow-1",
    monitored=("Watch",),
    session=False,
)
ANSWERED = ChallengeAnswered(
    at=NOON,
    reference_id="00112233",
    app="wiki",
    flow_id="flow-1",
    verdict="trusted",
    reason="",
    detail="",
    device="urn:devicetrust:device:guo1",
    certificate_thumbprint="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    ip="203.0.113.7",
    user="alice@example.test",
)


class Nobody:
    def user(self, login: str) -> User | None:
        return None

    def device(self, certificate_name: str) -> Device | None:
        return None

    def policy(self, app: str) -> StoredPolicy | None:
        return None


class Known(Nobody):
    def user(self, login: str) -> User | None:
        return User(
            "00u1", "alice@example.test", "", "Alice", "Doe", UserStatus.ACTIVE, UserSource.JIT, NOON, NOON
        )

    def device(self, certificate_name: str) -> Device | None:
        return Device("guo1", "PC-7", certificate_name, "WINDOWS", DeviceStatus.ACTIVE, NOON, NOON)

    def policy(self, app: str) -> StoredPolicy | None:
        return StoredPolicy(
            "rst1", app, "Trusted only", {}, PolicySource.FILE, None, Lifecycle.ACTIVE, 1, NOON, NOON
        )


CASES = [
    ("let through", DECIDED, [("policy.evaluate_sign_on", "ALLOW"), ("user.authentication.sso", "SUCCESS")]),
    (
        "denied",
        replace(DECIDED, access="deny", reason="REVOKED", device_trust="not_trusted", trust_reason="REVOKED"),
        [("policy.evaluate_sign_on", "DENY"), ("application.policy.sign_on.deny_access", "DENY")],
    ),
    (
        "a factor is asked for",
        replace(DECIDED, access="prompt_for_factor"),
        [("policy.evaluate_sign_on", "CHALLENGE")],
    ),
    (
        "a session ended",
        replace(DECIDED, access="deny", reason="REVOKED", session=True),
        [("application.policy.sign_on.deny_access", "DENY")],
    ),
    (
        "a CRL that cannot be had",
        CrlFailed(NOON, "corp", "http://pki.example.test/corp.crl", "404"),
        [("pki.cert.crl_download_failure", "FAILURE")],
    ),
    ("a trusted device", ANSWERED, [("user.authentication.authenticate", "SUCCESS")]),
    (
        "no certificate",
        replace(
            ANSWERED,
            verdict="not_trusted",
            reason="NO_CERTIFICATE",
            device=None,
            certificate_thumbprint=None,
            user=None,
        ),
        [("user.authentication.authenticate", "FAILURE")],
    ),
]


@pytest.mark.parametrize("directory", [Known(), Nobody()], ids=["known", "unknown"])
@pytest.mark.parametrize(("name", "spooled", "expected"), CASES, ids=[case[0] for case in CASES])
def test_events_of_a_sign_on(
    name: str,
    spooled: SignOnDecided | ChallengeAnswered | CrlFailed,
    expected: list[tuple[str, str]],
    directory: Nobody,
) -> None:
    events = log_events(decode_event(encode_event(spooled)), "run-1-100", directory)
    assert [(event.event_type, event.outcome.value) for event in events] == expected
    if not isinstance(spooled, CrlFailed):
        assert {event.transaction.id for event in events} == {"flow-1"}
    for event in events:
        read = SdkLogEvent.from_dict(json.loads(json.dumps(to_okta(event))))
        assert read is not None
        uuid.UUID(event.uuid)


def test_what_the_contract_names_is_in_debug_data() -> None:
    _, signed_on = log_events(DECIDED, "place", Known())
    assert to_okta(signed_on)["debugContext"]["debugData"] == {
        "deviceId": "guo1",
        "deviceName": "urn:devicetrust:device:guo1",
        "certificateThumbprint": DECIDED.certificate_thumbprint,
        "reason": "RULE Trusted Windows",
        "rule": "Trusted Windows",
        "flowId": "flow-1",
        "referenceId": "00112233",
        "deviceTrust": "trusted",
        "hardwareKey": False,
        "monitorRules": ["Watch"],
        "signOnMode": "SAML 2.0",
    }


def test_people_devices_and_policies_have_the_ids_of_the_store() -> None:
    evaluated, _ = log_events(DECIDED, "place", Known())
    assert (evaluated.actor.id, evaluated.actor.alternate_id) == ("00u1", "alice@example.test")
    assert evaluated.device is not None
    assert evaluated.device.id == "guo1"
    assert [(target.type, target.id, target.alternate_id) for target in evaluated.targets] == [
        ("PolicyEntity", "rst1", "rst1"),
        ("PolicyRule", "Trusted Windows", "rst1"),
        ("AppInstance", "wiki", "wiki"),
    ]


def test_the_message_of_a_device_is_the_one_of_the_catalog() -> None:
    (event,) = log_events(ANSWERED, "place", Known())
    assert event.display_message == "Authentication of device through a certificate"
    assert event.debug_data["result"] == "TRUSTED"
    assert event.targets[0].detail == {
        "fingerprintAlgorithm": "SHA256",
        "fingerprint": bytes(range(32)).hex(),
    }


def test_the_same_record_makes_the_same_uuids_and_another_one_others() -> None:
    first, again, other = (
        [event.uuid for event in log_events(DECIDED, place, Known())] for place in ("a", "a", "b")
    )
    assert first == again
    assert len({*first, *other}) == 4


@pytest.mark.parametrize("event", [DECIDED, ANSWERED, replace(DECIDED, flow_id=None, monitored=())])
def test_a_record_is_the_event_again(event: SignOnDecided | ChallengeAnswered) -> None:
    assert decode_event(encode_event(event)) == event


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_are_empty() -> None:
    fields = json.loads(encode_event(ANSWERED))
    del fields["user"], fields["detail"]
    assert decode_event(json.dumps({**fields, "later": 1}).encode()) == replace(ANSWERED, user=None)


@given(st.text(st.characters(), max_size=3_000))
def test_whatever_people_and_rules_are_called_a_record_is_bounded_and_readable(name: str) -> None:
    event = replace(
        DECIDED, user=name, rule=name, trust_detail=name, device=name, monitored=(name,) * 30, reason=name
    )
    record = encode_event(event)
    assert 0 < len(record) <= MAX_RECORD_BYTES
    read = decode_event(record)
    assert isinstance(read, SignOnDecided)
    assert len(read.user) <= len(name)
    for read_as, wanted in zip(read.user, name, strict=False):
        storable = wanted != "\0" and not "\ud800" <= wanted <= "\udfff"
        assert read_as == (wanted if storable else "\ufffd")


def test_the_costliest_names_fit_into_a_record() -> None:
    name = "\U0001f511" * 3_000
    changed = {field: name for field, value in vars_of(DECIDED).items() if isinstance(value, str)}
    record = encode_event(replace(DECIDED, **changed, monitored=(name,) * 100))
    assert len(record) <= MAX_RECORD_BYTES


def vars_of(event: SignOnDecided) -> dict[str, object]:
    return {field: getattr(event, field) for field in event.__dataclass_fields__}


@given(
    st.binary(max_size=200)
    | st.dictionaries(
        st.sampled_from(["kind", "at", "app", "monitored", "user"]), st.integers() | st.text()
    ).map(lambda fields: json.dumps({"kind": "sign_on", **fields}).encode())
)
def test_any_record_is_an_event_or_unreadable(record: bytes) -> None:
    try:
        event = decode_event(record)
    except RecordUnreadable:
        return
    assert log_events(event, "place", Nobody())
