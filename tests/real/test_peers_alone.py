"""The real parts without the gateway: what must work before anything can be said about the gateway."""

import pytest
from real_parts import PAIRS, Pair
from support.browser import Browser
from support.needed_parts import needs
from support.peers import IdentityProviderKind, Peers, RelyingPartyKind, User, missing_parts

pytestmark = [pytest.mark.real, needs("federation peers", missing_parts)]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_a_person_signs_on_to_the_relying_party(pair: Pair) -> None:
    with Peers() as peers:
        planned = peers.plan(pair.relying_party)
        idp = peers.start_identity_provider(pair.identity_provider, [planned])
        app = peers.start_relying_party(planned, idp)
        visit = Browser(login=idp.user.login_fields).open(app.login_url)
        assert visit.logged_in_user == idp.user.name, visit


def test_a_sign_on_begins_at_the_identity_provider() -> None:
    with Peers() as peers:
        planned = peers.plan(RelyingPartyKind.PASSPORT_SAML)
        idp = peers.start_identity_provider(IdentityProviderKind.SAMLP, [planned])
        app = peers.start_relying_party(planned, idp)
        visit = Browser().open(idp.initiated_url(app))
        assert visit.logged_in_user == idp.user.name, visit


def test_a_relying_party_refuses_an_identity_provider_that_it_does_not_know() -> None:
    with Peers() as peers:
        planned = peers.plan(RelyingPartyKind.PASSPORT_SAML)
        known = peers.start_identity_provider(IdentityProviderKind.SAMLP, [planned])
        stranger = peers.start_identity_provider(
            IdentityProviderKind.SAMLP, [planned], user=User("mallory@example.test")
        )
        app = peers.start_relying_party(planned, known)
        visit = Browser().open(stranger.initiated_url(app))
        assert (visit.status, visit.logged_in_user) == (403, None), visit
