"""The sign-on as dialogues: what the browser does, hop by hop, and what the gateway answers."""

from typing import Any
from urllib.parse import parse_qsl

import pytest
from support import messages, policies
from support.sign_on import SignOnWorld, return_target, saml_body

from gateway.model.device import VerifiedDevice
from gateway.model.events import (
    ChallengeAbandoned,
    ChallengeAnswered,
    MessageRefused,
    SignOnDecided,
    TicketRefused,
)
from gateway.model.pages import PageKind
from gateway.model.settings import ChallengeMode, FederationProtocol
from gateway.services.outcomes import Forward, Outcome, PostOn, Redirect, ShowPage
from gateway.services.ports import OneUseKeysFull, OneUseKeysUnreachable


def reason_of(outcome: Outcome) -> str:
    assert isinstance(outcome, ShowPage), outcome
    return outcome.page.reason


async def test_a_trusted_device_is_let_through_and_the_app_gets_the_rebuilt_message() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()

    begun = await browser.post(body)
    assert isinstance(begun, PostOn)
    assert begun.form.action.startswith("https://n")
    assert ".mtls.example.test/challenge?flow=" in begun.form.action
    assert dict(begun.form.fields).keys() == {"SAMLResponse", "RelayState"}
    assert len(browser.jar.cookies) == 1

    answered = browser.challenge(begun, world.device())
    assert isinstance(answered, Redirect)
    assert answered.status == 307
    assert answered.location.startswith("https://wiki.apps.example.test/saml/acs?dt_ticket=")

    outcome = await browser.post(body, return_target(answered), origin="null")
    assert isinstance(outcome, Forward)
    assert outcome.body is not None
    assert dict(parse_qsl(outcome.body.decode())) == dict(parse_qsl(body.decode()))
    assert outcome.origin == "https://idp.example.test"
    assert outcome.statement is not None
    assert outcome.statement.user == "alice@example.test"
    assert isinstance(outcome.statement.verdict, VerifiedDevice)
    assert browser.jar.cookies == {}


async def test_challenge_redirect_sends_the_message_on_by_307() -> None:
    world = SignOnWorld(challenge=ChallengeMode.REDIRECT)
    browser, body = world.browser(), saml_body()
    begun = await browser.post(body)
    assert isinstance(begun, Redirect)
    assert begun.status == 307
    assert isinstance(await browser.sign_on(body, world.device()), Forward)


async def test_the_app_of_a_ws_fed_provider_is_reached_the_same_way() -> None:
    world = SignOnWorld(protocol=FederationProtocol.WS_FED)
    wresult = messages.sign(messages.rstr(messages.Saml11Assertion().xml()))
    body = messages.body_of(messages.ws_fed_form(wresult))
    outcome = await world.browser().sign_on(body, world.device())
    assert isinstance(outcome, Forward)
    assert outcome.statement is not None
    assert outcome.statement.user == "alice@example.test"


def no_device(world: SignOnWorld) -> Any:
    return None


NOT_TRUSTED = [
    ("no certificate", no_device, "NO_CERTIFICATE"),
    ("another authority's", lambda w: w.device(authority=w.foreign), "UNKNOWN_ISSUER"),
    (
        "an expired one",
        lambda w: w.device(
            not_before=messages.NOW.replace(year=2024), not_after=messages.NOW.replace(year=2025)
        ),
        "EXPIRED",
    ),
    (
        "one that is not valid yet",
        lambda w: w.device(
            not_before=messages.NOW.replace(year=2027), not_after=messages.NOW.replace(year=2028)
        ),
        "NOT_YET_VALID",
    ),
    ("another person's", lambda w: w.device(user="bob@example.test"), "USER_MISMATCH"),
    ("one that names nobody", lambda w: w.device(user=None), "USER_MISMATCH"),
]


