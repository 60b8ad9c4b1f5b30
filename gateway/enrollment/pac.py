"""What a domain controller says of an account in its Kerberos ticket: two buffers of the Privilege Attribute
Certificate (MS-PAC), which GSS-API gives out one by one.

    urn:mspac:logon-info     KERB_VALIDATION_INFO, §2.5: who it is, what kind of account, in which groups
    urn:mspac:upn-dns-info   UPN_DNS_INFO, §2.10: its user principal name, the DNS name of its domain

That the PAC is the domain controller's (its signatures, §2.8) has been seen to by the Kerberos library when
it accepted the ticket; nothing of it is looked at here. It says what was so when the ticket-granting ticket
was issued, hours ago perhaps: only the directory knows who has been disabled since.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final, TypeVar

from gateway.enrollment.ndr import NdrInvalid, NdrReader
from gateway.enrollment.security_identifiers import MAX_SUB_AUTHORITIES, SidInvalid, sid_text

# A Kerberos token of Windows has at most 65,535 octets (MaxTokenSize), the PAC with it.
MAX_BUFFER_OCTETS: Final = 65_536


class PacInvalid(Exception):
    """Not such a buffer. The detail is for the log; it holds nothing of the buffer."""


class AccountControl(IntFlag):
    """USER_ACCOUNT codes (MS-SAMR §2.2.1.12), not to be mistaken for the bits of userAccountControl in the
    directory (§2.2.1.13). Those not named here are kept."""

    DISABLED = 0x0000_0001
    NORMAL = 0x0000_0010
    INTERDOMAIN_TRUST = 0x0000_0040
    WORKSTATION_TRUST = 0x0000_0080
    SERVER_TRUST = 0x0000_0100  # a domain controller


class AccountKind(Enum):
    USER = "user"
    COMPUTER = "computer"
    OTHER = "other"  # a trusted domain, or something unheard of


_COMPUTER = AccountControl.WORKSTATION_TRUST | AccountControl.SERVER_TRUST
_KINDS = AccountControl.NORMAL | AccountControl.INTERDOMAIN_TRUST | _COMPUTER

# SE_GROUP_ENABLED in the attributes of a group (MS-PAC §2.2.1).
_ENABLED = 0x0000_0004

_Group = TypeVar("_Group")


@dataclass(frozen=True, slots=True)
class LogonInfo:
    """``group_sids``: those of the account's own domain, of other ones (ExtraSids), and resource groups,
    without those that are not enabled; nested groups are among them. Names may be empty; they are free of
    nothing but broken UTF-16."""

    user_sid: str
    primary_group_sid: str
    group_sids: tuple[str, ...]
    account_control: AccountControl
    effective_name: str  # sAMAccountName
    full_name: str
    logon_server: str
    logon_domain: str  # the NetBIOS name
    logon_domain_sid: str

    @property
    def kind(self) -> AccountKind:
        """An account of two kinds is of neither."""
        kind = self.account_control & _KINDS
        if kind == AccountControl.NORMAL:
            return AccountKind.USER
        if kind in (AccountControl.WORKSTATION_TRUST, AccountControl.SERVER_TRUST):
            return AccountKind.COMPUTER
        return AccountKind.OTHER


@dataclass(frozen=True, slots=True)
class UpnDnsInfo:
    """``upn_is_constructed``: the account has no user principal name, and ``upn`` was put together from its
    name and the domain's. ``sam_name`` and ``sid`` are None where the domain controller is an older one."""

    upn: str
    dns_domain: str
    upn_is_constructed: bool
    sam_name: str | None
    sid: str | None


def parse_logon_info(buffer: bytes) -> LogonInfo:
    """Read a KERB_VALIDATION_INFO (MS-PAC §2.5), with its headers. Raises PacInvalid."""
    _check_size(buffer)
    try:
        return _logon_info(NdrReader(buffer))
    except NdrInvalid as error:
        raise PacInvalid(f"KERB_VALIDATION_INFO: {error}") from None


