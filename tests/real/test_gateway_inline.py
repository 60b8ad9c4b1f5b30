"""Real identity providers and real apps with the gateway between: who gets in, who does not, and why."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from real_parts import PAIRS, Pair
from support.browser import Browser, Step, Visit
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs
from support.peers import (
    IdentityProvider,
    IdentityProviderKind,
    Peers,
    RelyingParty,
    RelyingPartyKind,
    missing_parts,
)
from support.pki import Credential
from support.site import DEVICE, LEARN_MORE_URL, Site

pytestmark = [pytest.mark.real, needs("federation peers", missing_parts)]

HOST = "wiki.apps.example.test"


@dataclass(frozen=True, slots=True)
class Running:
    site: Site
    gateway: GatewayProcess
    app: RelyingParty
    idp: IdentityProvider

    def browser(self, credential: Credential | None) -> Browser:
        return self.site.browser(credential, self.idp.user.login_fields)

    def sign_on(self, credential: Credential | None) -> Visit:
        """Open the app in a fresh browser and follow to the end."""
        return self.browser(credential).open(self.app.login_url)


@pytest.fixture(scope="module", params=PAIRS, ids=str)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pair: Pair = request.param
    with Peers() as peers:
        site = Site(tmp_path_factory.mktemp("site"))
        planned = peers.plan(pair.relying_party, site.public_base(HOST))
        idp = peers.start_identity_provider(pair.identity_provider, [planned])
        app = peers.start_relying_party(planned, idp)
        configuration = site.configuration([site.identity_provider("wiki", idp)], [site.app("wiki", app)])
        with gateway_process(configuration, site.directory) as gateway:
            yield Running(site, gateway, app, idp)


def test_a_trusted_device_gets_in_as_the_user_of_the_assertion(running: Running) -> None:
    visit = running.sign_on(running.site.issue())
    assert visit.logged_in_user == running.idp.user.name, visit


LOCKED = [
    pytest.param(lambda site: None, "NO_CERTIFICATE", id="no certificate"),
    pytest.param(lambda site: site.issue(authority=site.other), "UNKNOWN_ISSUER", id="another authority's"),
    pytest.param(lambda site: site.issue_expired(), "EXPIRED", id="an expired certificate"),
    pytest.param(
        lambda site: site.issue(extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        "WRONG_KEY_USAGE",
        id="a server certificate",
    ),
    pytest.param(
        lambda site: site.issue(user="mallory@example.test"), "USER_MISMATCH", id="another user's certificate"
    ),
]


@pytest.mark.parametrize(("credential", "reason"), LOCKED)
def test_an_untrusted_device_sees_the_locked_page(
    running: Running, credential: Callable[[Site], Credential | None], reason: str
) -> None:
    visit = running.sign_on(credential(running.site))
    page = visit.last
    assert (visit.status, visit.device_trust_reason, visit.logged_in_user) == (403, reason, None), visit
    assert "no-store" in (page.header("Cache-Control") or "")
    assert LEARN_MORE_URL in page.text
    record = running.gateway.wait_for_record(
        lambda record: bool(record.get("reference_id")) and record["reference_id"] in page.text
    )
    assert reason in json.dumps(record)


def test_a_revoked_certificate_is_locked_out_as_soon_as_its_crl_is_there(running: Running) -> None:
    lost, kept = running.site.issue(), running.site.issue()
    assert running.sign_on(lost).status == 200
    running.site.revoke(lost)
    revoked = len(running.site.revoked)
    running.gateway.wait_for_metric("devicetrust_revoked_certificates", revoked, authority="corp")
    visit = running.sign_on(lost)
    assert (visit.status, visit.device_trust_reason) == (403, "REVOKED"), visit
    assert running.sign_on(kept).status == 200


def test_a_program_gets_the_refusal_as_problem_details(running: Running) -> None:
    browser = running.browser(None)
    step = _last_step(browser, running)
    browser.accept = "application/json"
    problem = browser.send(step)
    assert problem.status == 403, problem.text
    assert (problem.header("Content-Type") or "").startswith("application/problem+json")
    assert problem.header("X-Device-Trust-Reason") == "NO_CERTIFICATE"
    assert "NO_CERTIFICATE" in problem.text


def _last_step(browser: Browser, running: Running) -> Step:
    """The request with the ticket, not sent yet: what the browser is about to bring back to the app host."""
    start = Step("GET", running.app.login_url)
    visit = browser.follow(start, until=lambda step: "dt_ticket=" in step.url)
    step = browser.next_step(visit.last)
    assert step is not None, visit
    return step


def test_a_ticket_is_worth_nothing_in_another_browser(running: Running) -> None:
    winner, thief = running.browser(running.site.issue()), running.browser(None)
    step = _last_step(winner, running)
    stolen = thief.send(step)
    assert (stolen.status, stolen.header("X-Device-Trust-Reason")) == (400, "TICKET_NOT_YOURS"), stolen.text
    # The ticket is spent: whoever reads it out of the wrong browser's address bar has nothing.
    spent = winner.send(step)
    assert (spent.status, spent.header("X-Device-Trust-Reason")) == (400, "TICKET_REPLAYED"), spent.text
    assert winner.open(running.app.login_url).logged_in_user == running.idp.user.name


def test_neither_ticket_nor_assertion_is_accepted_twice(running: Running) -> None:
    browser = running.browser(running.site.issue())
    step = _last_step(browser, running)
    cookies = browser.cookies.all()
    assert browser.send(step).status in (200, 302, 303)
    for cookie in cookies:
        browser.cookies.put(cookie)
    again = browser.send(step)
    assert (again.status, again.header("X-Device-Trust-Reason")) == (400, "REPLAYED"), again.text


def test_the_certificate_is_asked_for_on_a_fresh_host_and_nowhere_else(running: Running) -> None:
    browser = running.browser(running.site.issue())
    hosts = []
    for _ in range(2):
        visit = browser.open(running.app.login_url)
        hosts += [hop.host for hop in visit.hops if hop.presented_certificate]
        browser.cookies.clear()
    assert len(set(hosts)) == len(hosts) == 2


# These apps show what arrived at them.
shown_by_the_app = pytest.mark.parametrize(
    "running",
    [pair for pair in PAIRS if pair.relying_party is not RelyingPartyKind.MELLON],
    indirect=True,
    ids=str,
)


@shown_by_the_app
def test_the_app_sees_who_and_what_and_never_what_the_browser_claims(running: Running) -> None:
    browser = running.browser(running.site.issue())
    step = _last_step(browser, running)
    spoofed = (
        ("X-Device-Trust", "spoofed"),
        ("X_Device_Trust_Device", "spoofed"),
        ("X-Device-Trust-Device", "spoofed"),
        ("X-Client-Cert", "spoofed"),
        ("X-SSL-Client-Verify", "spoofed"),
        ("X-Forwarded-Client-Cert", "spoofed"),
        ("X-Forwarded-For", "203.0.113.9"),
    )
    answer = browser.send(replace(step, extra_headers=spoofed))
    assert answer.status == 200, answer.text
    headers = answer.json()["headers"]
    assert "spoofed" not in answer.text
    assert headers["x-device-trust"] == "trusted"
    assert headers["x-device-trust-device"] == DEVICE
    assert headers["x-device-trust-user"] == running.idp.user.name
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-host"] == urlsplit(running.app.public_base).netloc


@shown_by_the_app
def test_the_app_sees_the_origin_and_address_of_the_first_request(running: Running) -> None:
    answer = running.sign_on(running.site.issue()).last.json()
    assert answer["origin"] == running.idp.base_url
    assert answer["url"] == running.app.assertion_path


@pytest.mark.parametrize(
    "running", [Pair(IdentityProviderKind.SAMLP, RelyingPartyKind.PASSPORT_SAML)], indirect=True, ids=str
)
def test_a_sign_on_may_begin_at_the_identity_provider(running: Running) -> None:
    trusted = running.browser(running.site.issue()).open(running.idp.initiated_url(running.app))
    assert trusted.logged_in_user == running.idp.user.name, trusted
    locked = running.browser(None).open(running.idp.initiated_url(running.app))
    assert (locked.status, locked.device_trust_reason) == (403, "NO_CERTIFICATE"), locked


@pytest.mark.parametrize(
    ("exception", "status"),
    [
        pytest.param({}, 400, id="is refused as it is"),
        pytest.param({"allow_missing_subject_confirmation": True}, 403, id="passes by the written exception"),
    ],
)
def test_a_ws_fed_token_without_subject_confirmation(
    exception: dict[str, bool], status: int, tmp_path: Path
) -> None:
    """SimpleSAMLphp issues such tokens. The app behind refuses them for a reason of its own (white space
    around the token), which shows that it was asked."""
    with Peers() as peers:
        site = Site(tmp_path)
        planned = peers.plan(RelyingPartyKind.PASSPORT_WSFED, site.public_base(HOST))
        idp = peers.start_identity_provider(IdentityProviderKind.SIMPLESAMLPHP_WSFED, [planned])
        app = peers.start_relying_party(planned, idp)
        providers = [site.identity_provider("wiki", idp, **exception)]
        configuration = site.configuration(providers, [site.app("wiki", app)])
        with gateway_process(configuration, site.directory):
            visit = site.browser(site.issue(), idp.user.login_fields).open(app.login_url)
    assert visit.status == status, visit
    asked = visit.last.header("X-Device-Trust-Reason") is None
    assert asked == bool(exception), visit
    assert not asked or visit.last.json()["login"] == "refused", visit