@pytest.mark.parametrize(
    ("device", "reason"), [case[1:] for case in NOT_TRUSTED], ids=[c[0] for c in NOT_TRUSTED]
)
async def test_an_untrusted_device_meets_the_locked_page_with_the_reason(device: Any, reason: str) -> None:
    world = SignOnWorld()
    browser = world.browser()
    outcome = await browser.sign_on(saml_body(), device(world))
    assert isinstance(outcome, ShowPage)
    assert (outcome.page.kind, outcome.page.status, outcome.page.reason) == (PageKind.LOCKED, 403, reason)
    assert outcome.page.learn_more_url == "https://help.example.test/device-trust"
    assert browser.jar.cookies == {}
    (decided,) = world.recorder.of(SignOnDecided)
    assert (decided.access, decided.reason, decided.trust_reason) == ("deny", reason, reason)
    assert decided.reference_id == outcome.page.reference_id


async def test_a_revoked_certificate_is_refused() -> None:
    world = SignOnWorld()
    device = world.device()
    world.revoke(device)
    assert reason_of(await world.browser().sign_on(saml_body(), device)) == "REVOKED"


async def test_a_revocation_between_challenge_and_return_still_counts() -> None:
    world = SignOnWorld()
    browser, body, device = world.browser(), saml_body(), world.device()
    answered = browser.challenge(await browser.post(body), device)
    world.revoke(device)
    assert reason_of(await browser.post(body, return_target(answered))) == "REVOKED"


