"""What the doctor of a workstation makes of what it has seen, as tables."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.own_authority import OwnAuthority, new_request

from gateway.agent.discovery import AttestationRule, Discovery, Iwa
from gateway.agent.doctor.browsers_seen import (
    PolicySeen,
    judge_firefox,
    judge_policies,
    look_at_firefox,
    look_at_policies,
)
from gateway.agent.doctor.certificate_seen import judge_certificate, judge_self
from gateway.agent.doctor.on_the_way import judge_asked, judge_clock, judge_mtls_host, judge_shown
from gateway.agent.doctor.task_seen import (
    ScheduleSeen,
    judge_about,
    judge_device_part,
    judge_last_run,
    judge_schedule,
)
from gateway.agent.doctor.tls_look import LookFailed, NameUnknown, TlsSeen
from gateway.agent.plan import Held, Standing
from gateway.agent.platform import BrowserPolicy
from gateway.agent.platforms.linux_browsers import set_up_browsers
from gateway.agent.refusal import Refusal
from gateway.agent.state import State
from gateway.model.checkup import CheckState
from gateway.pki.issuance import DeviceIdentity

OK, WARNING, FAILED, SKIPPED = CheckState
AUTHORITY = OwnAuthority()
NOW = AUTHORITY.now
IDENTITY = DeviceIdentity("urn:devicetrust:device:1", "ws-1", "alice@example.test")
CERTIFICATE = AUTHORITY.issue(IDENTITY, new_request())
SECOND = AUTHORITY.issue(IDENTITY, new_request())
NSS = frozenset({"/home/alice/.pki/nssdb"})
HELD = Held(CERTIFICATE, own=True, key_name="file-1", stores=NSS, standing=Standing.GOOD)
STATE = State(key_name="file-1", thumbprint=CERTIFICATE.thumbprint, key_storage="file")
TOLD = Discovery(
    org="acme",
    audience="urn:devicetrust:org:acme",
    nonce="n0nce",
    time=NOW,
    iwas=(),
    mtls_domain="mtls.example.test",
    mtls_port=443,
    est_url="https://est.mtls.example.test",
    issuer_common_name="MTLS Certificate Authority",
    issuers=frozenset(),
    mtls_certificates=frozenset(),
    renew_before=timedelta(days=30),
    renew_anywhere=True,
    attestation=AttestationRule.NONE,
)


def not_ok(held: list[Held], *, told: Discovery | None = TOLD, later: float = 0.0) -> dict[str, CheckState]:
    """``later`` in days."""
    checks = judge_certificate(held, STATE, told, NOW + timedelta(days=later))
    return {check.name: check.state for check in checks if check.state is not OK}


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([HELD], {}),
        ([], {"certificate is there": FAILED}),
        ([replace(HELD, own=False, certificate=SECOND)], {"certificate is there": FAILED}),
        ([replace(HELD, own=False)], {"issuer": FAILED}),
        (
            [replace(HELD, key_name=None, stores=frozenset(), keyless_stores=NSS)],
            {"private key": FAILED, "in the stores of browsers": FAILED},
        ),
        ([replace(HELD, stores=frozenset())], {"in the stores of browsers": FAILED}),
        ([replace(HELD, keyless_stores=frozenset({"firefox"}))], {"in the stores of browsers": WARNING}),
        ([replace(HELD, standing=Standing.REVOKED)], {"revocation": FAILED}),
        ([replace(HELD, standing=Standing.ON_HOLD)], {"revocation": FAILED}),
        ([replace(HELD, standing=Standing.UNKNOWN)], {"revocation": WARNING}),
        ([HELD, replace(HELD, certificate=SECOND)], {"no duplicates": WARNING}),
        ([HELD, replace(HELD, certificate=SECOND, stores=frozenset())], {}),
    ],
)
def test_a_certificate_is_there_ours_with_its_key_not_revoked_and_alone(
    held: list[Held], expected: dict[str, CheckState]
) -> None:
    assert not_ok(held) == expected


@pytest.mark.parametrize(
    ("days", "state"), [(0, None), (320, None), (360, WARNING), (366, FAILED), (-1, FAILED)]
)
def test_a_certificate_is_valid_and_was_renewed_in_time(days: float, state: CheckState | None) -> None:
    assert not_ok([HELD], later=days).get("dates") is state


def test_without_the_org_nobody_says_what_is_its_own_or_revoked() -> None:
    assert not_ok([HELD], told=None) == {"issuer": SKIPPED, "revocation": SKIPPED}


def test_a_key_in_a_file_is_not_enough_where_the_org_wants_it_in_a_tpm() -> None:
    told = replace(TOLD, attestation=AttestationRule.REQUIRED)
    assert not_ok([HELD], told=told) == {"private key": FAILED}


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, OK), (-59, OK), (90, WARNING), (-90, WARNING), (130, FAILED), (-7_200, FAILED)],
)
def test_the_clock_may_differ_as_much_as_tokens_allow(seconds: int, state: CheckState) -> None:
    mine = NOW + timedelta(seconds=seconds)
    check = judge_clock(TOLD, mine, mine)
    assert check.state is state
    if state is FAILED:
        assert ("ahead of" if seconds > 0 else "behind") in check.seen


def test_the_clock_cannot_be_judged_without_the_orgs() -> None:
    assert judge_clock(None, NOW, NOW).state is SKIPPED
    assert judge_clock(replace(TOLD, time=None), NOW, NOW).state is SKIPPED


SEEN = TlsSeen((CERTIFICATE.der,), ("MTLS Certificate Authority",), "TLSv1.3")
OURS = replace(TOLD, mtls_certificates=frozenset({SEEN.leaf_sha256}))


@pytest.mark.parametrize(
    ("told", "seen", "expected"),
    [
        (OURS, SEEN, (OK, OK)),
        (replace(OURS, mtls_certificates=frozenset({"0" * 64})), SEEN, (FAILED, OK)),
        (replace(OURS, mtls_certificates=frozenset()), SEEN, (SKIPPED, OK)),
        (OURS, replace(SEEN, client_authorities=()), (OK, FAILED)),
        (OURS, replace(SEEN, client_authorities=("Corp",)), (OK, FAILED)),
        (OURS, LookFailed("Connection refused"), (FAILED, SKIPPED)),
    ],
)
def test_the_mtls_host_shows_the_gateways_certificate_and_asks_for_this_one(
    told: Discovery, seen: TlsSeen | LookFailed, expected: tuple[CheckState, CheckState]
) -> None:
    found = (
        judge_mtls_host(told, "n1.mtls.example.test", seen, "directly").state,
        judge_asked(told, seen).state,
    )
    assert found == expected


@pytest.mark.parametrize(
    ("seen", "advice"),
    [(NameUnknown("Name or service not known"), "DNS"), (LookFailed("Connection refused"), "opening TLS")],
)
def test_a_name_that_is_not_known_is_no_matter_of_inspection(seen: LookFailed, advice: str) -> None:
    assert advice in judge_mtls_host(OURS, "n1.mtls.example.test", seen, "directly").do


@pytest.mark.parametrize(
    ("seen", "state"),
    [(SEEN, OK), (replace(SEEN, refusal="tlsv1 alert unknown ca"), FAILED), (LookFailed("no"), FAILED)],
)
def test_a_trial_handshake_succeeds_or_says_why_not(seen: TlsSeen | LookFailed, state: CheckState) -> None:
    assert judge_shown(seen).state is state


NO = Refusal("USER_INACTIVE", "The account is not active.", "Activate it.", step=4)


@pytest.mark.parametrize(
    ("state", "judged", "said"),
    [
        (State(), WARNING, "never"),
        (State(last_run=NOW, outcome="good"), OK, "good"),
        (State(last_run=NOW - timedelta(days=4)), WARNING, "long ago"),
        (State(last_run=NOW, refusal=NO), FAILED, "refused at step 4: USER_INACTIVE"),
        (State(last_run=NOW, refusal=replace(NO, transient=True)), WARNING, "USER_INACTIVE"),
    ],
)
def test_the_last_run_is_told_with_its_refusal_explained(state: State, judged: CheckState, said: str) -> None:
    check = judge_last_run(state, NOW)
    assert (check.state, said in check.seen) == (judged, True), check


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (ScheduleSeen(None), FAILED),
        (ScheduleSeen("/etc/systemd/user/t.timer", active=True), OK),
        (ScheduleSeen("/etc/systemd/user/t.timer"), OK),
        (ScheduleSeen("/etc/systemd/user/t.timer", active=False), WARNING),
    ],
)
def test_a_timer_is_there_and_active(seen: ScheduleSeen, state: CheckState) -> None:
    assert judge_schedule(seen).state is state


@pytest.mark.parametrize(
    ("status", "body", "trouble", "state"),
    [
        (200, b'{"key_id": "k", "version": "1"}', None, OK),
        (200, b"<html>", None, FAILED),
        (404, b'{"key_id": "k"}', None, FAILED),
        (None, b"", Refusal("UNREACHABLE", "iwa cannot be reached"), FAILED),
    ],
)
def test_an_iwa_web_app_answers_as_one(
    status: int | None, body: bytes, trouble: Refusal | None, state: CheckState
) -> None:
    iwa = Iwa("iwa1", "hq-1", "https://iwa.corp.test/iwa", primary=True, online=True)
    check = judge_about(iwa, status, body, trouble)
    assert check.state is state
    assert bool(check.do) is (state is FAILED)


def test_the_computers_part_gets_a_device_token_or_says_why_not() -> None:
    assert judge_device_part("/run/d.sock", None).state is OK
    assert judge_device_part("/run/d.sock", NO).do == "Activate it."


WIKI = {"name": "wiki", "label": "Wiki", "access": "ALLOW", "rule": "Trusted", "reason": "RULE"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"trusted": True, "apps": [WIKI]}, {"what the org says of it": OK, "Wiki": OK}),
        (
            {"trusted": True, "apps": [{**WIKI, "access": "DENY"}]},
            {"what the org says of it": OK, "Wiki": WARNING},
        ),
        (
            {"trusted": False, "certificate": {"status": "REVOKED"}, "device": None, "apps": []},
            {"what the org says of it": FAILED},
        ),
        ({"trusted": True, "device_trust_enabled": False}, {"what the org says of it": FAILED}),
        ({"apps": "none"}, {"what the org says of it": FAILED}),
    ],
)
def test_what_the_org_says_of_certificate_and_apps(
    told: dict[str, Any], expected: dict[str, CheckState]
) -> None:
    assert {check.name: check.state for check in judge_self(told)} == expected


POLICY = BrowserPolicy("mtls.example.test")
OTHER = '{"pattern": "https://intranet.test", "filter": {}}'


def test_what_install_writes_is_what_the_doctor_looks_for(tmp_path: Any) -> None:
    nothing = judge_policies(POLICY, *look_at_policies(tmp_path))
    assert (nothing.state, nothing.seen) == (FAILED, "none names https://[*.]mtls.example.test")
    set_up_browsers(tmp_path, POLICY, administrator=True)
    good = judge_policies(POLICY, *look_at_policies(tmp_path))
    assert (good.state, good.seen.partition(":")[0]) == (OK, "Chromium, Google Chrome, Microsoft Edge")
    other_issuer = replace(POLICY, issuer_common_name="New Authority")
    assert judge_policies(other_issuer, *look_at_policies(tmp_path)).state is FAILED
    # A later file takes the whole policy over, and ours out of force.
    later = tmp_path / "etc/chromium/policies/managed/zzz.json"
    later.write_text('{"AutoSelectCertificateForUrls": []}')
    assert judge_policies(POLICY, *look_at_policies(tmp_path)).state is OK  # Chrome and Edge
    (seen, *_), unreadable = look_at_policies(tmp_path)
    assert unreadable == ()
    assert judge_policies(POLICY, [seen]).state is FAILED
    later.write_text("no JSON")
    assert "is no JSON" in look_at_policies(tmp_path)[1][0]


@pytest.mark.parametrize(
    ("items", "state"),
    [
        ((), FAILED),
        ((OTHER,), FAILED),
        (("not JSON",), FAILED),
        (
            (
                OTHER,
                '{"filter": {"ISSUER": {"CN": "MTLS Certificate Authority"}},'
                ' "pattern": "https://[*.]mtls.example.test"}',
            ),
            OK,
        ),
        (('{"pattern": "https://[*.]mtls.example.test", "filter": {}}',), FAILED),
    ],
)
def test_a_policy_matches_whatever_the_order_of_its_members(
    items: tuple[str, ...], state: CheckState
) -> None:
    assert judge_policies(POLICY, [PolicySeen("Chromium", "policy.json", items)]).state is state


def test_a_firefox_that_would_ask_is_told_and_one_that_is_not_there_is_not(tmp_path: Any) -> None:
    home, root = tmp_path / "home", tmp_path / "root"
    assert list(judge_firefox(look_at_firefox(root, home, {}))) == []
    profile = home / ".mozilla/firefox/abc.default"
    profile.mkdir(parents=True)
    (profile.parent / "profiles.ini").write_text("[Profile0]\nName=default\nIsRelative=1\nPath=abc.default\n")
    (asks,) = judge_firefox(look_at_firefox(root, home, {}))
    assert asks.state is WARNING
    (profile / "user.js").write_text('user_pref("security.default_personal_cert", "Select Automatically");\n')
    (picks,) = judge_firefox(look_at_firefox(root, home, {}))
    assert picks.state is OK


def test_browsers_stores_need_not_have_it_where_that_is_set() -> None:
    checks = judge_certificate([replace(HELD, stores=frozenset())], STATE, TOLD, NOW, in_stores=False)
    assert [check.name for check in checks if check.state is CheckState.FAILED] == []
