"""Every event of the catalog: its words, and that other tools can read it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from okta.models.log_event import LogEvent as SdkLogEvent
from support.org_values import an_iwa

from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateStatus,
    IssuedCertificate,
    RevocationReason,
)
from gateway.model.log_event import LogEvent, Outcome, Severity, Transaction
from gateway.model.org import (
    ApiToken,
    Device,
    DeviceStatus,
    Group,
    GroupType,
    Lifecycle,
    PolicySource,
    StoredPolicy,
    StoredZone,
    TokenScope,
    User,
    UserSource,
    UserStatus,
)
from gateway.system_log import administration as admin
from gateway.system_log import certificate_events as certificates
from gateway.system_log import enrollment_events as enrollments
from gateway.system_log.catalog import DISPLAY_MESSAGES, EventType, Occasion, job
from gateway.system_log.wire import to_okta

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
USER = User(
    "00u1",
    "Alice@example.test",
    "a@example.test",
    "Alice",
    "Doe",
    UserStatus.ACTIVE,
    UserSource.LOCAL,
    NOON,
    NOON,
)
GROUP = Group("00g1", "Sales", "", GroupType.OKTA_GROUP, NOON, NOON)
DEVICE = Device("guo1", "PC-7", "urn:devicetrust:device:guo1", "WINDOWS", DeviceStatus.ACTIVE, NOON, NOON)
CERTIFICATE = IssuedCertificate(
    issuer_hash=b"i" * 32,
    serial_number=0xABC,
    authority_id="aut1",
    device_id="guo1",
    user_id="00u1",
    profile="device",
    status=CertificateStatus.ISSUED,
    not_before=NOON,
    not_after=NOON + timedelta(days=365),
    created=NOON,
    thumbprint="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
)
AUTHORITY = AuthorityRecord(
    "aut1", "issuing-1", AuthorityKind.ISSUING, 1, AuthorityStatus.ACTIVE, b"", b"", None, NOON, NOON
)
POLICY = StoredPolicy(
    "rst1", "wiki", "Trusted only", {}, PolicySource.EDITED, None, Lifecycle.ACTIVE, 1, NOON, NOON
)
ZONE = StoredZone("nzo1", "office", {}, Lifecycle.ACTIVE, NOON, NOON)
IWA = an_iwa()
TOKEN = ApiToken("00T1", "siem", TokenScope.READ, b"s" * 32, "root@example.test", NOON)


def occasion() -> Occasion:
    numbers = count(1)
    return Occasion(NOON, lambda: f"uuid-{next(numbers)}", Transaction("request-1"))


Make = Callable[[Occasion], LogEvent]


def _iwa_event(kind: EventType) -> Make:
    return lambda o: enrollments.iwa_event(o, kind, IWA, changed_from={"url": "a"}, changed_to={"url": "b"})


EVENTS: list[tuple[str, str, Make]] = [
    (
        "user.credential.enroll",
        "Device Trust certificate enrollment",
        lambda o: certificates.certificate_enrolled(o, CERTIFICATE, DEVICE, USER),
    ),
    (
        "pki.cert.issue",
        "Device Trust certificate issuance",
        lambda o: certificates.certificate_issued(o, CERTIFICATE, DEVICE, USER),
    ),
    (
        "pki.cert.issue",
        "Device Trust certificate issuance",
        lambda o: certificates.issuance_refused(o, "READ_ONLY", DEVICE, None),
    ),
    (
        "pki.cert.renew",
        "Device Trust certificate renewal",
        lambda o: certificates.certificate_renewed(o, CERTIFICATE, CERTIFICATE, DEVICE, USER),
    ),
    (
        "pki.cert.revoke",
        "Device Trust certificate revocation",
        lambda o: certificates.certificate_revoked(
            o, CERTIFICATE, RevocationReason.KEY_COMPROMISE, DEVICE, None
        ),
    ),
    (
        "devicetrust.certificate.release",
        "Device Trust certificate release from hold",
        lambda o: certificates.certificate_released(o, CERTIFICATE, None, None),
    ),
    ("pki.ca.add", "Add certificate authority", lambda o: certificates.authority_added(o, AUTHORITY)),
    (
        "pki.ca.renew",
        "Renew certificate authority",
        lambda o: certificates.authority_renewed(o, AUTHORITY, AUTHORITY),
    ),
    ("pki.ca.delete", "Delete certificate authority", lambda o: certificates.authority_deleted(o, AUTHORITY)),
    (
        "pki.cert.crl_download_failure",
        "Download of certificate revocation list failed",
        lambda o: certificates.crl_download_failed(o, "corp", "http://pki.example.test/c.crl", "404"),
    ),
    *(
        (
            kind.value,
            DISPLAY_MESSAGES[kind],
            lambda o, kind=kind: admin.user_event(  # type: ignore[misc]
                o, kind, USER, changed_from={"status": "ACTIVE"}, changed_to={"status": "DEPROVISIONED"}
            ),
        )
        for kind in sorted(admin.USER_EVENTS)
    ),
    *(
        (kind.value, DISPLAY_MESSAGES[kind], lambda o, kind=kind: admin.group_event(o, kind, GROUP))  # type: ignore[misc]
        for kind in sorted(admin.GROUP_EVENTS)
    ),
    *(
        (kind.value, DISPLAY_MESSAGES[kind], lambda o, kind=kind: admin.device_event(o, kind, DEVICE))  # type: ignore[misc]
        for kind in sorted(admin.DEVICE_EVENTS)
    ),
    *(
        (kind.value, DISPLAY_MESSAGES[kind], lambda o, kind=kind: admin.policy_event(o, kind, POLICY))  # type: ignore[misc]
        for kind in sorted(admin.POLICY_EVENTS)
    ),
    *(
        (
            kind.value,
            DISPLAY_MESSAGES[kind],
            lambda o, kind=kind: admin.rule_event(o, kind, POLICY, "0pr1", "Trusted Windows"),  # type: ignore[misc]
        )
        for kind in sorted(admin.RULE_EVENTS)
    ),
    *(
        (kind.value, DISPLAY_MESSAGES[kind], lambda o, kind=kind: admin.zone_event(o, kind, ZONE))  # type: ignore[misc]
        for kind in sorted(admin.ZONE_EVENTS)
    ),
    (
        "group.user_membership.add",
        "Add user to group membership",
        lambda o: admin.group_member_added(o, GROUP, USER),
    ),
    (
        "group.user_membership.remove",
        "Remove user from group membership",
        lambda o: admin.group_member_removed(o, GROUP, USER),
    ),
    ("device.user.add", "Add user to device", lambda o: admin.device_user_added(o, DEVICE, USER)),
    ("device.user.remove", "Remove user from device", lambda o: admin.device_user_removed(o, DEVICE, USER)),
    ("system.api_token.create", "Create API token", lambda o: admin.api_token_created(o, TOKEN)),
    ("system.api_token.revoke", "Revoke API token", lambda o: admin.api_token_revoked(o, TOKEN)),
    (
        "devicetrust.setting.update",
        "Update setting",
        lambda o: admin.setting_changed(o, "device_trust_enabled", True, False),
    ),
    (
        "devicetrust.configuration.import",
        "Import configuration",
        lambda o: admin.configuration_imported(o, "org.yaml", {"made": 1}),
    ),
    (
        "devicetrust.log.trim",
        "Remove old events from the System Log",
        lambda o: admin.log_trimmed(o, 7, b"h" * 32, 7),
    ),
    (
        "devicetrust.enrollment_code.create",
        "Create enrollment code",
        lambda o: enrollments.enrollment_code_created(o, DEVICE, USER, NOON),
    ),
    (
        "user.authentication.auth_via_iwa",
        "Authenticate user via IWA",
        lambda o: enrollments.authenticated_via_iwa(o, IWA, "alice@CORP", USER, DEVICE, seen={"sid": "S-1"}),
    ),
    *(
        (name, message, _iwa_event(kind))
        for kind, name, message in (
            (EventType.IWA_CREATED, "system.iwa.create", "Create IWA agent"),
            (EventType.IWA_UPDATED, "system.iwa.update", "Update IWA agent"),
            (EventType.IWA_REMOVED, "system.iwa.remove", "Remove IWA agent"),
            (EventType.IWA_WENT_ONLINE, "system.iwa.go_online", "IWA agent went online"),
            (EventType.IWA_WENT_OFFLINE, "system.iwa.go_offline", "IWA agent went offline"),
            (EventType.IWA_PROMOTED, "system.iwa.promote_primary", "Promote IWA agent to primary"),
        )
    ),
]


@pytest.mark.parametrize(("event_type", "message", "make"), EVENTS, ids=[each[0] for each in EVENTS])
def test_every_event_has_its_words_and_the_sdk_reads_it(event_type: str, message: str, make: Make) -> None:
    event = make(occasion())
    assert (event.event_type, event.display_message) == (event_type, message)
    read = SdkLogEvent.from_dict(json.loads(json.dumps(to_okta(event))))
    assert read is not None
    assert read.uuid == "uuid-1"
    assert read.outcome is not None
    assert read.transaction is not None
    assert read.transaction.id == "request-1"


def test_every_type_has_a_message() -> None:
    assert set(DISPLAY_MESSAGES) == set(EventType)


def test_certificate_events_name_device_certificate_and_reason_in_debug_data() -> None:
    wire = to_okta(
        certificates.certificate_revoked(
            occasion(), CERTIFICATE, RevocationReason.CERTIFICATE_HOLD, DEVICE, USER
        )
    )
    assert wire["debugContext"]["debugData"] == {
        "deviceId": "guo1",
        "certificateThumbprint": CERTIFICATE.thumbprint,
        "serialNumber": "abc",
        "notAfter": "2027-01-02T12:00:00.000Z",
        "reason": "certificateHold",
    }
    assert [target["type"] for target in wire["target"]] == ["PublicKeyCertificate", "Device", "User"]
    assert wire["target"][0]["detailEntry"]["fingerprint"] == bytes(range(32)).hex()
    assert wire["outcome"] == {"result": "SUCCESS", "reason": "certificateHold"}


def test_what_failed_is_a_warning_and_the_rest_information() -> None:
    refused = certificates.issuance_refused(occasion(), "READ_ONLY", DEVICE, None)
    assert (refused.severity, refused.outcome, refused.reason) == (
        Severity.WARN,
        Outcome.FAILURE,
        "READ_ONLY",
    )
    assert certificates.authority_added(occasion(), AUTHORITY).severity is Severity.INFO


def test_what_the_gateway_does_by_itself_is_a_job_of_the_system() -> None:
    event = admin.log_trimmed(job(NOON, lambda: "uuid", "retention"), 7, b"h" * 32, 7)
    assert (event.actor.type, event.transaction.type.value) == ("SystemPrincipal", "JOB")


def test_who_was_refused_is_named_though_the_org_does_not_know_them() -> None:
    wire = to_okta(
        enrollments.authenticated_via_iwa(
            occasion(), IWA, "eve@CORP", None, None, refusal="USER_UNKNOWN", seen={"detail": "login eve"}
        )
    )
    assert wire["outcome"] == {"result": "FAILURE", "reason": "USER_UNKNOWN"}
    assert wire["severity"] == "WARN"
    assert wire["actor"]["alternateId"] == "eve@CORP"
    assert [target["type"] for target in wire["target"]] == ["IwaAgent"]
    assert wire["debugContext"]["debugData"]["detail"] == "login eve"
