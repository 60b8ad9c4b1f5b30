"""Messages and metadata of identity providers by others, before the gateway's own verifier."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.browser import Browser, Step
from support.needed_parts import needs
from support.peers import (
    IdentityProvider,
    IdentityProviderKind,
    Peers,
    RelyingParty,
    RelyingPartyKind,
    missing_parts,
)

from gateway.federation.errors import MessageRejected
from gateway.federation.expectation import Expectation, identity_provider
from gateway.federation.form import parse_form
from gateway.federation.metadata import parse_idp_metadata
from gateway.federation.saml2 import verify_response
from gateway.federation.ws_fed import verify_wresult
from gateway.model.reasons import MessageReason
from gateway.model.settings import FederationProtocol, IdentityProviderSettings

pytestmark = [pytest.mark.real, needs("federation peers", missing_parts)]

HOST = "wiki.apps.example.test"
GROUP_CLAIM = "http://schemas.xmlsoap.org/claims/Group"
SAML, WSFED = RelyingPartyKind.PASSPORT_SAML, RelyingPartyKind.PASSPORT_WSFED
KINDS = [
    pytest.param(IdentityProviderKind.SAMLP, SAML, False, id="samlp signs the assertion"),
    pytest.param(IdentityProviderKind.SAMLP, SAML, True, id="samlp signs assertion and response"),
    pytest.param(IdentityProviderKind.SIMPLESAMLPHP, SAML, False, id="SimpleSAMLphp signs the assertion"),
    pytest.param(
        IdentityProviderKind.SIMPLESAMLPHP, SAML, True, id="SimpleSAMLphp signs assertion and response"
    ),
    pytest.param(IdentityProviderKind.WSFED, WSFED, False, id="wsfed by WS-Federation"),
    pytest.param(IdentityProviderKind.SIMPLESAMLPHP_WSFED, WSFED, False, id="SimpleSAMLphp by WS-Federation"),
]


def sign_on_message(idp: IdentityProvider, app: RelyingParty) -> Step:
    """The request that the browser is about to post to the app's public address."""
    browser = Browser(login=idp.user.login_fields)
    visit = browser.follow(Step("GET", app.upstream + "/login"), until=lambda step: step.host == HOST)
    step = browser.next_step(visit.last)
    assert step is not None, visit
    assert step.url == app.assertion_url
    return step


def expectation(idp: IdentityProvider, app: RelyingParty) -> Expectation:
    ws_fed = app.kind is WSFED
    protocol = FederationProtocol.WS_FED if ws_fed else FederationProtocol.SAML2
    settings = IdentityProviderSettings(
        name="idp",
        protocol=protocol,
        metadata=str(idp.metadata),
        groups_attribute=GROUP_CLAIM if ws_fed else "groups",
        allow_missing_subject_confirmation=idp.kind is IdentityProviderKind.SIMPLESAMLPHP_WSFED,
    )
    metadata = parse_idp_metadata(idp.metadata.read_bytes(), datetime.now(UTC), None, protocol)
    assert idp.sso_url in metadata.sso_locations
    return Expectation(
        idp=identity_provider(settings, metadata),
        audience=app.entity_id,
        recipients=(app.assertion_url,),
    )


@pytest.mark.parametrize(("kind", "relying_party", "sign_response"), KINDS)
def test_a_real_message_is_verified_and_one_for_somebody_else_is_refused(
    kind: IdentityProviderKind, relying_party: RelyingPartyKind, sign_response: bool
) -> None:
    with Peers() as peers:
        planned = peers.plan(relying_party, f"https://{HOST}:8443")
        idp = peers.start_identity_provider(kind, [planned], sign_response=sign_response)
        app = peers.start_relying_party(planned, idp)
        body = sign_on_message(idp, app).body or b""
        expected = expectation(idp, app)
        verify = verify_wresult if relying_party is WSFED else verify_response
        now = datetime.now(UTC)

        verified = verify(parse_form(body), expected, now)
        assert verified.identity.user == idp.user.name
        assert verified.identity.groups == frozenset(idp.user.groups)
        assert verified.issuer == idp.entity_id

        for wrong, when, reason in (
            (replace(expected, audience="https://other.example.test/"), now, MessageReason.AUDIENCE_MISMATCH),
            (expected, now + timedelta(hours=9), MessageReason.EXPIRED_ASSERTION),
            (expected, now - timedelta(hours=1), MessageReason.NOT_YET_VALID_ASSERTION),
            (
                replace(expected, idp=replace(expected.idp, entity_id="urn:example:other")),
                now,
                MessageReason.ISSUER_UNKNOWN,
            ),
        ):
            with pytest.raises(MessageRejected) as refused:
                verify(parse_form(body), wrong, when)
            assert refused.value.reason == reason
