"""A company with all of its parts running: from nothing to a sign-on in a real browser, and all that becomes
of a certificate afterwards."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from support import chromium as chromium_support
from support import kerberos as kerberos_support
from support import peers as peers_support
from support import private_etc
from support.browser import user_of
from support.company import BOTH_FORESTS, PARTNER, Company, company
from support.kerberos import Forests, KerberosFailed
from support.needed_parts import needs, needs_program
from support.proxies import missing_proxies, squid
from support.workstation import Ran, Workstation

pytestmark = [
    pytest.mark.real,
    needs("Kerberos", kerberos_support.missing_parts),
    needs("Chromium", chromium_support.missing_parts),
    needs("federation peers", peers_support.missing_parts),
    needs("private /etc", private_etc.missing_parts),
    needs_program("faketime"),
]

STEPS = ("Ask the org", "Get the device token", "Get the user token", "Get the certificate", "Install")
PASSES, REFUSED, BUSY = 3, 1, 4  # exit codes of the agent, beside 0
JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")


@pytest.fixture(scope="module")
def corp(kerberos_forests: Forests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    kerberos_forests.corp.add_user("dora", "erik")
    kerberos_forests.corp.add_computer("ws3")
    directory = tmp_path_factory.mktemp("company")
    with company(kerberos_forests, directory, iwa_changes={"realms": BOTH_FORESTS}) as made:
        for login in ("alice@example.test", "dora@example.test", "erik@example.test", f"bob@{PARTNER}"):
            made.add_user(login)
        yield made


@pytest.fixture(scope="module")
def alice(corp: Company) -> Workstation:
    """At ws1, where nothing has happened yet. She may sign on at the app."""
    station = corp.workstation("ws1", "alice")
    station.start_device_part()
    return station


@pytest.fixture(scope="module")
def dora(corp: Company) -> Workstation:
    """At ws2, with a certificate. What is done to her must not be in the way of others."""
    station = corp.workstation("ws2", "dora")
    station.start_device_part()
    station.enroll()
    return station


@pytest.fixture(scope="module")
def erik(corp: Company) -> Workstation:
    """At ws3, without a certificate: he cannot get around Kerberos by one."""
    station = corp.workstation("ws3", "erik")
    station.start_device_part()
    return station


def refusal(ran: Ran) -> tuple[int, str]:
    """Exit code and code of an agent that got no certificate."""
    found = re.search(r"refused(?: at step \d)?: (\w+):", ran.errors)
    return ran.status, found[1] if found else str(ran)


def status_of(corp: Company, certificate: x509.Certificate) -> tuple[str, str | None]:
    known = corp.certificate(certificate)
    return known["status"], known["revocationReason"]


def test_from_nothing_to_a_sign_on_without_a_prompt(corp: Company, alice: Workstation) -> None:
    locked = alice.sign_on(corp.app.login_url, certificate=False)
    assert (locked.status, locked.device_trust_reason) == (403, "NO_CERTIFICATE")
    ran = alice.agent("--user", "--debug")
    assert ran.status == 0, ran
    assert [title for title in STEPS if f"{STEPS.index(title) + 1}. {title}" not in ran.output] == []
    assert JWT.search(ran.output) is None, "a token that somebody could use is shown"
    names = alice.certificate().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert b"alice@example.test" in b"".join(each.value for each in names.get_values_for_type(x509.OtherName))
    with alice.chromium() as context:
        page = context.pages[0]
        with page.expect_response(lambda response: "dt_ticket=" in response.url) as verdict:
            page.goto(corp.app.login_url, wait_until="commit")
        assert (verdict.value.status, user_of(verdict.value.text())) == (200, "alice@example.test")


def test_the_next_run_finds_that_all_is_well(corp: Company, alice: Workstation) -> None:
    before = alice.enroll()
    ran = alice.agent("--user")
    assert ran.status == 0, ran
    assert "is good until" in ran.output
    assert alice.certificate() == before
    assert alice.agent("verify").status == 0
    assert alice.agent("--user", "--scheduled").output == "", "it is not due today"


def test_a_forced_renewal_replaces_the_certificate_which_works_until_then(
    corp: Company, alice: Workstation
) -> None:
    before = alice.enroll()
    ran = alice.agent("--user", "--forceRenewal")
    assert ran.status == 0, ran
    after = alice.certificate()
    assert after != before
    assert alice.keys() == [alice.files.private_key.stem]
    assert status_of(corp, before) == ("ISSUED", None)  # browsers that are open still have it
    assert alice.sign_on(corp.app.login_url).logged_in_user == "alice@example.test"
    wait_for_status(corp, before, ("REVOKED", "superseded"))
    assert corp.certificate(after)["replaces"] == corp.certificate(before)["thumbprint"]


def test_a_certificate_that_is_due_is_renewed(corp: Company, alice: Workstation) -> None:
    """One of an hour is due after half of it. The computer's clock is put forward, which Kerberos allows for
    where it was so at log-on."""
    corp.set_lifetime(timedelta(hours=1), timedelta(minutes=30))
    try:
        assert alice.agent("--user", "--force-renewal").status == 0
        before = alice.certificate()
        alice.log_in(clock="+40m")
        ran = alice.agent("--user", clock="+40m")
    finally:
        corp.set_lifetime(timedelta(days=365), timedelta(days=30))
        alice.log_in()
    assert ran.status == 0, ran
    assert f"{before.serial_number:x} ends on" in ran.output
    assert alice.certificate() != before
    assert status_of(corp, before)[0] == "ISSUED"


def test_a_revoked_certificate_is_found_and_replaced(corp: Company, alice: Workstation) -> None:
    before = alice.enroll()
    thumbprint = corp.certificate(before)["thumbprint"]
    corp.ask("POST", f"/api/v1/certificates/{thumbprint}/lifecycle/revoke", {"reason": "keyCompromise"})
    assert alice.sign_on(corp.app.login_url).device_trust_reason == "REVOKED"
    ran = alice.agent("--user")
    assert ran.status == 0, ran
    assert f"{before.serial_number:x} was revoked: a new one is needed" in ran.output
    assert alice.certificate() != before
    assert alice.sign_on(corp.app.login_url).logged_in_user == "alice@example.test"


def test_who_is_disabled_in_the_directory_cannot_log_on_and_gets_no_certificate(
    erik: Workstation, kerberos_forests: Forests
) -> None:
    kerberos_forests.corp.disable("erik")
    erik.log_out()
    try:
        with pytest.raises(KerberosFailed, match="revoked"):
            erik.log_in()
        assert refusal(erik.agent("--user")) == (PASSES, "NO_TICKET")
    finally:
        kerberos_forests.corp.enable("erik")
        erik.log_in()
    assert erik.installed() == []


def test_while_the_org_is_read_only_the_old_certificate_goes_on_working(
    corp: Company, alice: Workstation
) -> None:
    before = alice.enroll()
    corp.set_settings(read_only=True)
    try:
        assert refusal(alice.agent("--user", "--force-renewal")) == (PASSES, "READ_ONLY")
        assert alice.sign_on(corp.app.login_url).logged_in_user == "alice@example.test"
        looked = alice.status()
    finally:
        corp.set_settings(read_only=False)
    assert looked["good"] is True
    assert (looked["refusal"]["code"], looked["refusal"]["step"]) == ("READ_ONLY", 4)
    assert hours_until(looked["nextRun"], looked["lastRun"]) <= 1
    assert alice.certificate() == before
    assert alice.agent("--user", "--force-renewal").status == 0


def test_the_next_iwa_web_app_is_asked_where_the_first_is_down(corp: Company, dora: Workstation) -> None:
    first, _ = corp.iwas
    first.kill()
    try:
        ran = dora.agent("--user", "--force-renewal")
    finally:
        first.start()
    assert ran.status == 0, ran
    assert "IWA web app hq-1: localhost cannot be reached; the next one is tried" in ran.output


def test_where_all_are_down_a_new_computer_waits_and_one_with_a_certificate_shows_it(
    corp: Company, dora: Workstation, erik: Workstation
) -> None:
    before = dora.enroll()
    for iwa in corp.iwas:
        iwa.kill()
    try:
        waiting = [refusal(erik.agent("--user")) for _ in range(2)]
        looked = erik.status()
        ran = dora.agent("--user", "--force-renewal")
    finally:
        for iwa in corp.iwas:
            iwa.start()
    assert waiting == [(PASSES, "UNREACHABLE")] * 2
    assert looked["failures"] >= 2
    assert hours_until(looked["nextRun"], looked["lastRun"]) <= 1
    assert ran.status == 0, ran
    assert "the certificate itself is shown" in ran.output
    assert corp.certificate(dora.certificate())["replaces"] == corp.certificate(before)["thumbprint"]


def test_a_wrong_clock_is_named_and_passes_by_itself(erik: Workstation) -> None:
    ran = erik.agent("--user", clock="+20m")
    assert refusal(ran) == (PASSES, "CLOCK_SKEW"), ran
    assert "seconds ahead of the organization's" in ran.output
    assert erik.installed() == []


def test_a_computer_that_was_deactivated_gets_none_until_it_is_activated(
    corp: Company, dora: Workstation
) -> None:
    before = dora.enroll()
    device = corp.certificate(before)["deviceId"]
    corp.ask("POST", f"/api/v1/devices/{device}/lifecycle/deactivate")
    assert status_of(corp, before)[0] == "REVOKED"
    assert refusal(dora.agent("--user")) == (REFUSED, "DEVICE_INACTIVE")
    corp.ask("POST", f"/api/v1/devices/{device}/lifecycle/activate")
    assert dora.enroll() != before


def test_people_and_computers_of_the_other_forest_enroll_as_themselves(corp: Company) -> None:
    forest = corp.domain.partner
    station = corp.workstation("ws9", "bob", realm=forest)
    station.start_device_part()
    certificate = station.enroll()
    known = corp.certificate(certificate)
    user = corp.ask("GET", f"/api/v1/users/{known['userId']}")
    assert user["profile"]["login"] == f"bob@{PARTNER}"
    assert station.status()["certificate"]["user"] == f"bob@{PARTNER}"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("1. ", id="at the first step"),
        pytest.param("2. ", id="at the second"),
        pytest.param("3. ", id="at the third"),
        pytest.param("4. ", id="at the fourth"),
        pytest.param('"hardware_key"', id="when the certificate has come"),
        pytest.param("5. ", id="at the fifth"),
        pytest.param("certificate in the database of", id="when it is installed"),
    ],
)
def test_a_run_that_is_killed_leaves_a_certificate_that_works(
    corp: Company, alice: Workstation, moment: str
) -> None:
    alice.enroll()
    with alice.running_agent("--user", "--force-renewal", "--debug") as process:
        assert process.stdout is not None
        seen = next((line for line in process.stdout if line.lstrip().startswith(moment)), None)
        process.send_signal(signal.SIGKILL)
    assert seen is not None, "the run ended before"
    assert alice.installed()
    assert {status_of(corp, each)[0] for each in alice.installed()} == {"ISSUED"}
    after = alice.enroll()
    assert status_of(corp, after)[0] == "ISSUED"
    assert alice.keys() == [alice.files.private_key.stem]


def test_two_runs_at_once_are_one(corp: Company, dora: Workstation) -> None:
    with dora.running_agent("--user", "--force-renewal", "--debug") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1. ")
        second = dora.agent("--user", "--force-renewal")
        process.communicate(timeout=60)
    assert (second.status, process.returncode) == (BUSY, 0), second
    assert "another run is at work" in second.errors


@needs("proxies", missing_proxies)
def test_the_org_is_reached_by_a_proxy_and_the_iwa_web_app_directly(
    corp: Company, dora: Workstation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By HttpProxy, and by a file that names a dead proxy first."""
    port = corp.site.https_port
    hosts = {"sso.example.test": "127.0.0.1", "est.mtls.example.test": "127.0.0.1"}
    with squid([port], hosts=hosts) as proxy, socket.create_server(("127.0.0.1", 0)) as dead:
        file = dora.directory / "proxy.pac"
        file.write_text(
            "function FindProxyForURL(url, host) { return dnsDomainIs(host, '.example.test')"
            f" ? 'PROXY 127.0.0.1:{dead.getsockname()[1]}; PROXY 127.0.0.1:{proxy.port}' : 'DIRECT'; }}"
        )
        dead.close()
        try:
            for way in ({"HttpProxy": proxy.url}, {"HttpProxyPacLocation": file.as_uri()}):
                dora.configure(**way)
                before = proxy.log.read_text().count(f"sso.example.test:{port}")
                ran = dora.agent("--user", "--force-renewal")
                dora.configure(**dict.fromkeys(way, ""))
                assert ran.status == 0, ran
                assert proxy.log.read_text().count(f"sso.example.test:{port}") > before
        finally:
            dora.configure(HttpProxy="", HttpProxyPacLocation="")
        assert "localhost" not in proxy.log.read_text()


def test_the_system_log_has_all_of_it(corp: Company, alice: Workstation) -> None:
    device = corp.certificate(alice.enroll())["deviceId"]
    for event_type in (
        "user.authentication.auth_via_iwa",
        "user.credential.enroll",
        "pki.cert.issue",
        "pki.cert.renew",
        "pki.cert.revoke",
    ):
        found = corp.events(f'eventType eq "{event_type}" and debugContext.debugData.deviceId eq "{device}"')
        assert found, event_type
    said = corp.events('eventType eq "user.authentication.auth_via_iwa" and outcome.result eq "FAILURE"')
    assert {event["outcome"]["reason"] for event in said} >= {"DEVICE_INACTIVE"}


def wait_for_status(corp: Company, certificate: x509.Certificate, wanted: tuple[str, str | None]) -> None:
    deadline = time.monotonic() + 20
    while (seen := status_of(corp, certificate)) != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def hours_until(later: str, earlier: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)) / timedelta(hours=1)
