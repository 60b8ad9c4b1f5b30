"""What the doctor of the server makes of what it has seen, as tables."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.org_values import an_authority, an_iwa
from support.pki import Authority

from gateway import __version__
from gateway.adapters.plugins import load_condition_parsers
from gateway.agent.doctor.tls_look import LookFailed, TlsSeen
from gateway.agent.keytab import KeytabEntry
from gateway.cli.checks.finding import Finding, Severity
from gateway.cli.doctor_parts.enablement import (
    judge_authority,
    judge_configuration,
    judge_lists,
    judge_org_process,
    judge_people,
    judge_switch,
)
from gateway.cli.doctor_parts.iwa_host import judge_clock, judge_listed
from gateway.cli.doctor_parts.kerberos_trial import (
    TicketTried,
    judge_freshness,
    judge_keytab,
    judge_realm,
    judge_ticket,
)
from gateway.cli.doctor_parts.listener import judge_client_authorities, judge_host
from gateway.cli.doctor_parts.logged import judge_log
from gateway.cli.doctor_parts.policies import judge_policy
from gateway.cli.doctor_parts.store_seen import LogSeen, StoreSeen, policy_seen
from gateway.cli.doctor_parts.web_apps import AboutSeen, judge_about, judge_registered
from gateway.config.iwa_load import iwa_settings_from
from gateway.config.marked_yaml import load_marked
from gateway.enrollment.service_tickets import SealedTicket
from gateway.model.checkup import CheckGroup, CheckState, Subject
from gateway.model.issued import AuthorityRecord, AuthorityStatus, PublishedCrl
from gateway.model.iwa import Iwa, IwaStatus
from gateway.model.settings import CaSettings, EnrollmentSettings
from gateway.policy.rules import compile_policy
from gateway.tls.contexts import ServerCertificate

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
OK, WARNING, FAILED, SKIPPED = CheckState
IWA = replace(an_iwa("hq-1"), online=True, is_primary=True, version=__version__)


@pytest.mark.parametrize(
    ("severities", "state", "said"),
    [
        ((), OK, "nothing to find"),
        ((Severity.NOTICE,), OK, "nothing to find"),
        ((Severity.WARNING, Severity.NOTICE), WARNING, "a: warning"),
        ((Severity.PROBLEM, Severity.WARNING), FAILED, "a: problem"),
        ((Severity.UNUSABLE,) * 5, FAILED, "and 2 more"),
    ],
)
def test_the_configuration_is_as_bad_as_its_worst_finding(
    severities: Sequence[Severity], state: CheckState, said: str
) -> None:
    findings = [Finding(each, "code", "a", each.value, "do") for each in severities]
    check = judge_configuration("gateway.yaml", findings)
    assert (check.state, said in check.seen) == (state, True)


@pytest.mark.parametrize(("status", "state"), [(200, OK), (503, FAILED), (None, FAILED)])
def test_the_org_process_is_up_when_it_answers_200(status: int | None, state: CheckState) -> None:
    assert judge_org_process(status, "Connection refused", "gateway.yaml").state is state


@pytest.mark.parametrize(("enabled", "state"), [(True, OK), (False, FAILED)])
def test_the_switch(enabled: bool, state: CheckState) -> None:
    assert judge_switch(enabled, "gateway.yaml").state is state


@pytest.mark.parametrize(
    ("iwas", "expected"),
    [
        ([], {"registered IWA web apps": WARNING}),
        ([replace(IWA, status=IwaStatus.DISABLED)], {"registered IWA web apps": FAILED}),
        (
            [IWA],
            {"registered IWA web apps": OK, "primary": OK, "hq-1 reports to the org": OK},
        ),
        (
            [replace(IWA, is_primary=False)],
            {"registered IWA web apps": OK, "primary": WARNING, "hq-1 reports to the org": OK},
        ),
        (
            [replace(IWA, online=False)],
            {"registered IWA web apps": OK, "primary": OK, "hq-1 reports to the org": FAILED},
        ),
        (
            [replace(IWA, version="0.0.1")],
            {"registered IWA web apps": OK, "primary": OK, "hq-1 reports to the org": WARNING},
        ),
    ],
)
def test_iwa_web_apps_are_registered_enabled_primary_online_and_of_this_version(
    iwas: list[Iwa], expected: dict[str, CheckState]
) -> None:
    assert {check.name: check.state for check in judge_registered(iwas)} == expected


@pytest.mark.parametrize(
    ("about", "state"),
    [
        (AboutSeen(IWA.key_id, "1", timedelta(seconds=3)), OK),
        (AboutSeen(IWA.key_id, "1", None), OK),
        (AboutSeen(IWA.key_id, "1", timedelta(minutes=-10)), FAILED),
        (AboutSeen("another", "1", timedelta(0)), FAILED),
        (AboutSeen(trouble="No route to host"), SKIPPED),
    ],
)
def test_an_iwa_web_app_answers_with_its_key_and_the_right_time(about: AboutSeen, state: CheckState) -> None:
    assert judge_about(IWA, about).state is state


PLATFORMS = ["windows", "macos"]
DENY = {"name": "No", "device_trust": "not_trusted", "platforms": PLATFORMS, "access": "deny"}
ALLOW = {"name": "Yes", "device_trust": "trusted", "platforms": PLATFORMS, "access": "allow"}
DENY_ALL = {"name": "No", "access": "deny"}


@pytest.mark.parametrize(
    ("default", "rules", "state", "said"),
    [
        ("deny", [ALLOW], OK, "the default denies"),
        ("allow", [ALLOW, DENY_ALL], OK, 'rule "No" denies'),
        ("allow", [ALLOW, DENY], WARNING, "let in by default"),
        ("allow", [], FAILED, "no active rule denies"),
        ("allow", [ALLOW], FAILED, "no active rule denies"),
        ("allow", [{**DENY_ALL, "status": "inactive"}], FAILED, "no active rule denies"),
        ("allow", [{**DENY, "platforms": ["windows"]}], WARNING, "let in by default"),
        ("deny", [{"name": "All", "access": "allow"}], FAILED, "no active rule denies"),
        ("deny", [], WARNING, "no device is ever asked"),
    ],
)
def test_an_app_needs_an_active_rule_that_denies_untrusted_devices(
    default: str, rules: list[dict[str, object]], state: CheckState, said: str
) -> None:
    document = {"name": "Wiki", "default": default, "rules": rules}
    policy = compile_policy(document, load_condition_parsers(), client_conditions=False, zone_names=())
    check = judge_policy(policy_seen("wiki", "Wiki", policy, {}, True))
    assert (check.state, said in check.seen) == (state, True), check


def test_refusals_are_told_by_code_with_what_helps() -> None:
    log = LogSeen(None, NOW, (("CLOCK_SKEW", 3, NOW), ("whatever", 1, NOW)), NOW - timedelta(days=7))
    checks = {check.name: check for check in judge_log(log)}
    assert checks["last enrollment (user.credential.enroll)"].state is WARNING
    skew = checks["refused: CLOCK_SKEW"]
    assert (skew.state, skew.seen) == (WARNING, "3 times, last on 2026-03-04 05:06 UTC")
    assert "clock" in skew.do.lower()
    assert checks["refused: whatever"].seen.startswith("once")


@pytest.mark.parametrize(
    ("listed", "state"),
    [
        ({"iwas": [{"name": "hq-1", "url": "http://iwa.test/iwa", "primary": True, "online": True}]}, OK),
        ({"iwas": [{"name": "hq-1", "url": "http://iwa.test/iwa", "online": False}]}, WARNING),
        ({"iwas": [{"name": "hq-1", "url": "http://old.test/iwa", "online": True}]}, FAILED),
        ({"iwas": [{"name": "hq-2", "url": "http://iwa.test/iwa", "online": True}]}, FAILED),
        ({"iwas": []}, FAILED),
        ({"iwas": "none"}, FAILED),
        ({}, FAILED),
    ],
)
def test_the_org_tells_agents_of_this_iwa_web_app(listed: dict[str, object], state: CheckState) -> None:
    settings = iwa_settings_from(load_marked(IWA_YAML, "iwa.yaml"), "/etc/iwa.yaml")
    assert judge_listed(settings, listed).state is state


@pytest.mark.parametrize(
    ("theirs", "state"),
    [
        (NOW, OK),
        (NOW + timedelta(seconds=80), OK),
        (NOW + timedelta(seconds=100), FAILED),
        (NOW - timedelta(hours=1), FAILED),
        (None, SKIPPED),
    ],
)
def test_clocks_differ_by_less_than_tokens_allow(theirs: datetime | None, state: CheckState) -> None:
    assert judge_clock(theirs, NOW, NOW).state is state


IWA_YAML = """
name: hq-1
org: {url: "https://sso.example.test"}
listen: {http: ["127.0.0.1:80"]}
url: http://iwa.test/iwa
kerberos: {keytab: iwa.keytab}
realms: [{realm: CORP.EXAMPLE.TEST}]
"""
WEB = Authority.create_root("Web root", now=NOW)


def test_what_a_host_shows_is_ours_and_names_it() -> None:
    made = WEB.issue_server(["sso.example.test"])
    ours = ServerCertificate((made.certificate,), made.key)
    shown = TlsSeen((_der(made.certificate),), (), "TLSv1.3")
    other = TlsSeen((_der(WEB.issue_server(["sso.example.test"]).certificate),), (), "TLSv1.3")
    now = made.certificate.not_valid_before_utc + timedelta(days=1)
    end = made.certificate.not_valid_after_utc
    assert [
        judge_host("sso.example.test", shown, [ours], now).state,
        judge_host("sso.example.test", shown, [ours], end - timedelta(days=3)).state,
        judge_host("sso.example.test", shown, [ours], end).state,
        judge_host("n1.mtls.example.test", shown, [ours], now).state,
        judge_host("sso.example.test", other, [ours], now).state,
        judge_host("sso.example.test", LookFailed("Connection refused"), [ours], now).state,
    ] == [OK, WARNING, FAILED, FAILED, FAILED, FAILED]


@pytest.mark.parametrize(
    ("asked_of", "state"),
    [(("MTLS", "Corp"), OK), (("MTLS",), FAILED), ((), FAILED)],
)
def test_the_mtls_host_asks_for_certificates_of_all_our_authorities(
    asked_of: tuple[str, ...], state: CheckState
) -> None:
    seen = TlsSeen((b"",), asked_of, "TLSv1.3")
    assert judge_client_authorities(seen, ["Corp", "MTLS"]).state is state


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


AES256, AES128, RC4 = 18, 17, 23


def entry(version: int, encryption: int = AES256, principal: str = "HTTP/iwa.test@R") -> KeytabEntry:
    return KeytabEntry(principal, version, encryption, NOW)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry(2), entry(2, AES128)], [OK, OK]),
        ([entry(1), entry(2, RC4)], [OK, WARNING]),
        ([entry(2, RC4), entry(2)], [OK, OK]),
        ([entry(2, principal="http/IWA.test@R")], [OK, OK]),
        ([entry(2, principal="HTTP/other.test@R"), entry(2, principal="WEB$@R")], [FAILED]),
        ([], [FAILED]),
    ],
)
def test_a_keytab_has_the_service_with_more_than_rc4(
    entries: list[KeytabEntry], expected: list[CheckState]
) -> None:
    checks = judge_keytab("iwa.keytab", entries, "iwa.test", "HTTP")
    assert [check.state for check in checks] == expected


@pytest.mark.parametrize(
    ("version", "encryption", "entries", "state", "said"),
    [
        (2, AES256, [entry(1), entry(2)], OK, "key number 2"),
        (2, AES256, [entry(2, principal="HTTP/IWA.test@R")], OK, "key number 2"),
        (3, AES256, [entry(1), entry(2)], FAILED, "the KDC uses key number 3, the keytab has 1, 2"),
        (2, RC4, [entry(2)], FAILED, "the KDC uses arcfour-hmac (RC4), of which the keytab has no key"),
        (2, AES256, [entry(2, principal="WEB$@R")], FAILED, "none of this name"),
        (None, AES256, [entry(2)], SKIPPED, "does not say"),
    ],
)
def test_the_key_that_the_kdc_seals_with_is_in_the_keytab(
    version: int | None, encryption: int, entries: list[KeytabEntry], state: CheckState, said: str
) -> None:
    check = judge_freshness(SealedTicket("HTTP/iwa.test@R", version, encryption), entries)
    assert (check.state, said in check.seen) == (state, True), check


@pytest.mark.parametrize(
    ("trouble", "state", "does"),
    [
        ("", SKIPPED, "kinit"),
        ("Server not found in Kerberos database", FAILED, "setspn -S HTTP/iwa.test"),
        ("Clock skew too great", FAILED, "Set the clocks"),
        ("Cannot contact any KDC for realm 'R'", FAILED, "port 88"),
        ("Something else", FAILED, "KRB5_TRACE"),
    ],
)
def test_a_ticket_that_cannot_be_had_says_whose_fault_it_is(
    trouble: str, state: CheckState, does: str
) -> None:
    (check,) = judge_ticket(TicketTried(trouble=trouble), [], "HTTP/iwa.test")
    assert (check.state, does in check.do) == (state, True), check


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("Client 'devicetrust-doctor@R' not found in Kerberos database", OK),
        ("Cannot contact any KDC for realm 'R'", FAILED),
        ('Cannot find KDC for realm "R"', FAILED),
    ],
)
def test_a_kdc_that_knows_nobody_of_that_name_answers(said: str, state: CheckState) -> None:
    assert judge_realm(Subject(CheckGroup.IWA, "KDC of R"), said).state is state


AUTHORITY = an_authority(not_after=NOW + timedelta(days=1_500))
EMPTY = StoreSeen(True, False, (AUTHORITY,), (), (IWA,), (), (1, 1), LogSeen(None, None, (), NOW))
SETTINGS: Any = SimpleNamespace(
    ca=CaSettings(), authorities=(SimpleNamespace(builtin=True),), enrollment=EnrollmentSettings()
)


@pytest.mark.parametrize(
    ("authorities", "state"),
    [
        ((AUTHORITY,), OK),
        ((), FAILED),
        ((replace(AUTHORITY, status=AuthorityStatus.RETIRED),), FAILED),
        ((replace(AUTHORITY, not_after=NOW),), FAILED),
        ((replace(AUTHORITY, not_after=NOW + timedelta(days=300)),), WARNING),
    ],
)
def test_an_authority_is_there_active_and_outlives_what_it_issues(
    authorities: tuple[AuthorityRecord, ...], state: CheckState
) -> None:
    first, *_ = judge_authority(replace(EMPTY, authorities=authorities), SETTINGS, NOW)
    assert (first.name, first.state) == ("authority that issues", state)


def test_an_authority_of_others_is_not_ours_to_judge() -> None:
    others: Any = SimpleNamespace(authorities=(SimpleNamespace(builtin=False, name="corp"),))
    (check,) = judge_authority(EMPTY, others, NOW)
    assert check.state is SKIPPED


def a_list(hours: float) -> PublishedCrl:
    """Valid for so much longer; lists live for a day, and are made anew at half of it."""
    return PublishedCrl(AUTHORITY.id, 0, 1, NOW, NOW + timedelta(hours=hours), b"")


@pytest.mark.parametrize(
    ("crls", "state"),
    [
        ([], SKIPPED),
        ([a_list(20), a_list(13)], OK),
        ([a_list(20), a_list(11.9)], OK),
        ([a_list(20), a_list(11)], WARNING),
        ([a_list(20), a_list(0)], FAILED),
        ([a_list(20), None], FAILED),
    ],
)
def test_revocation_lists_are_published_and_fresh(crls: list[PublishedCrl | None], state: CheckState) -> None:
    lists = tuple((AUTHORITY, shard, crl) for shard, crl in enumerate(crls))
    assert judge_lists(replace(EMPTY, lists=lists), SETTINGS, NOW).state is state


@pytest.mark.parametrize(
    ("people", "iwas", "create", "state"),
    [
        ((2, 5), (IWA,), False, OK),
        ((0, 5), (IWA,), False, FAILED),
        ((0, 0), (IWA,), False, FAILED),
        ((0, 0), (IWA,), True, OK),
        ((0, 0), (), False, SKIPPED),
    ],
)
def test_there_are_people_of_the_directory(
    people: tuple[int, int], iwas: tuple[Iwa, ...], create: bool, state: CheckState
) -> None:
    settings: Any = SimpleNamespace(enrollment=EnrollmentSettings(create_users=create))
    seen = replace(EMPTY, directory_users=people, iwas=iwas)
    assert judge_people(seen, settings).state is state
