"""Whose ticket it is, by the PAC of a domain controller (recorded ones) or by the name alone."""

import pytest
from support.pac_buffers import DOMAIN_SID, PACKED, RECORDED

from gateway.enrollment.pac import AccountKind
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.enrollment.ticket_accounts import ticket_account

ALICE, ALICE_UPN = RECORDED["alice logon-info"], RECORDED["alice upn-dns-info"]
WS1, WS1_UPN = RECORDED["WS1$ logon-info"], RECORDED["WS1$ upn-dns-info"]


def test_the_pac_tells_kind_name_sid_and_login() -> None:
    account = ticket_account("ALICE@AD.EXAMPLE.TEST", ALICE, ALICE_UPN, dollar_sign=False)
    assert (account.kind, account.principal) == (AccountKind.USER, "alice@AD.EXAMPLE.TEST")
    assert (account.sid, account.domain_sid) == (f"{DOMAIN_SID}-1102", DOMAIN_SID)
    assert account.upn == "alice@ad.example.test"
    computer = ticket_account("WS1$@AD.EXAMPLE.TEST", WS1, WS1_UPN, dollar_sign=False)
    assert (computer.kind, computer.dns_domain) == (AccountKind.COMPUTER, "AD.EXAMPLE.TEST")
    assert computer.kind_reason == "account flags 0x280 of the PAC"


def test_a_pac_counts_more_than_a_name() -> None:
    """A person may be called `x$`, where nobody forbids it; and domain controllers are computers."""
    assert ticket_account("evil$@R", ALICE, None, dollar_sign=True).kind is AccountKind.USER
    controller = ticket_account("dc@R", PACKED["domain-controller"], None, dollar_sign=True)
    assert controller.kind is AccountKind.COMPUTER
    assert ticket_account("x$@R", PACKED["trust"], None, dollar_sign=True).kind is AccountKind.OTHER


@pytest.mark.parametrize(
    ("principal", "dollar_sign", "kind"),
    [
        ("ws1$@R", True, AccountKind.COMPUTER),
        ("alice@R", True, AccountKind.USER),
        ("host/ws1.example.test@R", True, AccountKind.OTHER),
        ("alice/admin@R", True, AccountKind.OTHER),
        ("ws1$@R", False, AccountKind.OTHER),
        ("alice@R", False, AccountKind.OTHER),
    ],
)
def test_without_a_pac_the_last_character_tells_only_where_that_is_allowed(
    principal: str, dollar_sign: bool, kind: AccountKind
) -> None:
    account = ticket_account(principal, None, None, dollar_sign=dollar_sign)
    assert account.kind is kind
    assert (account.sid, account.upn) == (None, None)


@pytest.mark.parametrize(
    ("what", "logon", "upn", "says"),
    [
        ("a PAC that is cut", ALICE[:100], None, "NEGOTIATE_FAILED: the PAC is not readable"),
        ("names that are cut", ALICE, ALICE_UPN[:20], "NEGOTIATE_FAILED: the PAC is not readable"),
        ("names of another account", ALICE, WS1_UPN, "NEGOTIATE_FAILED: the PAC has two SIDs"),
        ("a SID of no domain", PACKED["sid-of-no-domain"], None, "NEGOTIATE_FAILED: .* not of its domain"),
    ],
)
def test_a_pac_that_contradicts_itself_is_refused(
    what: str, logon: bytes, upn: bytes | None, says: str
) -> None:
    with pytest.raises(EnrollmentRefused, match=says):
        ticket_account("alice@AD.EXAMPLE.TEST", logon, upn, dollar_sign=False)


def test_an_account_that_was_disabled_already_is_refused() -> None:
    flags = (0x10).to_bytes(4, "little") + bytes(28)  # UserAccountControl, and seven words of nothing
    assert ALICE.count(flags) == 1
    disabled = ALICE.replace(flags, (0x11).to_bytes(4, "little") + bytes(28))
    with pytest.raises(EnrollmentRefused, match="ACCOUNT_DISABLED"):
        ticket_account("alice@AD.EXAMPLE.TEST", disabled, None, dollar_sign=False)
