"""Whose ticket it is: a computer's, a person's, or neither's, under which name and security identifier."""

from dataclasses import dataclass

from gateway.enrollment.pac import (
    AccountControl,
    AccountKind,
    LogonInfo,
    PacInvalid,
    UpnDnsInfo,
    parse_logon_info,
    parse_upn_dns_info,
)
from gateway.enrollment.principals import MAX_PRINCIPAL_CHARACTERS, Principal, read_principal
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused

_NO_FLAGS = (
    "the ticket has no account flags (PAC); for a KDC that issues none: kerberos.computers: dollar_sign"
)


@dataclass(frozen=True, slots=True)
class TicketAccount:
    """``name`` is the sAMAccountName (of computers with `$`), without a PAC the principal's name. What only a
    PAC tells is None without one. ``kind_reason`` says by what the kind was told."""

    name: str
    realm: str
    kind: AccountKind
    kind_reason: str
    control: AccountControl | None = None
    sid: str | None = None
    domain_sid: str | None = None
    upn: str | None = None
    dns_domain: str | None = None
    group_sids: tuple[str, ...] = ()

    @property
    def principal(self) -> str:
        return f"{self.name}@{self.realm}"


def ticket_account(
    principal: str, logon_info: bytes | None, upn_dns_info: bytes | None, *, dollar_sign: bool
) -> TicketAccount:
    """``logon_info`` and ``upn_dns_info`` are verified buffers of the ticket's PAC. Where there is none,
    ``dollar_sign`` allows to tell computers by their names' last character.

    Raises EnrollmentRefused: NEGOTIATE_FAILED for names and buffers that cannot be read, or contradict each
    other; ACCOUNT_DISABLED.
    """
    named = read_principal(principal)
    if logon_info is None:
        return _without_pac(named, dollar_sign)
    try:
        logon = parse_logon_info(logon_info)
        upn = None if upn_dns_info is None else parse_upn_dns_info(upn_dns_info)
    except PacInvalid as error:
        raise _failed(f"the PAC is not readable: {error}") from None
    return _with_pac(named, logon, upn)


def _without_pac(named: Principal, dollar_sign: bool) -> TicketAccount:
    if not dollar_sign:
        return TicketAccount(named.name, named.realm, AccountKind.OTHER, _NO_FLAGS)
    if len(named.components) > 1:
        kind, why = AccountKind.OTHER, "the principal is that of a service"
    elif named.name.endswith("$"):
        kind, why = AccountKind.COMPUTER, "the principal ends with $"
    else:
        kind, why = AccountKind.USER, "the principal does not end with $"
    return TicketAccount(named.name, named.realm, kind, why)


def _with_pac(named: Principal, logon: LogonInfo, upn: UpnDnsInfo | None) -> TicketAccount:
    if logon.account_control & AccountControl.DISABLED:
        raise EnrollmentRefused(EnrollmentRefusal.ACCOUNT_DISABLED, "so say the account flags of the ticket")
    if not logon.user_sid.startswith(f"{logon.logon_domain_sid}-"):
        raise _failed("the account's SID is not of its domain")
    if upn is not None and upn.sid is not None and upn.sid != logon.user_sid:
        raise _failed("the PAC has two SIDs for one account")
    name = logon.effective_name or named.name
    if not name.isprintable() or len(name) + len(named.realm) >= MAX_PRINCIPAL_CHARACTERS or "@" in name:
        raise _failed("the account's name is not readable")
    return TicketAccount(
        name=name,
        realm=named.realm,
        kind=logon.kind,
        kind_reason=f"account flags 0x{logon.account_control:x} of the PAC",
        control=logon.account_control,
        sid=logon.user_sid,
        domain_sid=logon.logon_domain_sid,
        upn=None if upn is None else _text(upn.upn),
        dns_domain=None if upn is None else _text(upn.dns_domain),
        group_sids=logon.group_sids,
    )


def _text(text: str) -> str | None:
    """What does not fit into a token is as good as absent."""
    return text if text and text.isprintable() and len(text) <= MAX_PRINCIPAL_CHARACTERS else None


def _failed(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.NEGOTIATE_FAILED, detail)
