"""A message is verified once on its way through the challenge; and all that makes it be verified again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import messages
from support.sign_on import SignOnBrowser, SignOnWorld, return_target, saml_body

from gateway.federation.expectation import Expectation, VerifiedMessage
from gateway.federation.form import MessageForm
from gateway.federation.saml2 import verify_response
from gateway.federation.validity import replay_key
from gateway.model.settings import FederationProtocol
from gateway.services.outcomes import Forward, Outcome, ShowPage
from gateway.services.snapshot import App
from gateway.services.verified_messages import MAX_EXPECTED_BODY_BYTES, VerifiedMessages

Verifications = list[MessageForm]


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Verifications:
    """The forms that were verified from here on."""
    seen: Verifications = []

    def counting(form: MessageForm, expectation: Expectation, now: Any) -> VerifiedMessage:
        seen.append(form)
        return verify_response(form, expectation, now)

    monkeypatch.setattr("gateway.services.messages.verify_response", counting)
    return seen


def reason_of(outcome: Outcome) -> str | None:
    return outcome.page.reason if isinstance(outcome, ShowPage) else None


async def to_the_challenge_and_back(world: SignOnWorld, browser: SignOnBrowser, body: bytes) -> str:
    """The address, with its ticket, that the browser is about to post the message to again."""
    return return_target(browser.challenge(await browser.post(body), world.device()))


def reload(world: SignOnWorld, **changes: Any) -> None:
    """The configuration anew: the same, or with changes of the app."""
    current = world.live.current

    def made_again(app: App) -> App:
        return replace(app, **changes)

    by_name = {name: made_again(app) for name, app in current.apps_by_name.items()}
    world.live.replace(
        replace(
            current,
            apps_by_name=by_name,
            apps_by_host={app.settings.host: app for app in by_name.values()},
        )
    )


async def test_a_message_that_comes_back_is_not_verified_again(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    assert len(verifications) == 1
    outcome = await browser.post(body, target)
    assert isinstance(outcome, Forward)
    assert outcome.statement is not None
    assert outcome.statement.user == "alice@example.test"
    assert outcome.body is not None
    assert len(verifications) == 1
    assert reason_of(await browser.post(body)) == "REPLAYED"


async def test_another_spelling_of_the_same_fields_is_the_same_message(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    spelled = body.replace(b"SAMLResponse", b"SAML%52esponse")
    assert spelled != body
    outcome = await browser.post(spelled, target)
    assert isinstance(outcome, Forward)
    assert outcome.body == body
    assert len(verifications) == 1


async def test_it_stands_for_one_return(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    browser.jar.cookies.clear()
    assert reason_of(await browser.post(body, target)) == "TICKET_NOT_YOURS"
    assert len(verifications) == 1
    assert reason_of(await browser.post(body, target)) == "TICKET_NOT_YOURS"
    assert len(verifications) == 2


async def test_a_message_without_a_ticket_is_always_verified(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    await browser.post(body)
    await browser.post(body)
    assert len(verifications) == 2


async def test_another_message_is_verified_by_itself(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    forged = messages.sign(
        messages.Saml2Response().xml(messages.Saml2Assertion().xml()), key=messages.rsa_key("attacker")
    )
    other = messages.body_of(messages.saml_form(forged))
    assert reason_of(await browser.post(other, target)) == "SIGNATURE_INVALID"
    changed = body.replace(b"RelayState=state-1", b"RelayState=state-2")
    assert changed != body
    assert reason_of(await browser.post(changed, target)) == "TICKET_NOT_YOURS"
    assert len(verifications) == 3


async def test_the_same_message_at_another_app_or_address_is_verified_there(
    verifications: Verifications,
) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    assert reason_of(await browser.post(body, target, app="payroll")) == "RECIPIENT_MISMATCH"
    elsewhere = target.replace("/saml/acs", "/saml/acs2")
    assert reason_of(await browser.post(body, elsewhere)) == "RECIPIENT_MISMATCH"
    assert len(verifications) == 3


async def test_after_a_reload_the_message_is_verified_again(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    reload(world)
    assert isinstance(await browser.post(body, target), Forward)
    assert len(verifications) == 2


async def test_new_metadata_without_the_old_key_refuses_what_the_old_key_signed() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    provider = world.live.current.apps_by_name["wiki"].identity_provider
    new_key = messages.rsa_key("new").public_key()
    reload(world, identity_provider=replace(provider, signing_keys=(new_key,)))
    assert reason_of(await browser.post(body, target)) == "SIGNATURE_INVALID"


async def test_a_revocation_is_no_reload_and_still_counts(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser, body, device = world.browser(), saml_body(), world.device()
    target = return_target(browser.challenge(await browser.post(body), device))
    world.revoke(device)
    assert reason_of(await browser.post(body, target)) == "REVOKED"
    assert len(verifications) == 1


SECONDS = timedelta(seconds=1)
ENDS: list[tuple[str, dict[str, Any]]] = [
    ("its conditions", {"not_on_or_after": 30 * SECONDS}),
    ("its confirmation", {"confirmed_until": 30 * SECONDS}),
    ("the person's session", {"session_until": 30 * SECONDS}),
]


@pytest.mark.parametrize("changes", [case[1] for case in ENDS], ids=[case[0] for case in ENDS])
@pytest.mark.parametrize(
    ("seconds", "reason"), [(89, None), (90, "EXPIRED_ASSERTION")], ids=["in time", "past its end and skew"]
)
async def test_a_message_that_ends_on_the_way_is_refused(
    changes: dict[str, Any], seconds: int, reason: str | None, verifications: Verifications
) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body(**changes)
    begun = await browser.post(body)
    world.clock.advance(seconds=45)
    target = return_target(browser.challenge(begun, world.device()))
    world.clock.advance(seconds=seconds - 45)
    assert reason_of(await browser.post(body, target)) == reason
    assert len(verifications) == (1 if reason is None else 2)


async def test_metadata_that_ends_on_the_way_refuses_the_message() -> None:
    world = SignOnWorld()
    reload(world, metadata_valid_until=world.clock.now() + 10 * SECONDS)
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    world.clock.advance(seconds=10)
    assert reason_of(await browser.post(body, target)) == "ISSUER_UNKNOWN"


async def test_after_the_clock_was_set_back_the_message_is_verified_again(
    verifications: Verifications,
) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    world.clock.advance(hours=-1)
    assert reason_of(await browser.post(body, target)) == "NOT_YET_VALID_ASSERTION"
    assert len(verifications) == 2


async def test_an_assertion_that_was_used_on_the_way_is_replayed() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    now = world.clock.now()
    key = f"assertion:{replay_key(messages.ISSUER, '_assertion1')}"
    assert await world.one_use_keys.claim(key, now + 600 * SECONDS, now)
    assert reason_of(await browser.post(body, target)) == "REPLAYED"


async def test_a_request_that_turns_out_to_be_another_apps_is_not_answered_here() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    target = await to_the_challenge_and_back(world, browser, body)
    world.seen_requests.remember("payroll", messages.REQUEST_ID, world.clock.now())
    assert reason_of(await browser.post(body, target)) == "MALFORMED"


LATER_BEARER = (
    f'<saml:SubjectConfirmation Method="{messages.BEARER}"><saml:SubjectConfirmationData '
    f'Recipient="{messages.RECIPIENT}" NotOnOrAfter="{messages.instant(messages.NOW + 300 * SECONDS)}"/>'
    "</saml:SubjectConfirmation>"
)


async def test_where_an_earlier_confirmation_may_come_to_hold_the_message_is_verified_again(
    verifications: Verifications,
) -> None:
    world = SignOnWorld()
    browser = world.browser()
    body = saml_body(recipient="https://other.example.test/", extra_subject=LATER_BEARER)
    target = await to_the_challenge_and_back(world, browser, body)
    assert isinstance(await browser.post(body, target), Forward)
    assert len(verifications) == 2


async def test_a_large_message_is_verified_again_instead_of_being_kept(verifications: Verifications) -> None:
    world = SignOnWorld()
    browser = world.browser()
    body = saml_body(groups=("g" * MAX_EXPECTED_BODY_BYTES,))
    target = await to_the_challenge_and_back(world, browser, body)
    assert isinstance(await browser.post(body, target), Forward)
    assert len(verifications) == 2


async def test_a_ws_fed_token_is_known_again_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SignOnWorld(protocol=FederationProtocol.WS_FED)
    wresult = messages.sign(messages.rstr(messages.Saml11Assertion().xml()))
    browser, body = world.browser(), messages.body_of(messages.ws_fed_form(wresult))
    target = await to_the_challenge_and_back(world, browser, body)

    def again(*_: object) -> VerifiedMessage:
        raise AssertionError("verified a second time")

    monkeypatch.setattr("gateway.services.messages.verify_wresult", again)
    assert isinstance(await browser.post(body, target), Forward)


# The memory by itself.


def verified(world: SignOnWorld) -> VerifiedMessage:
    form = messages.saml_form(messages.sign(messages.Saml2Response().xml(messages.Saml2Assertion().xml())))
    app = world.live.current.apps_by_name["wiki"]
    expectation = Expectation(app.identity_provider, messages.AUDIENCE, (messages.RECIPIENT,))
    return verify_response(form, expectation, world.clock.now())


AGES: list[tuple[str, Callable[[timedelta], timedelta], bool]] = [
    ("within the time of a challenge and its ticket", lambda longest: longest - SECONDS, True),
    ("after it", lambda longest: longest, False),
]


@pytest.mark.parametrize(("age", "known"), [case[1:] for case in AGES], ids=[case[0] for case in AGES])
def test_nothing_is_known_for_longer_than_a_challenge_takes(
    age: Callable[[timedelta], timedelta], known: bool
) -> None:
    world = SignOnWorld()
    now = world.clock.now()
    arrival = world.browser().arrival("/saml/acs")
    expected = VerifiedMessages()
    expected.expect(arrival, "d1", replace(verified(world), steady_until=now + timedelta(days=1)), now)
    found = expected.take(arrival, "d1", now + age(timedelta(seconds=360)))
    assert (found is not None) == known
    assert len(expected) == 0


def test_the_number_of_messages_is_bounded_and_the_oldest_go() -> None:
    world = SignOnWorld()
    now = world.clock.now()
    arrival = world.browser().arrival("/saml/acs")
    expected = VerifiedMessages(limit=2)
    for number in (1, 2, 1, 3):
        expected.expect(arrival, f"d{number}", verified(world), now)
    assert len(expected) == 2
    assert expected.take(arrival, "d2", now) is None
    assert expected.take(arrival, "d1", now) is not None
    assert expected.take(arrival, "d3", now) is not None


def test_what_never_came_back_is_forgotten_with_the_next_ones() -> None:
    world = SignOnWorld()
    now = world.clock.now()
    arrival = world.browser().arrival("/saml/acs")
    expected = VerifiedMessages()
    for number in range(4):
        expected.expect(arrival, f"old{number}", verified(world), now)
    for number in range(2):
        expected.expect(arrival, f"new{number}", verified(world), now + 360 * SECONDS)
    assert len(expected) == 2
