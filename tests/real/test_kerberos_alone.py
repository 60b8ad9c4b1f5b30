"""The tests' Kerberos forests by themselves: trust, passwords and disabled accounts are what they say."""

import gssapi
import pytest
from support.kerberos import IWA_HOST, Forests, KerberosFailed, Trust, missing_parts
from support.needed_parts import needs

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]


def who(forests: Forests, token: bytes) -> str:
    keytab = {"keytab": str(forests.iwa_keytab)}
    context = gssapi.SecurityContext(creds=gssapi.Credentials(usage="accept", store=keytab), usage="accept")
    context.step(token)
    assert context.complete
    return str(context.initiator_name)


def test_people_and_computers_of_both_forests_get_tickets_for_the_web_app(kerberos: Forests) -> None:
    corp, partner = kerberos.realms
    caches = [corp.log_in("alice"), corp.log_in_computer("ws1"), partner.log_in("bob")]
    caches.append(partner.log_in_computer("ws9"))
    assert [who(kerberos, kerberos.negotiate(cache)) for cache in caches] == [
        "alice@CORP.EXAMPLE.TEST",
        "ws1$@CORP.EXAMPLE.TEST",
        "bob@PARTNER.EXAMPLE.TEST",
        "ws9$@PARTNER.EXAMPLE.TEST",
    ]


def test_a_disabled_person_gets_no_ticket_until_enabled_again(kerberos: Forests) -> None:
    with pytest.raises(KerberosFailed, match="revoked"):
        kerberos.corp.log_in("carol")
    kerberos.corp.enable("carol")
    kerberos.corp.log_in("carol")
    kerberos.corp.disable("carol")


@pytest.mark.parametrize("trust", [Trust.NONE, Trust.PARTNER_TRUSTS_CORP])
def test_without_trust_in_that_direction_the_kdc_refuses(trust: Trust) -> None:
    with Forests.running(trust) as forests, forests.entered():
        cache = forests.partner.log_in("bob")
        with pytest.raises(gssapi.exceptions.GSSError, match="not found in Kerberos database"):
            forests.negotiate(cache)
        assert forests.negotiate(forests.corp.log_in("alice"), IWA_HOST)
