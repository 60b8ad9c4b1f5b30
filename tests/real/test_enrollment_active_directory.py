"""A company with Active Directory (Samba): a computer that adcli joined enrolls whoever is logged on, and
what the directory says of an account counts at once."""

import re
from collections.abc import Iterator

import pytest
from support import peers as peers_support
from support import private_etc, samba
from support.company import Company, company
from support.needed_parts import needs
from support.peers import User
from support.samba import BASE, COMPUTER, REALM, SERVICE_ACCOUNT, SambaDomain
from support.workstation import Workstation

pytestmark = [
    pytest.mark.real,
    needs("Samba", samba.missing_parts),
    needs("federation peers", peers_support.missing_parts),
    needs("private /etc", private_etc.missing_parts),
]
ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def corp(samba_domain: SambaDomain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    directory = {
        "realm": REALM,
        "urls": [samba_domain.ldap_url],
        "base": BASE,
        "bind": {"sasl": "gssapi", "keytab": str(samba_domain.iwa_keytab), "principal": SERVICE_ACCOUNT},
    }
    changes = {
        "kerberos": {"computers": "pac"},
        "realms": [{"realm": REALM, "login": "upn"}],
        "directory": [directory],
    }
    place = tmp_path_factory.mktemp("company")
    with company(samba_domain, place, user=User(ALICE), iwas=("hq-1",), iwa_changes=changes) as made:
        made.add_user(ALICE)
        yield made


@pytest.fixture(scope="module")
def alice(corp: Company) -> Workstation:
    station = corp.workstation(COMPUTER, "alice")
    station.start_device_part()
    return station


def test_a_joined_computer_enrolls_and_signs_on(corp: Company, alice: Workstation) -> None:
    known = corp.certificate(alice.enroll())
    device = corp.ask("GET", f"/api/v1/devices/{known['deviceId']}")
    assert device["profile"]["displayName"] == "ws1.ad.example.test"
    assert re.fullmatch(r"S-1-5-21-\d+-\d+-\d+-\d+", device["profile"]["sid"])
    assert alice.sign_on(corp.app.login_url).logged_in_user == ALICE


def test_who_is_disabled_in_the_directory_is_refused_although_the_tickets_are_good(
    corp: Company, alice: Workstation, samba_domain: SambaDomain
) -> None:
    """Also not renewed by the certificate that there is. That goes on until somebody revokes it."""
    before = alice.enroll()
    with samba_domain.changed("alice", userAccountControl="514"):
        ran = alice.agent("--user", "--force-renewal")
        assert ran.status == 1, ran
        assert "refused at step 3: ACCOUNT_DISABLED: The account is disabled." in ran.errors
    assert alice.certificate() == before
    assert alice.agent("--user", "--force-renewal").status == 0
    assert corp.certificate(alice.certificate())["replaces"] == corp.certificate(before)["thumbprint"]
