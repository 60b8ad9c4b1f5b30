"""What a PAC says of an account; real buffers of a Samba domain controller, and what is refused of them."""

import struct

import pytest
from support.pac_buffers import DOMAIN_SID, PACKED, RECORDED

from gateway.enrollment.pac import (
    MAX_BUFFER_OCTETS,
    AccountControl,
    AccountKind,
    LogonInfo,
    PacInvalid,
    UpnDnsInfo,
    parse_logon_info,
    parse_upn_dns_info,
)

ALICE = RECORDED["alice logon-info"]
ALICE_UPN = RECORDED["alice upn-dns-info"]
# S-1-18-1, "the authentication authority asserted who it is", is the extra SID that all accounts have.
ASSERTED = "S-1-18-1"


def test_a_person_is_read_from_the_ticket_of_a_domain_controller() -> None:
    assert parse_logon_info(ALICE) == LogonInfo(
        user_sid=f"{DOMAIN_SID}-1102",
        primary_group_sid=f"{DOMAIN_SID}-513",
        group_sids=(*(f"{DOMAIN_SID}-{group}" for group in (513, 1104, 1105, 1106)), ASSERTED),
        account_control=AccountControl.NORMAL,
        effective_name="alice",
        full_name="Alice Liddell",
        logon_server="DC",
        logon_domain="CORP",
        logon_domain_sid=DOMAIN_SID,
    )
    assert parse_logon_info(ALICE).kind is AccountKind.USER
    assert parse_upn_dns_info(ALICE_UPN) == UpnDnsInfo(
        "alice@ad.example.test", "AD.EXAMPLE.TEST", False, "alice", f"{DOMAIN_SID}-1102"
    )


def test_a_computer_is_told_from_a_person_by_its_account_control() -> None:
    computer = parse_logon_info(RECORDED["WS1$ logon-info"])
    assert computer.kind is AccountKind.COMPUTER
    assert AccountControl.WORKSTATION_TRUST in computer.account_control
    assert (computer.effective_name, computer.full_name) == ("WS1$", "")
    assert computer.group_sids == (f"{DOMAIN_SID}-515", ASSERTED)
    assert parse_upn_dns_info(RECORDED["WS1$ upn-dns-info"]) == UpnDnsInfo(
        "WS1$@ad.example.test", "AD.EXAMPLE.TEST", True, "WS1$", f"{DOMAIN_SID}-1107"
    )


def test_groups_of_other_domains_and_resource_groups_count_and_disabled_ones_do_not() -> None:
    assert parse_logon_info(PACKED["several-domains"]).group_sids == (
        "S-1-5-21-1-2-3-513",
        "S-1-5-21-1-2-3-1110",
        "S-1-5-21-9-8-7-1200",  # 1201 has not the bit for enabled
        ASSERTED,
        "S-1-5-21-1-2-3-1150",
        "S-1-5-21-1-2-3-1151",
    )
    assert parse_logon_info(PACKED["several-domains"]).full_name == "Bób Ünïcode"


def test_an_account_of_no_relative_identifier_has_the_first_extra_sid() -> None:
    info = parse_logon_info(PACKED["sid-of-no-domain"])
    assert (info.user_sid, info.group_sids) == ("S-1-5-21-9-8-7-1200", (ASSERTED,))


@pytest.mark.parametrize(
    ("buffer", "kind"), [("domain-controller", AccountKind.COMPUTER), ("trust", AccountKind.OTHER)]
)
def test_other_accounts_have_their_kind(buffer: str, kind: AccountKind) -> None:
    assert parse_logon_info(PACKED[buffer]).kind is kind


def at(offset: int, *words: int, of: bytes = ALICE) -> bytes:
    changed = bytearray(of)
    struct.pack_into(f"<{len(words)}I", changed, offset, *words)
    return bytes(changed)


# Where fields are in a KERB_VALIDATION_INFO with its headers: 16 octets of these, 4 of the first pointer.
EFFECTIVE_NAME, USER_ID, GROUP_COUNT, GROUPS = 68, 120, 128, 132
DOMAIN_ID, CONTROL, EXTRA_COUNT, EXTRA, RESOURCE_COUNT = 172, 184, 216, 220, 228


