"""From the certificate of a key in a TPM to the decision, the statement and the log; and of other keys."""

from dataclasses import replace

import jwt
import pytest
from support import policies
from support.sign_on import STATEMENT_KEY, SignOnWorld, return_target, saml_body

from gateway.model.device import VerifiedDevice
from gateway.model.events import ChallengeAnswered, SignOnDecided
from gateway.model.settings import Enforcement
from gateway.pki.certificate_profile import VERIFIED_TPM_FIXED
from gateway.proxy.cookies import SESSION_COOKIE
from gateway.services.outcomes import Forward, Redirect, ShowPage
from gateway.services.statements import StatementSigner

HARDWARE_ONLY = policies.policy(
    policies.rule("Hardware", platforms=["windows"], device_trust="trusted", hardware_key="required")
)
ANY_TRUSTED = policies.policy(policies.rule("Trusted", platforms=["windows"], device_trust="trusted"))
TPM = (VERIFIED_TPM_FIXED,)


@pytest.mark.parametrize(
    ("builtin", "certificate_policies", "reason"),
    [
        (True, TPM, None),
        (True, ("2.5.29.32.0", *TPM), None),
        (True, (), "NO_HARDWARE_KEY"),
        (True, ("2.23.133.11.1.1",), "NO_HARDWARE_KEY"),
        (False, TPM, "NO_HARDWARE_KEY"),
    ],
    ids=[
        "a verified key",
        "a verified key, among other policies",
        "a key in a file",
        "of a TPM, but not fixed in it",
        "another authority's word",
    ],
)
async def test_only_the_built_in_authoritys_word_that_the_key_is_in_a_tpm_opens_the_app(
    builtin: bool, certificate_policies: tuple[str, ...], reason: str | None
) -> None:
    world = SignOnWorld(HARDWARE_ONLY, builtin=builtin)
    device = world.device(certificate_policies=certificate_policies)
    outcome = await world.browser().sign_on(saml_body(), device)
    (decided,) = world.recorder.of(SignOnDecided)
    (answered,) = world.recorder.of(ChallengeAnswered)
    assert decided.device_trust == "trusted"
    if reason is None:
        assert isinstance(outcome, Forward)
        assert (decided.reason, decided.hardware_key, answered.hardware_key) == ("RULE Hardware", True, True)
    else:
        assert isinstance(outcome, ShowPage)
        assert (outcome.page.status, outcome.page.reason) == (403, reason)
        assert (decided.access, decided.reason, decided.hardware_key) == ("deny", reason, False)
        assert not answered.hardware_key


async def test_without_a_certificate_the_page_says_so_and_nothing_of_keys() -> None:
    outcome = await SignOnWorld(HARDWARE_ONLY, builtin=True).browser().sign_on(saml_body(), None)
    assert isinstance(outcome, ShowPage)
    assert outcome.page.reason == "NO_CERTIFICATE"


async def test_a_rule_that_denies_all_is_the_reason_where_no_key_would_help() -> None:
    world = SignOnWorld(
        policies.policy(
            policies.rule("Nobody", "deny", platforms=["windows"], device_trust="trusted"),
            policies.rule("Hardware", platforms=["windows"], device_trust="trusted", hardware_key="required"),
            policies.rule("Untrusted", platforms=["windows"], device_trust="not_trusted"),
        ),
        builtin=True,
    )
    outcome = await world.browser().sign_on(saml_body(), world.device())
    assert isinstance(outcome, ShowPage)
    assert outcome.page.reason == "RULE Nobody"


@pytest.mark.parametrize("in_hardware", [True, False])
async def test_the_app_is_told_in_the_signed_statement(in_hardware: bool) -> None:
    world = SignOnWorld(ANY_TRUSTED, builtin=True)
    device = world.device(certificate_policies=TPM if in_hardware else ())
    outcome = await world.browser().sign_on(saml_body(), device)
    assert isinstance(outcome, Forward)
    assert outcome.statement is not None
    fields = dict(StatementSigner("acme", [STATEMENT_KEY]).headers(outcome.statement, world.clock.now()))
    claims = jwt.decode(
        fields[b"X-Device-Trust-Assertion"], STATEMENT_KEY.public_key(), ["ES256"], audience="wiki",
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert claims["hardware_key"] is in_hardware


async def test_a_session_keeps_what_is_known_of_the_key() -> None:
    world = SignOnWorld(HARDWARE_ONLY, builtin=True, enforcement=Enforcement.SESSION)
    browser = world.browser()
    await browser.sign_on(saml_body(), world.device(certificate_policies=TPM))
    outcome = world.sessions.check(browser.arrival("/page", "GET"))
    assert isinstance(outcome, Forward)
    assert outcome.statement is not None
    assert isinstance(outcome.statement.verdict, VerifiedDevice)
    assert outcome.statement.verdict.hardware_key


async def test_where_the_policy_now_asks_for_a_hardware_key_a_navigation_may_show_one() -> None:
    world = SignOnWorld(ANY_TRUSTED, builtin=True, enforcement=Enforcement.SESSION)
    browser = world.browser()
    await browser.sign_on(saml_body(), world.device())
    before = world.live.current
    wiki = replace(before.apps_by_name["wiki"], policy=HARDWARE_ONLY)
    world.live.replace(replace(before, apps_by_name={**before.apps_by_name, "wiki": wiki}))

    script = world.sessions.check(browser.arrival("/page", "PUT"))
    assert isinstance(script, ShowPage)
    assert script.page.reason == "NO_HARDWARE_KEY"
    begun = world.sessions.check(browser.arrival("/page", "GET"))
    assert isinstance(begun, Redirect)
    browser.jar.take(begun.response_fields)
    answered = browser.challenge(begun, world.device(certificate_policies=TPM))
    outcome = await world.sessions.returned(browser.arrival(return_target(answered), "GET"))
    assert isinstance(outcome, Redirect)
    browser.jar.take(outcome.response_fields)
    assert SESSION_COOKIE in browser.jar.cookies
    assert isinstance(world.sessions.check(browser.arrival("/page", "PUT")), Forward)
