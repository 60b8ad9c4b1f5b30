"""What of a sign-on is kept for the System Log, and that nobody is let in of whom nothing can be kept."""

import pytest
from support import policies
from support.sign_on import SignOnWorld, return_target, saml_body

from gateway.model.events import ChallengeAnswered, SignOnDecided
from gateway.model.pages import PageKind
from gateway.model.settings import Enforcement
from gateway.model.spooling import SystemLogFull
from gateway.services.outcomes import Forward, Outcome, Redirect, ShowPage


def kinds(world: SignOnWorld) -> list[tuple[str, str]]:
    return [
        ("decided", event.access) if isinstance(event, SignOnDecided) else ("challenge", event.verdict)
        for event in world.system_log.kept
    ]


def assert_is_full(outcome: Outcome) -> None:
    assert isinstance(outcome, ShowPage), outcome
    assert (outcome.page.kind, outcome.page.status) == (PageKind.LOCKED, 503)
    assert outcome.page.reason == "SYSTEM_LOG_FULL"


async def test_a_sign_on_with_a_challenge_is_kept_as_answer_and_decision() -> None:
    world = SignOnWorld()
    await world.browser().sign_on(saml_body(), world.device())
    assert kinds(world) == [("challenge", "trusted"), ("decided", "allow")]
    answered, decided = world.system_log.kept
    assert isinstance(answered, ChallengeAnswered)
    assert answered.user == "alice@example.test"
    assert isinstance(decided, SignOnDecided)
    assert (decided.flow_id, decided.user) == (answered.flow_id, "alice@example.test")


async def test_a_denial_is_kept_too() -> None:
    world = SignOnWorld()
    await world.browser().sign_on(saml_body(), None)
    assert kinds(world) == [("challenge", "not_trusted"), ("decided", "deny")]


async def test_messages_that_anybody_can_send_are_not_kept() -> None:
    world = SignOnWorld()
    browser = world.browser()
    await browser.post(b"SAMLResponse=rubbish")
    await browser.post(saml_body(), "/saml/acs?dt_ticket=rubbish")
    assert world.system_log.kept == []
    assert len(world.recorder.events) == 2


async def test_a_full_log_refuses_before_the_assertion_is_used_up() -> None:
    world = SignOnWorld(policies.policy(default="allow"))
    body = saml_body()
    world.system_log.full = True
    assert_is_full(await world.browser().post(body))
    assert [(e.access, e.reason) for e in world.recorder.of(SignOnDecided)] == [("deny", "SYSTEM_LOG_FULL")]
    world.system_log.full = False
    assert isinstance(await world.browser().post(body), Forward)
    assert kinds(world) == [("decided", "allow")]


async def test_a_log_that_fills_during_the_challenge_lets_nobody_in() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    begun = await browser.post(body)
    world.system_log.full = True
    assert_is_full(browser.challenge(begun, world.device()))
    world.system_log.full = False
    answered = browser.challenge(begun, world.device())
    assert isinstance(answered, Redirect)
    world.system_log.full = True
    assert_is_full(await browser.post(body, return_target(answered)))


async def test_a_disk_that_fails_at_the_last_moment_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SignOnWorld(policies.policy(default="allow"))

    def fails(_: object) -> None:
        raise SystemLogFull("No space left on device")

    monkeypatch.setattr(world.system_log, "keep", fails)
    assert_is_full(await world.browser().post(saml_body()))


async def test_a_denial_that_cannot_be_kept_is_the_same_page() -> None:
    world = SignOnWorld(policies.policy(default="deny"))
    world.system_log.full = True
    assert_is_full(await world.browser().post(saml_body()))


async def test_requests_of_a_session_are_not_kept_and_its_end_is_once() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.system_log.kept.clear()
    for _ in range(3):
        assert isinstance(world.sessions.check(browser.arrival("/page", "GET")), Forward)
    assert world.system_log.kept == []
    world.revoke(device)
    for _ in range(3):  # a script that goes on asking, without a navigation that would clear the cookie
        outcome = world.sessions.check(browser.arrival("/api", "POST"))
        assert isinstance(outcome, ShowPage)
        assert outcome.page.reason == "REVOKED"
    assert kinds(world) == [("decided", "deny")]
    assert len(world.recorder.of(SignOnDecided)) == 4


async def test_the_end_of_a_session_that_cannot_be_kept_is_an_end_all_the_same() -> None:
    world = SignOnWorld(enforcement=Enforcement.SESSION)
    browser, device = world.browser(), world.device()
    await browser.sign_on(saml_body(), device)
    world.revoke(device)
    world.system_log.full = True
    outcome = world.sessions.check(browser.arrival("/api", "POST"))
    assert isinstance(outcome, ShowPage)
    assert outcome.page.reason == "REVOKED"
