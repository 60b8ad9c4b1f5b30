"""Which accounts of which forest may enroll, and under which login."""

import pytest

from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.model.iwa_settings import RealmSettings
from gateway.services.realm_rules import RealmRules, computer_name, login_of

CORP_SID, PARTNER_SID = "S-1-5-21-1-1-1", "S-1-5-21-2-2-2"


def account(realm: str = "CORP", domain_sid: str | None = None, **others: str) -> TicketAccount:
    said = {"name": "alice", "kind": AccountKind.USER, "kind_reason": "test", **others}
    return TicketAccount(realm=realm, domain_sid=domain_sid, **said)  # type: ignore[arg-type]


def rules(*realms: RealmSettings) -> RealmRules:
    return RealmRules(realms or (RealmSettings("CORP", "upn"), RealmSettings("PARTNER", "upn")))


def test_only_listed_realms_are_trusted_and_their_case_counts() -> None:
    assert rules().check(account("PARTNER")).realm == "PARTNER"
    for other in ("EVIL", "corp", "SUB.CORP"):
        with pytest.raises(EnrollmentRefused, match=f"REALM_NOT_TRUSTED: {other} is not listed"):
            rules().check(account(other))


def test_a_forest_cannot_show_the_sids_of_another() -> None:
    learned = rules()
    learned.check(account("CORP", CORP_SID))
    with pytest.raises(EnrollmentRefused, match="PARTNER shows SIDs of another realm's domain"):
        learned.check(account("PARTNER", CORP_SID))
    learned.check(account("PARTNER", PARTNER_SID))
    with pytest.raises(EnrollmentRefused, match="the SIDs of PARTNER begin with"):
        learned.check(account("PARTNER", "S-1-5-21-3-3-3"))


def test_a_configured_domain_is_known_before_anybody_comes() -> None:
    told = rules(RealmSettings("CORP", "upn", domain_sid=CORP_SID), RealmSettings("PARTNER", "upn"))
    with pytest.raises(EnrollmentRefused, match="REALM_NOT_TRUSTED"):
        told.check(account("PARTNER", CORP_SID))
    told.check(account("CORP", CORP_SID))


@pytest.mark.parametrize(
    ("rule", "upn", "directory_upn", "login"),
    [
        ("upn", "Alice@example.com", None, "Alice@example.com"),
        ("upn", "alice@example.com", "a.liddell@example.com", "a.liddell@example.com"),
        ("upn", None, None, "alice@corp"),
        ("principal", "alice@example.com", None, "alice@CORP"),
        ("{name}@example.com", "a.liddell@example.org", None, "alice@example.com"),
        ("corp-{name}", None, None, "corp-alice"),
    ],
)
def test_the_login_is_made_as_the_realm_says(
    rule: str, upn: str | None, directory_upn: str | None, login: str
) -> None:
    said = account() if upn is None else account(upn=upn)
    assert login_of(RealmSettings("CORP", rule), said, directory_upn) == login


def test_a_forest_cannot_name_people_of_another() -> None:
    realm = RealmSettings("PARTNER", "upn", upn_suffixes=("partner.example", "partner"))
    assert login_of(realm, account("PARTNER", upn="bob@Partner.Example"), None) == "bob@Partner.Example"
    assert login_of(realm, account("PARTNER"), None) == "alice@partner"
    for upn in ("alice@corp.example", "alice@evil.partner.example", "alice"):
        with pytest.raises(EnrollmentRefused, match="is not among the upn_suffixes of PARTNER"):
            login_of(realm, account("PARTNER", upn=upn), None)
    with pytest.raises(EnrollmentRefused, match="REALM_NOT_TRUSTED"):  # its directory is its own, too
        login_of(realm, account("PARTNER"), "alice@corp.example")


@pytest.mark.parametrize(
    ("dns_domain", "directory_name", "name"),
    [
        ("CORP.EXAMPLE.COM", None, "ws1.corp.example.com"),
        (None, None, "ws1"),
        ("CORP.EXAMPLE.COM", "ws1.berlin.example.com", "ws1.berlin.example.com"),
    ],
)
def test_a_computer_is_known_by_its_dns_name(
    dns_domain: str | None, directory_name: str | None, name: str
) -> None:
    said = TicketAccount("WS1$", "CORP", AccountKind.COMPUTER, "test", dns_domain=dns_domain)
    assert computer_name(said, directory_name) == name
