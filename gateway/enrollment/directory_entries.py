"""Accounts and groups as entries of Active Directory: what is asked for, and what the answer means.

Attributes are looked at as the octets that came. What should be there and is not was hidden from who asked:
that refuses, since an account must not pass for enabled because nobody may read whether it is.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from typing import Final, TypeAlias

from gateway.enrollment.security_identifiers import MAX_SID_OCTETS, SidInvalid, sid_octets, sid_text
from gateway.model.directory import DirectoryAccount

# By lower-case names: directories may answer in another case than they were asked.
Attributes: TypeAlias = Mapping[str, Sequence[bytes]]

ACCOUNT_ATTRIBUTES: Final = (
    "sAMAccountName",
    "objectSid",
    "objectGUID",
    "userAccountControl",
    "accountExpires",
    "userPrincipalName",
    "dNSHostName",
)
# These are computed, and only for an entry that is read by its name (MS-ADTS §3.1.1.4.5.17, §3.1.1.4.5.19).
COMPUTED_ATTRIBUTES: Final = ("msDS-User-Account-Control-Computed", "tokenGroups")
GROUP_ATTRIBUTES: Final = ("sAMAccountName", "objectSid")

# Windows makes no tickets with more (MaxTokenSize).
MAX_GROUPS: Final = 2_000
MAX_TEXT_OCTETS: Final = 4_096


class EntryInvalid(Exception):
    """Not what a directory says of an account, or not all of it. The message is for the log."""


class UserAccountControl(IntFlag):
    """Bits of userAccountControl and of its computed companion (MS-ADTS §2.2.16, §3.1.1.4.5.17)."""

    DISABLED = 0x0000_0002
    LOCKED_OUT = 0x0000_0010  # computed: after too many wrong passwords, for a while
    WORKSTATION_TRUST = 0x0000_1000
    SERVER_TRUST = 0x0000_2000


_COMPUTER = UserAccountControl.WORKSTATION_TRUST | UserAccountControl.SERVER_TRUST

# accountExpires (MS-ADA1 §2.2) counts 100 nanoseconds from here; both of these mean never.
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_NEVER = (0, 0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True, slots=True)
class Group:
    distinguished_name: str
    name: str
    sid: str


def account_filter(name: str, sid: str | None) -> str:
    """The filter (RFC 4515) that finds one account: by SID where there is one. Raises EntryInvalid for what
    is no SID. Only entries that can have a password are accounts, groups have names and SIDs, too."""
    if sid is None:
        which = f"(sAMAccountName={escaped(name.encode())})"
    else:
        which = f"(objectSid={_escaped_sid(sid)})"
    return f"(&(objectClass=user){which})"


def groups_filter(sids: Iterable[str]) -> str:
    """The filter that finds the groups with these SIDs."""
    return f"(|{''.join(f'(objectSid={_escaped_sid(sid)})' for sid in sids)})"


def escaped(value: bytes) -> str:
    """An assertion value of a filter (RFC 4515 §3), each octet of which stands for itself."""
    return "".join(
        chr(octet) if chr(octet).isalnum() and octet < 0x80 else f"\\{octet:02x}" for octet in value
    )


def _escaped_sid(sid: str) -> str:
    try:
        return escaped(sid_octets(sid))
    except SidInvalid as error:
        raise EntryInvalid(str(error)) from None


def token_groups(computed: Attributes) -> tuple[str, ...]:
    """The SIDs of all security groups that an account is in, also by way of others. Raises EntryInvalid."""
    values = computed.get("tokengroups", ())
    if not values:  # each account has its primary group
        raise EntryInvalid("tokenGroups of the account is not to be read: give who asks the right to")
    if len(values) > MAX_GROUPS:
        raise EntryInvalid(f"more than {MAX_GROUPS} groups")
    return tuple(_sid(value, "tokenGroups") for value in values)


def read_account(
    distinguished_name: str, entry: Attributes, computed: Attributes, groups: Iterable[Group]
) -> DirectoryAccount:
    """``entry`` has the ACCOUNT_ATTRIBUTES, ``computed`` the COMPUTED_ATTRIBUTES. Raises EntryInvalid."""
    control = _number(entry, "userAccountControl")
    now = _number(computed, "msDS-User-Account-Control-Computed")
    if control is None or now is None:
        raise EntryInvalid("userAccountControl of the account is not to be read: give who asks the right to")
    is_computer = bool(control & _COMPUTER)
    return DirectoryAccount(
        name=_needed(entry, "sAMAccountName"),
        distinguished_name=distinguished_name,
        is_computer=is_computer,
        is_disabled=bool(
            control & UserAccountControl.DISABLED
            or now & (UserAccountControl.DISABLED | UserAccountControl.LOCKED_OUT)
        ),
        expires=_expires(entry),
        login=_text(entry, "dNSHostName" if is_computer else "userPrincipalName"),
        sid=_sid(_only(entry, "objectSid"), "objectSid"),
        guid=_guid(entry),
        groups=frozenset(text.lower() for group in groups for text in (group.distinguished_name, group.name)),
    )


def read_group(distinguished_name: str, entry: Attributes) -> Group:
    """``entry`` has the GROUP_ATTRIBUTES. Raises EntryInvalid."""
    return Group(
        distinguished_name,
        _needed(entry, "sAMAccountName"),
        _sid(_only(entry, "objectSid"), "objectSid"),
    )


def _expires(entry: Attributes) -> datetime | None:
    value = _number(entry, "accountExpires")
    if value is None or value in _NEVER:
        return None
    try:
        return _EPOCH + timedelta(microseconds=value // 10)
    except OverflowError:  # after the year 9999
        if value > 0:
            return None
        raise EntryInvalid("accountExpires is no time") from None


def _guid(entry: Attributes) -> str:
    octets = _only(entry, "objectGUID")
    if len(octets) != 16:
        raise EntryInvalid("objectGUID is no GUID")
    return str(uuid.UUID(bytes_le=octets))


def _sid(octets: bytes, attribute: str) -> str:
    try:
        return sid_text(octets[: MAX_SID_OCTETS + 1])
    except SidInvalid as error:
        raise EntryInvalid(f"{attribute}: {error}") from None


def _number(entry: Attributes, attribute: str) -> int | None:
    """Written as LDAP writes integers (RFC 4517 §3.3.16), of at most 64 bits with their sign."""
    text = _text(entry, attribute)
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 20:
        raise EntryInvalid(f"{attribute} is no number")
    return int(text)


def _needed(entry: Attributes, attribute: str) -> str:
    text = _text(entry, attribute)
    if text is None:
        raise EntryInvalid(f"{attribute} is missing")
    return text


def _text(entry: Attributes, attribute: str) -> str | None:
    if not entry.get(attribute.lower()):
        return None
    octets = _only(entry, attribute)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise EntryInvalid(f"{attribute} is not UTF-8") from None
    if not text or not text.isprintable() or len(octets) > MAX_TEXT_OCTETS:
        raise EntryInvalid(f"{attribute} is empty, too long or not printable")
    return text


def _only(entry: Attributes, attribute: str) -> bytes:
    values = entry.get(attribute.lower(), ())
    if len(values) != 1:
        raise EntryInvalid(f"{attribute} has {len(values)} values")
    return values[0]
