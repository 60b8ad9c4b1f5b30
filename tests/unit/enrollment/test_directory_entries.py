"""What entries of Active Directory say of an account, and what is asked for."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from gateway.enrollment.directory_entries import (
    MAX_GROUPS,
    EntryInvalid,
    Group,
    account_filter,
    escaped,
    groups_filter,
    read_account,
    read_group,
    token_groups,
)
from gateway.enrollment.security_identifiers import sid_octets
from gateway.model.directory import DirectoryAccount

SID = "S-1-5-21-1-2-3-1103"
GUID = uuid.UUID("93bfc936-dd32-4456-a0dc-dce640622713")
NAME = "CN=alice,CN=Users,DC=corp,DC=example,DC=com"
ENTRY = {
    "samaccountname": [b"alice"],
    "objectsid": [sid_octets(SID)],
    "objectguid": [GUID.bytes_le],
    "useraccountcontrol": [b"512"],
    "accountexpires": [b"9223372036854775807"],
    "userprincipalname": ["alicé@example.com".encode()],
}
COMPUTED = {"msds-user-account-control-computed": [b"0"]}
STAFF = Group("CN=Staff,DC=corp,DC=example,DC=com", "Staff", "S-1-5-21-1-2-3-1200")


def read(
    changes: Mapping[str, list[bytes]] = {}, computed: Mapping[str, list[bytes]] = COMPUTED
) -> DirectoryAccount:
    """The account of ENTRY with other attributes; an empty list leaves one out."""
    entry = {name: values for name, values in {**ENTRY, **changes}.items() if values}
    return read_account(NAME, entry, computed, [STAFF])


def test_a_person_is_read_with_all_that_is_asked() -> None:
    assert read() == DirectoryAccount(
        name="alice",
        distinguished_name=NAME,
        is_computer=False,
        is_disabled=False,
        expires=None,
        login="alicé@example.com",
        sid=SID,
        guid=str(GUID),
        groups=frozenset({"staff", "cn=staff,dc=corp,dc=example,dc=com"}),
    )


@pytest.mark.parametrize("control", [b"4096", b"69632", b"8192", b"532480"])
def test_a_computer_is_called_by_its_dns_name(control: bytes) -> None:
    computer = read({"useraccountcontrol": [control], "dnshostname": [b"ws1.corp.example.com"]})
    assert (computer.is_computer, computer.login) == (True, "ws1.corp.example.com")


def test_an_account_without_principal_or_host_name_has_no_login() -> None:
    assert read({"userprincipalname": []}).login is None
    assert read({"useraccountcontrol": [b"4096"]}).login is None


@pytest.mark.parametrize(
    ("what", "control", "computed", "is_disabled"),
    [
        ("an ordinary one", b"512", b"0", False),
        ("one whose password never expires", b"66048", b"0", False),
        ("one whose password has expired, which the person can change", b"512", b"8388608", False),
        ("a disabled one", b"514", b"0", True),
        ("a disabled computer", b"4098", b"0", True),
        ("one that is locked out", b"512", b"16", True),
        ("one that is computed to be disabled", b"512", b"2", True),
        ("a bit of the sign", b"-2147483136", b"0", False),
    ],
)
def test_disabled_is_what_the_directory_gives_no_tickets(
    what: str, control: bytes, computed: bytes, is_disabled: bool
) -> None:
    account = read({"useraccountcontrol": [control]}, {"msds-user-account-control-computed": [computed]})
    assert account.is_disabled is is_disabled


@pytest.mark.parametrize(
    ("written", "expires"),
    [
        (b"0", None),
        (b"9223372036854775807", None),
        (b"9223372036854775806", None),  # after the year 9999
        (b"130000000000000000", datetime(2012, 12, 14, 23, 6, 40, tzinfo=UTC)),
        (b"1", datetime(1601, 1, 1, tzinfo=UTC)),
    ],
)
def test_accounts_expire_when_the_directory_says(written: bytes, expires: datetime | None) -> None:
    assert read({"accountexpires": [written]}).expires == expires
    assert read({"accountexpires": []}).expires is None


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("control that may not be read", {"useraccountcontrol": []}),
        ("control that is no number", {"useraccountcontrol": [b"512 "]}),
        ("control in other digits", {"useraccountcontrol": ["٥١٢".encode()]}),
        ("control of two values", {"useraccountcontrol": [b"512", b"514"]}),
        ("no name", {"samaccountname": []}),
        ("a name that is not UTF-8", {"samaccountname": [b"\xff"]}),
        ("a name with a line break", {"samaccountname": [b"ali\nce"]}),
        ("an empty login", {"userprincipalname": [b""]}),
        ("a long login", {"userprincipalname": [b"a" * 5000]}),
        ("no SID", {"objectsid": []}),
        ("a SID that is none", {"objectsid": [b"S-1-5-21"]}),
        ("a GUID that is none", {"objectguid": [b"1"]}),
        ("a time before all times", {"accountexpires": [b"-9223372036854775808"]}),
        ("no time", {"accountexpires": [b"never"]}),
    ],
)
def test_an_entry_that_does_not_say_all_of_it_is_refused(
    what: str, changes: Mapping[str, list[bytes]]
) -> None:
    with pytest.raises(EntryInvalid):
        read(changes)


def test_an_account_whose_present_state_may_not_be_read_is_refused() -> None:
    with pytest.raises(EntryInvalid, match="not to be read"):
        read({}, {})


def test_groups_come_as_sids_and_have_names() -> None:
    assert token_groups({"tokengroups": [sid_octets(STAFF.sid), sid_octets(SID)]}) == (STAFF.sid, SID)
    entry = {"samaccountname": [b"Staff"], "objectsid": [sid_octets(STAFF.sid)]}
    assert read_group(STAFF.distinguished_name, entry) == STAFF
    with pytest.raises(EntryInvalid, match="not to be read"):
        token_groups({})
    with pytest.raises(EntryInvalid):
        token_groups({"tokengroups": [sid_octets(SID)] * (MAX_GROUPS + 1)})
    with pytest.raises(EntryInvalid):
        read_group(STAFF.distinguished_name, {"samaccountname": [b"Staff"]})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"ws1$", r"ws1\24"),
        (b"*)(objectClass=*", r"\2a\29\28objectClass\3d\2a"),
        (b"a\\b\x00", r"a\5cb\00"),
        ("é".encode(), r"\c3\a9"),
        (b"", ""),
    ],
)
def test_nothing_in_a_name_means_anything_in_a_filter(value: bytes, written: str) -> None:
    assert escaped(value) == written


def test_filters_ask_by_sid_where_there_is_one() -> None:
    assert account_filter("ws1$", None) == r"(&(objectClass=user)(sAMAccountName=ws1\24))"
    octets = r"\01\01\00\00\00\00\00\05\12\00\00\00"
    assert account_filter("x", "S-1-5-18") == f"(&(objectClass=user)(objectSid={octets}))"
    assert groups_filter(["S-1-5-18", "S-1-5-18"]) == f"(|(objectSid={octets})(objectSid={octets}))"
    with pytest.raises(EntryInvalid):
        account_filter("x", "S-1-5-18)")