@pytest.mark.parametrize("control", [0x90, 0x180, 0x50, 0, 0x200])
def test_an_account_of_two_kinds_or_none_is_of_neither(control: int) -> None:
    assert parse_logon_info(at(CONTROL, control)).kind is AccountKind.OTHER


@pytest.mark.parametrize(
    ("what", "buffer"),
    [
        ("nothing", b""),
        ("the headers alone", ALICE[:16]),
        ("big-endian", bytes([1, 0]) + ALICE[2:]),
        ("another version", bytes([2]) + ALICE[1:]),
        ("more octets announced than there are", at(8, len(ALICE))),
        ("fewer octets announced than are needed", at(8, 200)),
        ("a null pointer", at(16, 0)),
        ("an odd number of octets in a name", at(EFFECTIVE_NAME, 0x000B_000B)),
        ("a name longer than its maximum", at(EFFECTIVE_NAME, 0x0004_000A)),
        ("a name longer than its characters", at(EFFECTIVE_NAME, 0x000C_000C)),
        ("a name that is null and has a length", at(EFFECTIVE_NAME + 4, 0)),
        ("no SID", at(DOMAIN_ID, 0)),
        ("fewer groups than counted", at(GROUP_COUNT, 5)),
        ("groups counted without end", at(GROUP_COUNT, 0xFFFF_FFFF)),
        ("groups counted, and none there", at(GROUPS, 0)),
        ("extra SIDs counted without end", at(EXTRA_COUNT, 0x7FFF_FFFF)),
        ("extra SIDs counted, and none there", at(EXTRA, 0)),
        ("resource groups counted, and none there", at(RESOURCE_COUNT, 1)),
        ("an account without any SID", at(EXTRA_COUNT, 0, 0, of=at(USER_ID, 0))),
        ("too large", ALICE + bytes(MAX_BUFFER_OCTETS)),
    ],
)
def test_what_is_no_logon_information_is_refused(what: str, buffer: bytes) -> None:
    with pytest.raises(PacInvalid):
        parse_logon_info(buffer)


@pytest.mark.parametrize("length", range(0, len(ALICE) - 8, 4))
def test_logon_information_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(PacInvalid):
        parse_logon_info(at(8, length - 16, of=ALICE[:length]) if length >= 16 else ALICE[:length])


def upn(*words: int, flags: int = 2) -> bytes:
    return struct.pack("<4HI4H", *words[:4], flags, *words[4:]) + ALICE_UPN[20:]


RIGHT = struct.unpack_from("<4HI4H", ALICE_UPN)
UPN, DNS, NAME, SID = RIGHT[0:2], RIGHT[2:4], RIGHT[5:7], RIGHT[7:9]


def test_names_of_an_older_domain_controller_come_without_sid() -> None:
    older = parse_upn_dns_info(upn(*UPN, *DNS, *NAME, *SID, flags=1))
    assert older == UpnDnsInfo("alice@ad.example.test", "AD.EXAMPLE.TEST", True, None, None)


@pytest.mark.parametrize(
    ("what", "buffer"),
    [
        ("nothing", b""),
        ("half a header", ALICE_UPN[:8]),
        ("a header without the names that it announces", ALICE_UPN[:14]),
        ("a name beyond the end", upn(UPN[0], len(ALICE_UPN), *DNS, *NAME, *SID)),
        ("a name of half a character", upn(UPN[0] - 1, UPN[1], *DNS, *NAME, *SID)),
        ("a SID that is none", upn(*UPN, *DNS, *NAME, SID[0] - 4, SID[1])),
        ("a SID beyond the end", upn(*UPN, *DNS, *NAME, SID[0], 0xFFF8)),
        ("too large", ALICE_UPN + bytes(MAX_BUFFER_OCTETS)),
    ],
)
def test_what_is_no_upn_information_is_refused(what: str, buffer: bytes) -> None:
    with pytest.raises(PacInvalid):
        parse_upn_dns_info(buffer)
