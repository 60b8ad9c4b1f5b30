"""`enforcement: session` as dialogues: requests after the sign-on."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from support import policies
from support.sign_on import SignOnBrowser, SignOnWorld, return_target, saml_body

from gateway.model.device import VerifiedDevice
from gateway.model.pages import PageKind
from gateway.model.settings import Enforcement, Zone
from gateway.proxy.cookies import SESSION_COOKIE
from gateway.services.outcomes import Forward, Outcome, Redirect, ShowPage


async def signed_on(world: SignOnWorld, **device: str) -> SignOnBrowser:
    browser = world.browser()
    outcome = await browser.sign_on(saml_body(), world.device(**device))
    assert isinstance(outcome, Forward)
    assert SESSION_COOKIE in browser.jar.cookies
    return browser


def get(
    browser: SignOnBrowser, target: str = "/page?x=1", *, navigation: bool = True, app: str = "wiki"
) -> Outcome:
    arrival = browser.arrival(target, "GET" if navigation else "PUT", app=app)
    return browser.world.sessions.check(arrival)


async def test_a_request_of_a_trusted_device_passes_with_its_statement() -> None:
    browser = await signed_on(SignOnWorld(enforcement=Enforcement.SESSION))
    outcome = get(browser)
    assert isinstance(outcome, Forward)
    assert not outcome.anonymous
    assert outcome.statement is not None
    assert outcome.statement.user == "alice@example.test"
    assert isinstance(outcome.statement.verdict, VerifiedDevice)


def test_a_request_without_a_session_is_anonymous() -> None:
    outcome = get(SignOnWorld(enforcement=Enforcement.SESSION).browser())
    assert outcome == Forward(anonymous=True)


@pytest.mark.parametrize(
    "token", [b"", b"AAAA", b"!" * 40, b"A" * 7_000], ids=["empty", "short", "not base64", "too long"]
)
def test_a_made_up_session_is_none(token: bytes) -> None:
    browser = SignOnWorld(enforcement=Enforcement.SESSION).browser()
    browser.jar.cookies[SESSION_COOKIE] = token
    assert get(browser) == Forward(anonymous=True)


async def test_a_session_is_for_one_app() -> None:
    browser = await signed_on(SignOnWorld(enforcement=Enforcement.SESSION))
    assert get(browser, app="payroll") == Forward(anonymous=True)


async def test_a_session_ends_with_its_lifetime() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser = await signed_on(world)
    world.clock.advance(hours=8, seconds=1)
    assert get(browser) == Forward(anonymous=True)


async def test_a_session_outlives_the_keys_of_its_first_day() -> None:
    week = timedelta(days=7)
    policy = policies.policy(default="allow")
    world = SignOnWorld(policy, enforcement=Enforcement.SESSION, session_lifetime=week)
    browser = world.browser()
    assert isinstance(await browser.post(saml_body(session_until=None)), Forward)
    world.clock.advance(days=6)
    outcome = get(browser)
    assert isinstance(outcome, Forward)
    assert not outcome.anonymous


async def test_revoking_the_certificate_ends_the_session_at_the_next_request() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.revoke(device)
    outcome = get(browser, navigation=False)
    assert isinstance(outcome, ShowPage)
    assert (outcome.page.kind, outcome.page.reason) == (PageKind.LOCKED, "REVOKED")


async def test_a_navigation_may_show_a_new_certificate_and_the_session_goes_on() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.revoke(device)

    begun = get(browser)
    assert isinstance(begun, Redirect)
    assert begun.status == 303
    browser.jar.take(begun.response_fields)
    answered = browser.challenge(begun, world.device("urn:device:laptop-2"))
    assert isinstance(answered, Redirect)
    assert answered.status == 303
    outcome = await world.sessions.returned(browser.arrival(return_target(answered), "GET"))
    assert isinstance(outcome, Redirect)
    assert outcome.location == "https://wiki.apps.example.test/page?x=1"
    browser.jar.take(outcome.response_fields)
    assert set(browser.jar.cookies) == {SESSION_COOKIE}

    after = get(browser)
    assert isinstance(after, Forward)
    assert after.statement is not None
    assert after.statement.verdict.device == "urn:device:laptop-2"


@pytest.mark.parametrize(
    ("user", "reason"),
    [("bob@example.test", "USER_MISMATCH"), (None, "USER_MISMATCH")],
    ids=["bob's", "nobody's"],
)
async def test_another_persons_certificate_does_not_take_the_session_over(
    user: str | None, reason: str
) -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.revoke(device)
    begun = get(browser)
    browser.jar.take(begun.response_fields)
    answered = browser.challenge(begun, world.device("urn:device:other", user))
    outcome = await world.sessions.returned(browser.arrival(return_target(answered), "GET"))
    assert isinstance(outcome, ShowPage)
    assert outcome.page.reason == reason
    browser.jar.take(outcome.response_fields)
    assert browser.jar.cookies == {}


async def test_a_ticket_alone_signs_nobody_on() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.revoke(device)
    begun = get(browser)
    answered = browser.challenge(begun, world.device("urn:device:laptop-2"))
    stranger = world.browser()
    outcome = await world.sessions.returned(stranger.arrival(return_target(answered), "GET"))
    assert isinstance(outcome, Redirect)
    assert outcome.response_fields == ()


async def test_the_policy_decides_each_request_anew_from_its_address() -> None:
    policy = policies.policy(
        policies.rule("Office", location={"in_zones": ["office"]}),
        policies.rule("Trusted elsewhere", platforms=["windows"], device_trust="trusted"),
    )
    world = SignOnWorld(policy, enforcement=Enforcement.SESSION)
    zones = {"office": Zone("office", (ip_network("10.0.0.0/8"),))}
    snapshot = world.live.current
    world.live.replace(
        type(snapshot)(snapshot.settings, snapshot.apps_by_host, snapshot.apps_by_name, zones, snapshot.trust)
    )
    browser = world.browser()
    browser.ip = "10.1.2.3"
    assert isinstance(await browser.post(saml_body()), Forward)  # in the office no device is asked for
    assert isinstance(get(browser), Forward)
    browser.ip = "203.0.113.7"
    assert isinstance(get(browser), Redirect)  # outside it is
    assert isinstance(get(browser, navigation=False), ShowPage)


async def test_a_session_that_fits_no_cookie_is_refused_and_the_assertion_stays_good() -> None:
    groups = tuple(f"group-{n}-" + "x" * 90 for n in range(50))
    people = {"groups": {"include": list(groups)}}
    policy = policies.policy(policies.rule("Many groups", people=people))
    world = SignOnWorld(policy, enforcement=Enforcement.SESSION)
    outcome = await world.browser().post(saml_body(groups=groups))
    assert isinstance(outcome, ShowPage)
    assert (outcome.page.kind, outcome.page.reason) == (PageKind.MESSAGE_REFUSED, "TOO_LARGE")
    assert isinstance(await world.browser().post(saml_body(groups=groups[:2])), Forward)


async def test_apps_without_sessions_get_no_cookie() -> None:
    world = SignOnWorld()
    browser = world.browser()
    await browser.sign_on(saml_body(), world.device())
    assert browser.jar.cookies == {}
