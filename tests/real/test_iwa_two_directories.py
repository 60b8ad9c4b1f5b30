"""The IWA web app with two Active Directory forests that trust each other (Samba): whose accounts enroll, as
whom, and what one forest cannot say of the other's people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from support.iwa_process import AUDIENCE, IWA_ID, IwaAnswer, IwaProcess
from support.needed_parts import needs
from support.samba import (
    COMPUTER,
    PARTNER_REALM,
    REALM,
    SERVICE_ACCOUNT,
    SambaDomain,
    missing_parts,
    password,
)

from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.tokens import UserToken, verify_user_token

pytestmark = [pytest.mark.real, needs("Samba", missing_parts)]

BINDING = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}
OWN = {"realm": REALM, "login": "upn", "upn_suffixes": ["example.com", "ad.example.test"]}
PARTNER = {"realm": PARTNER_REALM, "login": "upn"}


def of_directory(domain: SambaDomain) -> dict[str, Any]:
    file = domain.new_file("password")
    file.write_text(password(SERVICE_ACCOUNT))
    file.chmod(0o600)
    return {
        "realm": domain.realm,
        "urls": [domain.ldaps_url],
        "base": domain.base,
        "ca": str(domain.ca_file),
        "bind": {"user": f"{SERVICE_ACCOUNT}@{domain.realm.lower()}", "password_file": str(file)},
    }


@pytest.fixture(scope="module")
def iwa(
    samba_domain: SambaDomain,
    samba_partner_domain: SambaDomain,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[IwaProcess]:
    changes = {
        "kerberos": {"computers": "pac"},
        "realms": [OWN, PARTNER],
        "directory": [of_directory(samba_domain), of_directory(samba_partner_domain)],
    }
    with IwaProcess.running(samba_domain, tmp_path_factory.mktemp("iwa"), changes=changes) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(samba_partner: SambaDomain) -> None:
    """This process finds both forests."""


def device_step(iwa: IwaProcess, cache: str) -> IwaAnswer:
    return iwa.post("/device", iwa.forests.negotiate(cache, iwa.host), **BINDING)


def user_step(iwa: IwaProcess, cache: str, computer: str) -> IwaAnswer:
    """The person at that computer."""
    token = device_step(iwa, computer).json["device_token"]
    return iwa.post("/user", iwa.forests.negotiate(cache, iwa.host), device_token=token, **BINDING)


def vouched(iwa: IwaProcess, answer: IwaAnswer) -> UserToken:
    assert answer.status == 200, answer.body
    return verify_user_token(
        answer.json["user_token"],
        iwa.key.public_key(),
        issuer=iwa_issuer(IWA_ID),
        audience=AUDIENCE,
        now=datetime.now(UTC),
    )


def test_accounts_of_one_name_in_both_forests_are_two(
    iwa: IwaProcess, samba: SambaDomain, samba_partner: SambaDomain
) -> None:
    own, foreign = (
        vouched(iwa, user_step(iwa, domain.log_in("bob"), domain.log_in_computer(COMPUTER)))
        for domain in (samba, samba_partner)
    )
    assert (own.user.login, foreign.user.login) == ("bob@ad.example.test", "bob@partner.example.test")
    assert (own.device.login, foreign.device.login) == ("ws1.ad.example.test", "ws1.partner.example.test")
    keys = {account.directory_key for token in (own, foreign) for account in (token.user, token.device)}
    assert len(keys) == 4


def test_a_forest_cannot_name_the_people_of_another(
    iwa: IwaProcess, samba: SambaDomain, samba_partner: SambaDomain
) -> None:
    """alice is alice@example.com in both directories; only one of them may say so."""
    own = user_step(iwa, samba.log_in("alice"), samba.log_in_computer(COMPUTER))
    assert vouched(iwa, own).user.login == "alice@example.com"
    foreign = user_step(iwa, samba_partner.log_in("alice"), samba_partner.log_in_computer(COMPUTER))
    assert (foreign.status, foreign.code) == (403, "REALM_NOT_TRUSTED")
    assert "example.com" in foreign.json["detail"]


def test_whoever_is_disabled_in_the_other_forest_is_so_here(
    iwa: IwaProcess, samba_partner: SambaDomain
) -> None:
    computer, bob = samba_partner.log_in_computer(COMPUTER), samba_partner.log_in("bob")
    assert user_step(iwa, bob, computer).code == "ok"
    with samba_partner.changed("bob", userAccountControl="514"):
        assert user_step(iwa, bob, computer).code == "ACCOUNT_DISABLED"


def test_while_one_forest_is_away_the_other_enrolls(
    iwa: IwaProcess, samba: SambaDomain, samba_partner: SambaDomain
) -> None:
    own, foreign = samba.log_in_computer(COMPUTER), samba_partner.log_in_computer(COMPUTER)
    assert device_step(iwa, foreign).code == "ok"
    with samba_partner.stopped():
        assert device_step(iwa, foreign).code == "DIRECTORY_UNAVAILABLE"
        assert device_step(iwa, own).code == "ok"
    assert device_step(iwa, foreign).code == "ok"


def test_a_forest_that_is_trusted_and_not_listed_does_not_enroll(
    iwa: IwaProcess, samba: SambaDomain, samba_partner: SambaDomain
) -> None:
    foreign = samba_partner.log_in_computer(COMPUTER)
    before = {key: iwa.configuration[key] for key in ("realms", "directory")}
    iwa.write({"realms": [OWN], "directory": before["directory"][:1]})
    assert iwa.reload()["event"] == "reloaded"
    try:
        answer = device_step(iwa, foreign)
        assert (answer.status, answer.code) == (403, "REALM_NOT_TRUSTED")
    finally:
        iwa.write(before)
        iwa.reload()


def test_a_forest_whose_accounts_have_the_sids_of_another_is_not_believed(
    iwa: IwaProcess, samba: SambaDomain, samba_partner: SambaDomain
) -> None:
    foreign = samba_partner.log_in_computer(COMPUTER)
    iwa.write({"realms": [OWN, {**PARTNER, "domain_sid": samba.domain_sid()}]})
    assert iwa.reload()["event"] == "reloaded"
    try:
        assert device_step(iwa, foreign).code == "REALM_NOT_TRUSTED"
        iwa.write({"realms": [OWN, {**PARTNER, "domain_sid": samba_partner.domain_sid()}]})
        assert iwa.reload()["event"] == "reloaded"
        assert device_step(iwa, foreign).code == "ok"
    finally:
        iwa.write({"realms": [OWN, PARTNER]})
        iwa.reload()