async def test_a_revocation_while_the_message_is_used_up_still_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a store of several gateways is asked, that may take a while. Whoever revoked was told meanwhile
    that it counts everywhere."""
    world = SignOnWorld()
    browser, body, device = world.browser(), saml_body(), world.device()
    answered = browser.challenge(await browser.post(body), device)
    claim = world.one_use_keys.claim

    async def slow(key: str, *of: Any) -> bool:
        if not key.startswith("ticket:"):
            world.revoke(device)
        return await claim(key, *of)

    monkeypatch.setattr(world.one_use_keys, "claim", slow)
    assert reason_of(await browser.post(body, return_target(answered))) == "REVOKED"
    (decided,) = world.recorder.of(SignOnDecided)
    assert (decided.access, decided.trust_reason) == ("deny", "REVOKED")


async def test_a_stale_crl_makes_revocation_unknown() -> None:
    world = SignOnWorld()
    world.clock.advance(hours=3)
    body = saml_body(now=world.clock.now())
    assert reason_of(await world.browser().sign_on(body, world.device())) == "REVOCATION_UNKNOWN"


async def test_with_device_trust_switched_off_trusted_rules_do_not_match_and_the_page_says_so() -> None:
    world = SignOnWorld(device_trust_enabled=False)
    assert reason_of(await world.browser().post(saml_body())) == "DEVICE_TRUST_DISABLED"


# No challenge where trust cannot change the answer.

ANSWERED_AT_ONCE = [
    ("everybody is let in", policies.policy(default="allow"), None),
    (
        "a rule denies whatever the device",
        policies.policy(policies.rule("Nobody", "deny")),
        "RULE Nobody",
    ),
    ("the default denies", policies.policy(default="deny"), "DEFAULT_RULE"),
]


@pytest.mark.parametrize(
    ("policy", "reason"), [c[1:] for c in ANSWERED_AT_ONCE], ids=[c[0] for c in ANSWERED_AT_ONCE]
)
async def test_without_a_challenge_the_policy_is_acted_on_at_once(policy: Any, reason: str | None) -> None:
    outcome = await SignOnWorld(policy).browser().post(saml_body())
    if reason is None:
        assert isinstance(outcome, Forward)
        assert outcome.statement is not None
        assert not isinstance(outcome.statement.verdict, VerifiedDevice)
    else:
        assert reason_of(outcome) == reason


@pytest.mark.parametrize("challenged", [False, True])
async def test_a_monitor_rule_asks_the_device_only_where_the_app_says_so(challenged: bool) -> None:
    policy = policies.policy(
        {
            **policies.rule("Would deny", "deny", device_trust="not_trusted", platforms=["windows"]),
            "status": "monitor",
        },
        default="allow",
    )
    world = SignOnWorld(policy, challenge_for_monitor=challenged)
    outcome = await world.browser().sign_on(saml_body(), None)
    assert isinstance(outcome, Forward)
    (decided,) = world.recorder.of(SignOnDecided)
    assert decided.monitored == (("Would deny",))
    assert decided.device_trust == ("not_trusted" if challenged else "unknown")


MFA = "https://refeds.org/profile/mfa"
FACTORS = [
    ("shown", "every_sign_on", MFA, 0, True),
    ("not shown", "every_sign_on", messages.PASSWORD, 0, False),
    ("shown recently enough", {"every": "30m"}, MFA, 20, True),
    ("shown too long ago", {"every": "30m"}, MFA, 32, False),
]


@pytest.mark.parametrize(
    ("prompt", "context", "minutes_ago", "passes"), [f[1:] for f in FACTORS], ids=[f[0] for f in FACTORS]
)
async def test_a_factor_is_satisfied_only_by_the_assertions_own_context(
    prompt: Any, context: str, minutes_ago: int, passes: bool
) -> None:
    policy = policies.policy(policies.rule("With factor", {"allow": {"prompt_for_factor": prompt}}))
    world = SignOnWorld(policy, factor_contexts=frozenset({MFA}))
    body = saml_body(context=context, not_on_or_after=None, confirmed_until=messages.timedelta(hours=2))
    world.clock.advance(minutes=minutes_ago)
    outcome = await world.browser().post(body)
    if passes:
        assert isinstance(outcome, Forward), outcome
    else:
        assert isinstance(outcome, ShowPage)
        assert outcome.page.kind is PageKind.FACTOR_REQUIRED


# Bindings of the ticket.


async def test_a_ticket_is_worth_nothing_in_another_browser() -> None:
    world = SignOnWorld()
    attacker, victim, body = world.browser(), world.browser(), saml_body()
    answered = victim.challenge(await attacker.post(body), world.device())
    assert reason_of(await victim.post(body, return_target(answered))) == "TICKET_NOT_YOURS"
    (refused,) = world.recorder.of(TicketRefused)
    assert refused.detail == "another browser began this sign-on"


async def test_a_ticket_is_used_once() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    begun = await browser.post(body)
    target = return_target(browser.challenge(begun, None))
    cookies = dict(browser.jar.cookies)
    assert reason_of(await browser.post(body, target)) == "NO_CERTIFICATE"
    browser.jar.cookies = cookies
    assert reason_of(await browser.post(body, target)) == "TICKET_REPLAYED"


async def test_a_ticket_is_for_one_message() -> None:
    world = SignOnWorld()
    browser = world.browser()
    target = return_target(browser.challenge(await browser.post(saml_body()), world.device()))
    other = saml_body(assertion_id="_another")
    assert reason_of(await browser.post(other, target)) == "TICKET_NOT_YOURS"


async def test_a_ticket_is_for_one_app() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body(recipient=None)
    begun = await browser.post(saml_body())
    target = return_target(browser.challenge(begun, world.device()))
    outcome = await browser.post(
        saml_body(recipient="https://payroll.apps.example.test/saml/acs"), target, app="payroll"
    )
    assert body
    # The message itself is for the wiki: either way it goes no further.
    assert reason_of(outcome) in ("TICKET_NOT_YOURS", "RECIPIENT_MISMATCH")


async def test_a_ticket_is_for_one_address() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    answered = browser.challenge(await browser.post(body), world.device())
    target = return_target(answered).replace("?", "?tenant=2&")
    assert reason_of(await browser.post(body, target)) == "TICKET_NOT_YOURS"


@pytest.mark.parametrize(
    ("seconds", "reason"), [(59, None), (61, "TICKET_EXPIRED")], ids=["in time", "too late"]
)
async def test_a_ticket_lives_for_a_minute(seconds: int, reason: str | None) -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    answered = browser.challenge(await browser.post(body), world.device())
    world.clock.advance(seconds=seconds)
    outcome = await browser.post(body, return_target(answered))
    if reason is None:
        assert isinstance(outcome, Forward)
    else:
        assert reason_of(outcome) == reason


async def test_a_made_up_ticket_is_refused() -> None:
    world = SignOnWorld()
    assert reason_of(await world.browser().post(saml_body(), "/saml/acs?dt_ticket=AAAA")) == "TICKET_INVALID"


async def test_a_flow_is_for_one_host_label_and_for_five_minutes() -> None:
    world = SignOnWorld()
    browser, body = world.browser(), saml_body()
    begun = await browser.post(body)
    elsewhere = browser.challenge(begun, world.device(), label="n0123")
    assert reason_of(elsewhere) == "TICKET_INVALID"
    world.clock.advance(seconds=301)
    assert reason_of(browser.challenge(begun, world.device())) == "TICKET_EXPIRED"


async def test_the_longest_return_target_comes_back() -> None:
    world = SignOnWorld(challenge=ChallengeMode.REDIRECT)
    browser, body = world.browser(), saml_body()
    target = "/saml/acs?x=" + '"' * 2036
    begun = await browser.post(body, target, origin="https://idp.example.test/" + '"' * 500)
    answered = browser.challenge(begun, world.device())
    assert isinstance(await browser.post(body, return_target(answered)), Forward)


async def test_a_return_target_that_is_too_long_is_refused_before_the_challenge() -> None:
    outcome = await SignOnWorld().browser().post(saml_body(), "/saml/acs?x=" + "a" * 2037)
    assert isinstance(outcome, ShowPage)
    assert outcome.page.status == 414


async def test_fifty_sign_ons_at_once_in_one_browser_all_succeed() -> None:
    world = SignOnWorld()
    browser, device = world.browser(), world.device()
    bodies = [saml_body(assertion_id=f"_tab{n}") for n in range(50)]
    begun = [await browser.post(body) for body in bodies]
    assert len(browser.jar.cookies) == 50
    answered = [browser.challenge(outcome, device) for outcome in begun]
    outcomes = [
        await browser.post(body, return_target(answer)) for body, answer in zip(bodies, answered, strict=True)
    ]
    assert all(isinstance(outcome, Forward) for outcome in outcomes)
    assert browser.jar.cookies == {}


async def test_flow_cookies_are_bounded_in_number() -> None:
    world = SignOnWorld()
    browser = world.browser()
    for n in range(90):
        await browser.post(saml_body(assertion_id=f"_tab{n}"))
    assert len(browser.jar.cookies) <= 76


# Messages.


async def test_an_assertion_is_used_once_also_where_no_challenge_is_needed() -> None:
    world = SignOnWorld(policies.policy(default="allow"))
    body = saml_body()
    assert isinstance(await world.browser().post(body), Forward)
    assert reason_of(await world.browser().post(body)) == "REPLAYED"


async def test_a_locked_page_does_not_use_the_assertion_up() -> None:
    """The person may come back with the right certificate while the assertion is still good."""
    world = SignOnWorld()
    body = saml_body()
    assert reason_of(await world.browser().sign_on(body, None)) == "NO_CERTIFICATE"
    assert isinstance(await world.browser().sign_on(body, world.device()), Forward)


async def test_a_forged_message_is_refused_before_any_challenge() -> None:
    world = SignOnWorld()
    forged = messages.sign(
        messages.Saml2Response().xml(messages.Saml2Assertion().xml()), key=messages.rsa_key("attacker")
    )
    outcome = await world.browser().post(messages.body_of(messages.saml_form(forged)))
    assert isinstance(outcome, ShowPage)
    assert (outcome.page.kind, outcome.page.status) == (PageKind.MESSAGE_REFUSED, 400)
    assert outcome.page.reason == "SIGNATURE_INVALID"
    (refused,) = world.recorder.of(MessageRefused)
    assert refused.reference_id == outcome.page.reference_id


CONTENT_TYPES = [
    (b"application/x-www-form-urlencoded", True),
    (b"application/x-www-form-urlencoded; charset=UTF-8", True),
    (b'APPLICATION/x-www-form-urlencoded;charset="utf-8"', True),
    (b"application/x-www-form-urlencoded; charset=utf-16", False),
    (b"application/x-www-form-urlencoded, text/plain", False),
    (b"multipart/form-data; boundary=x", False),
    (b"application/json", False),
    (b"", False),
]


@pytest.mark.parametrize(("content_type", "passes"), CONTENT_TYPES)
async def test_an_endpoint_takes_utf_8_forms_only(content_type: bytes, passes: bool) -> None:
    world = SignOnWorld(policies.policy(default="allow"))
    outcome = await world.browser().post(saml_body(), content_type=content_type)
    assert isinstance(outcome, Forward) if passes else reason_of(outcome) == "MALFORMED"


async def test_a_form_without_a_message_passes_as_it_came() -> None:
    outcome = await SignOnWorld().browser().post(b"comment=hello")
    assert outcome == Forward(body=b"comment=hello")


IN_RESPONSE_TO = [
    ("an answer to this app's request", "wiki", False, None),
    ("an answer to another app's request", "payroll", True, "MALFORMED"),
    ("an answer to an unknown request, allowed", None, True, None),
    ("an answer to an unknown request, not allowed", None, False, "MALFORMED"),
]


@pytest.mark.parametrize(
    ("asked_by", "allow_unsolicited", "reason"),
    [case[1:] for case in IN_RESPONSE_TO],
    ids=[case[0] for case in IN_RESPONSE_TO],
)
async def test_a_response_answers_a_request_that_was_seen(
    asked_by: str | None, allow_unsolicited: bool, reason: str | None
) -> None:
    world = SignOnWorld(policies.policy(default="allow"), allow_unsolicited=allow_unsolicited)
    if asked_by is not None:
        world.seen_requests.remember(asked_by, messages.REQUEST_ID, world.clock.now())
    outcome = await world.browser().post(saml_body())
    if reason is None:
        assert isinstance(outcome, Forward)
    else:
        assert reason_of(outcome) == reason


async def test_when_no_more_keys_can_be_remembered_the_sign_on_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SignOnWorld(policies.policy(default="allow"))

    async def full(*_: object) -> bool:
        raise OneUseKeysFull("no room")

    monkeypatch.setattr(world.one_use_keys, "claim", full)
    assert reason_of(await world.browser().post(saml_body())) == "REPLAYED"


async def test_where_nobody_can_tell_whether_it_was_used_before_the_sign_on_is_refused_for_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`fleet.without_store: refuse`. The same message may come again."""
    world = SignOnWorld(policies.policy(default="allow"))

    async def unreachable(*_: object) -> bool:
        raise OneUseKeysUnreachable("the store is gone")

    browser = world.browser()
    with monkeypatch.context() as patched:
        patched.setattr(world.one_use_keys, "claim", unreachable)
        outcome = await browser.post(saml_body())
        assert isinstance(outcome, ShowPage)
        assert (outcome.page.status, outcome.page.reason) == (503, "STORE_UNAVAILABLE")
    assert isinstance(await browser.post(saml_body()), Forward)


# Challenges that never come back.

STAGES = [("never seen by the mTLS host", False, "never_arrived"), ("answered there", True, "never_returned")]


@pytest.mark.parametrize(("arrived", "stage"), [s[1:] for s in STAGES], ids=[s[0] for s in STAGES])
async def test_a_challenge_that_never_comes_back_is_counted(arrived: bool, stage: str) -> None:
    world = SignOnWorld()
    browser = world.browser()
    begun = await browser.post(saml_body())
    if arrived:
        browser.challenge(begun, None)
        assert len(world.recorder.of(ChallengeAnswered)) == 1
    world.clock.advance(seconds=299)
    assert list(world.pending.expire(world.clock.now())) == []
    world.clock.advance(seconds=2)
    (abandoned,) = world.pending.expire(world.clock.now())
    assert isinstance(abandoned, ChallengeAbandoned)
    assert abandoned.stage == stage


async def test_a_challenge_that_came_back_is_not_counted_as_abandoned() -> None:
    world = SignOnWorld()
    await world.browser().sign_on(saml_body(), world.device())
    world.clock.advance(hours=1)
    assert list(world.pending.expire(world.clock.now())) == []
