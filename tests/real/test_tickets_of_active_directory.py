"""Tickets of a real Active Directory domain controller (Samba), accepted as the IWA web app accepts them:
what their PAC says of a person and of a computer that adcli joined."""

import gssapi
import pytest
from support.needed_parts import needs
from support.samba import IWA_HOST, REALM, SambaDomain, SambaFailed, missing_parts

from gateway.enrollment.pac import (
    AccountControl,
    AccountKind,
    LogonInfo,
    UpnDnsInfo,
    parse_logon_info,
    parse_upn_dns_info,
)

pytestmark = [pytest.mark.real, needs("Samba", missing_parts)]


def accepted(samba: SambaDomain, cache: str) -> tuple[str, LogonInfo, UpnDnsInfo]:
    """The principal and the PAC of a ticket for the IWA web app."""
    credentials = gssapi.Credentials(usage="accept", store={"keytab": str(samba.iwa_keytab)})
    context = gssapi.SecurityContext(creds=credentials, usage="accept")
    context.step(samba.negotiate(cache, IWA_HOST))
    name = context.initiator_name

    def attribute(label: bytes) -> bytes:
        found = name.attributes[label]
        assert found.authenticated, "the PAC is signed for this service"
        (value,) = found.values
        return bytes(value)

    return (
        str(name),
        parse_logon_info(attribute(b"urn:mspac:logon-info")),
        parse_upn_dns_info(attribute(b"urn:mspac:upn-dns-info")),
    )


def test_a_persons_ticket_says_who_it_is_and_in_which_groups(samba: SambaDomain) -> None:
    principal, info, names = accepted(samba, samba.log_in("alice"))
    assert principal == f"alice@{REALM}"
    assert info.kind is AccountKind.USER
    assert (info.effective_name, info.logon_domain, info.logon_server) == ("alice", "CORP", "DC")
    assert info.user_sid.startswith(f"{info.logon_domain_sid}-")
    # Domain Users; Engineers, by way of it Staff, and by way of that Printers; the asserted identity.
    assert len(info.group_sids) == 5
    assert (names.upn, names.upn_is_constructed) == ("alice@example.com", False)
    assert (names.sid, names.sam_name) == (info.user_sid, "alice")


def test_a_joined_computers_ticket_says_that_it_is_a_computer(samba: SambaDomain) -> None:
    principal, info, names = accepted(samba, samba.log_in_computer("ws1"))
    assert principal == f"WS1$@{REALM}"
    assert info.kind is AccountKind.COMPUTER
    assert AccountControl.WORKSTATION_TRUST in info.account_control
    assert info.primary_group_sid == f"{info.logon_domain_sid}-515", "Domain Computers"
    assert (names.upn_is_constructed, names.sid) == (True, info.user_sid)


def test_a_person_whose_name_ends_like_a_computers_is_a_person_all_the_same(samba: SambaDomain) -> None:
    samba.modify("bob", sAMAccountName="bob$")
    try:
        principal, info, _ = accepted(samba, samba.log_in("bob$", "bob"))
    finally:
        samba.modify("bob$", sAMAccountName="bob")
    assert principal == f"bob$@{REALM}"
    assert info.kind is AccountKind.USER


@pytest.mark.parametrize("name", ["carol", "erin"])
def test_no_ticket_is_to_be_had_by_who_is_disabled_or_expired(samba: SambaDomain, name: str) -> None:
    with pytest.raises(SambaFailed, match="revoked"):
        samba.log_in(name)


def test_the_password_of_a_computer_that_joins_again_is_another_one(samba: SambaDomain) -> None:
    before = samba.computer_keytab("ws1").read_bytes()
    _, first, _ = accepted(samba, samba.log_in_computer("ws1"))
    samba.join("ws1")
    now = samba.computer_keytab("ws1")
    _, second, _ = accepted(samba, samba.log_in_computer("ws1"))
    assert first.user_sid == second.user_sid
    joined_again = now.read_bytes()
    now.write_bytes(before)
    try:
        with pytest.raises(SambaFailed, match="Preauthentication failed"):
            samba.log_in_computer("ws1")
    finally:
        now.write_bytes(joined_again)