def _logon_info(reader: NdrReader) -> LogonInfo:
    if not reader.pointer():
        raise NdrInvalid("nothing but a null pointer")
    reader.unsigned_longs(12)  # LogonTime … PasswordMustChange: six FILETIMEs
    # EffectiveName, FullName, LogonScript, ProfilePath, HomeDirectory, HomeDirectoryDrive
    name_lengths = [reader.unicode_string() for _ in range(6)]
    reader.unsigned_short(), reader.unsigned_short()  # LogonCount, BadPasswordCount
    user_id, primary_group_id, group_count = reader.unsigned_longs(3)
    has_groups = reader.pointer()
    reader.unsigned_longs(5)  # UserFlags; UserSessionKey, which is zero in a ticket
    server_length, domain_length = reader.unicode_string(), reader.unicode_string()
    has_domain_sid = reader.pointer()
    reader.unsigned_longs(2)  # Reserved1
    account_control = AccountControl(reader.unsigned_long())
    reader.unsigned_longs(7)  # SubAuthStatus … Reserved3
    extra_count = reader.unsigned_long()
    has_extra = reader.pointer()
    has_resource_domain_sid = reader.pointer()
    resource_count = reader.unsigned_long()
    has_resource_groups = reader.pointer()

    names = [reader.characters(length) for length in name_lengths]
    groups = _memberships(reader, group_count, present=has_groups)
    server, domain = reader.characters(server_length), reader.characters(domain_length)
    if not has_domain_sid:
        raise NdrInvalid("no LogonDomainId")
    domain_sid = _domain_sid(reader)
    extra = _extra_sids(reader, extra_count, present=has_extra)
    resource_domain_sid = _domain_sid(reader) if has_resource_domain_sid else None
    resource_groups = _memberships(reader, resource_count, present=has_resource_groups)
    if resource_groups and resource_domain_sid is None:
        raise NdrInvalid("resource groups without ResourceGroupDomainSid")

    if user_id:
        user_sid = f"{domain_sid}-{user_id}"
    elif extra:  # §2.5, UserId: an account whose SID is not one of the domain's
        (user_sid, _), *extra = extra
    else:
        raise NdrInvalid("no SID of the account")
    group_sids = [f"{domain_sid}-{group}" for group in _enabled(groups)]
    group_sids += _enabled(extra)
    group_sids += [f"{resource_domain_sid}-{group}" for group in _enabled(resource_groups)]
    return LogonInfo(
        user_sid=user_sid,
        primary_group_sid=f"{domain_sid}-{primary_group_id}",
        group_sids=tuple(dict.fromkeys(group_sids)),
        account_control=account_control,
        effective_name=names[0],
        full_name=names[1],
        logon_server=server,
        logon_domain=domain,
        logon_domain_sid=domain_sid,
    )


def _memberships(reader: NdrReader, count: int, *, present: bool) -> list[tuple[int, int]]:
    """GROUP_MEMBERSHIP (§2.2.2): relative identifiers with their attributes."""
    if not present:
        if count:
            raise NdrInvalid("groups are counted, and none are there")
        return []
    return [(group, attributes) for group, attributes in reader.array(count, words=2)]


def _extra_sids(reader: NdrReader, count: int, *, present: bool) -> list[tuple[str, int]]:
    """KERB_SID_AND_ATTRIBUTES (§2.2.1): an array of pointers and attributes, and then the SIDs."""
    pointers = _memberships(reader, count, present=present)
    if any(not pointer for pointer, _ in pointers):
        raise NdrInvalid("a null pointer instead of a SID")
    return [(reader.sid(), attributes) for _, attributes in pointers]


def _domain_sid(reader: NdrReader) -> str:
    """A SID below which there is room for an account's."""
    sid = reader.sid()
    if sid.count("-") - 2 >= MAX_SUB_AUTHORITIES:
        raise NdrInvalid("a domain's SID that is too long to be one")
    return sid


def _enabled(groups: Sequence[tuple[_Group, int]]) -> list[_Group]:
    return [group for group, attributes in groups if attributes & _ENABLED]


# UPN_DNS_INFO.Flags
_UPN_CONSTRUCTED = 0x1
_HAS_SAM_NAME_AND_SID = 0x2


def parse_upn_dns_info(buffer: bytes) -> UpnDnsInfo:
    """Read a UPN_DNS_INFO (MS-PAC §2.10). Raises PacInvalid."""
    _check_size(buffer)
    try:
        *upn_and_domain, flags = struct.unpack_from("<4HI", buffer)
        sam_name = sid = None
        if flags & _HAS_SAM_NAME_AND_SID:
            name_length, name_offset, sid_length, sid_offset = struct.unpack_from("<4H", buffer, 12)
            sam_name = _text_at(buffer, name_length, name_offset)
            sid = sid_text(_octets_at(buffer, sid_length, sid_offset))
        return UpnDnsInfo(
            upn=_text_at(buffer, *upn_and_domain[:2]),
            dns_domain=_text_at(buffer, *upn_and_domain[2:]),
            upn_is_constructed=bool(flags & _UPN_CONSTRUCTED),
            sam_name=sam_name,
            sid=sid,
        )
    except (struct.error, UnicodeDecodeError, SidInvalid) as error:
        raise PacInvalid(f"UPN_DNS_INFO: {type(error).__name__}") from None


def _text_at(buffer: bytes, length: int, offset: int) -> str:
    return _octets_at(buffer, length, offset).decode("utf-16-le")


def _octets_at(buffer: bytes, length: int, offset: int) -> bytes:
    if offset + length > len(buffer):
        raise PacInvalid("UPN_DNS_INFO: truncated")
    return buffer[offset : offset + length]


def _check_size(buffer: bytes) -> None:
    if len(buffer) > MAX_BUFFER_OCTETS:
        raise PacInvalid(f"more than {MAX_BUFFER_OCTETS} octets")
