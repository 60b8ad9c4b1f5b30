"""A real ticket for the service of an IWA web app, and whether its own keytab opens it.

The ticket is asked for as the person who runs the doctor, or else as an account that the keytab has keys of.
The KDC seals it with the newest key that it has of the service; so the ticket tells which one that is, and
the keytab is held against it.
"""

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gssapi
from gssapi.raw import acquire_cred_with_password
from gssapi.raw.misc import GSSError

from gateway.adapters.kerberos import KerberosTickets
from gateway.adapters.key_files import KeyFileRefused
from gateway.agent.keytab import MAX_KEYTAB_BYTES, KeytabEntry, KeytabInvalid, read_keytab
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.service_tickets import (
    RC4_ENCRYPTION,
    SealedTicket,
    TicketUnreadable,
    encryption_name,
    sealed_ticket,
)
from gateway.model.checkup import Check, CheckGroup, Subject

KEYTAB: Final = Subject(CheckGroup.IWA, "keytab")
PRINCIPAL: Final = Subject(CheckGroup.IWA, "service principal in the keytab")
WEAK: Final = Subject(CheckGroup.IWA, "encryption types of the keytab")
TICKET: Final = Subject(CheckGroup.IWA, "ticket for the service")
FRESH: Final = Subject(CheckGroup.IWA, "newest key of the service in the keytab")
ACCEPTED: Final = Subject(CheckGroup.IWA, "ticket is accepted by the keytab")

_SPN_HELPS: Final = (
    "register it once for the account of the IWA web app: setspn -S {service} ACCOUNT, and see that the KDC "
    "knows it under the name of url, not of an alias"
)
_REKEY: Final = "write the keytab anew: ktpass, samba-tool domain exportkeytab, adcli update, or ktadd"
_UNREACHED: Final = ("cannot contact", "unreachable", "cannot find kdc")
_NETWORK: Final = "see the realm's KDCs in krb5.conf or DNS, and port 88 on the way"
_MAX_INITIATORS: Final = 4


@dataclass(frozen=True, slots=True)
class TicketTried:
    """``sealed`` and ``refused`` are of a ticket that was had; ``trouble`` is in the library's words why none
    was, "" where nobody had credentials to ask with."""

    sealed: SealedTicket | None = None
    refused: EnrollmentRefused | None = None
    trouble: str = ""
    asked_as: str = ""


def look_into_keytab(path: str) -> tuple[KeytabEntry, ...]:
    """Raises OSError, KeytabInvalid."""
    with open(path, "rb") as file:  # noqa: PTH123 - read to a bound
        return read_keytab(file.read(MAX_KEYTAB_BYTES + 1))


def judge_keytab(path: str, entries: Sequence[KeytabEntry], host: str, service: str) -> Iterator[Check]:
    """That the KDC has the same keys is for `judge_ticket`."""
    wanted = f"{service}/{host}".lower()
    own = [each for each in entries if each.principal.partition("@")[0].lower() == wanted]
    if not own:
        names = ", ".join(sorted({each.principal for each in entries})[:4]) or "nobody"
        yield PRINCIPAL.failed(
            f"{path} has keys of {names}, and none of {service}/{host}",
            "add it (ktpass, samba-tool, adcli, ktadd), or write the name of the keytab's host in url",
        )
        return
    newest = max(each.version for each in own)
    yield PRINCIPAL.ok(f"{own[0].principal}, newest key number {newest}")
    kinds = {each.encryption for each in own if each.version == newest}
    if kinds <= RC4_ENCRYPTION:
        yield WEAK.warning(
            "RC4 only, which domains switch off",
            "let the account use AES (msDS-SupportedEncryptionTypes 24) and write the keytab anew",
        )
    else:
        yield WEAK.ok(", ".join(encryption_name(each) for each in sorted(kinds)))


def judge_ticket(tried: TicketTried, entries: Sequence[KeytabEntry], service: str) -> Iterator[Check]:
    """``service`` is `HTTP/host`."""
    sealed = tried.sealed
    if sealed is None:
        yield _no_ticket(tried, service)
        return
    number = "" if sealed.key_version is None else f", key number {sealed.key_version}"
    yield TICKET.ok(f"{sealed.service} for {tried.asked_as}, {encryption_name(sealed.encryption)}{number}")
    yield judge_freshness(sealed, entries)
    if tried.refused is None:
        yield ACCEPTED.ok("yes")
    else:
        explained = EXPLANATIONS[tried.refused.reason]
        yield ACCEPTED.failed(f"{tried.refused.reason.value}: {tried.refused.detail}", explained.remedy)


def judge_freshness(sealed: SealedTicket, entries: Sequence[KeytabEntry]) -> Check:
    """Names are compared without regard to case, as Active Directory does."""
    own = [each for each in entries if each.principal.lower() == sealed.service.lower()]
    numbers = sorted({each.version for each in own})
    if sealed.key_version is None:
        return FRESH.skipped("the KDC does not say which key it has sealed the ticket with")
    if any(each.version == sealed.key_version and each.encryption == sealed.encryption for each in own):
        return FRESH.ok(f"key number {sealed.key_version}, {encryption_name(sealed.encryption)}")
    if sealed.key_version in numbers:
        return FRESH.failed(
            f"the KDC uses {encryption_name(sealed.encryption)}, of which the keytab has no key",
            _REKEY,
        )
    has = ", ".join(map(str, numbers)) or "none of this name"
    return FRESH.failed(f"the KDC uses key number {sealed.key_version}, the keytab has {has}", _REKEY)


def _no_ticket(tried: TicketTried, service: str) -> Check:
    low = tried.trouble.lower()
    if not tried.trouble:
        return TICKET.skipped(
            "nobody to ask as: there is no ticket of yours, and the keytab's accounts cannot log on",
            "run kinit as anybody in the domain, and then this again",
        )
    if "server not found" in low or "not found in kerberos database" in low:
        return TICKET.failed(f"the KDC does not know {service}", _SPN_HELPS.format(service=service))
    if "clock skew" in low:
        return TICKET.failed(tried.trouble, EXPLANATIONS[EnrollmentRefusal.CLOCK_SKEW].remedy)
    if any(words in low for words in _UNREACHED):
        return TICKET.failed(tried.trouble, _NETWORK)
    return TICKET.failed(
        tried.trouble, "see krb5.conf, and with KRB5_TRACE=/dev/stderr what is asked of whom"
    )


def try_ticket(keytab: str, entries: Sequence[KeytabEntry], host: str, service: str) -> TicketTried:
    """Blocks for as long as the KDCs let it. ``service`` as in iwa.yaml: `HTTP`, or `HTTP@host`."""
    name = f"{service.partition('@')[0]}@{host}"
    tried = TicketTried()
    for asked_as, credentials in _initiators(keytab, entries):
        message = _first_message(name, credentials)
        if isinstance(message, str):
            tried = TicketTried(trouble=message, asked_as=asked_as)
            continue
        try:
            sealed = sealed_ticket(message)
        except TicketUnreadable as unreadable:
            return TicketTried(trouble=str(unreadable), asked_as=asked_as)
        return TicketTried(sealed, _accepted(keytab, service, message), asked_as=asked_as)
    return tried


def _initiators(keytab: str, entries: Sequence[KeytabEntry]) -> Iterator[tuple[str, Any]]:
    """Whose tickets could be used, the caller's own first. An account that may log on in Active Directory is
    one without a slash; MIT krb5 lets services log on, too."""
    kerberos = [gssapi.MechType.kerberos]
    try:
        own = gssapi.Credentials(usage="initiate", mechs=kerberos)
        yield str(own.name), own
    except GSSError:
        pass
    principals = sorted(dict.fromkeys(each.principal for each in entries), key=lambda each: "/" in each)
    for principal in principals[:_MAX_INITIATORS]:
        account = gssapi.Name(principal, gssapi.NameType.kerberos_principal)
        store: dict[bytes | str, bytes | str] = {
            "client_keytab": f"FILE:{keytab}",
            "ccache": f"MEMORY:{secrets.token_hex(16)}",  # which the library keeps as long as the process
        }
        try:
            yield principal, gssapi.Credentials(name=account, usage="initiate", mechs=kerberos, store=store)
        except GSSError:
            continue


def _first_message(name: str, credentials: Any) -> bytes | str:
    """The message, or why there is none."""
    context = gssapi.SecurityContext(
        name=gssapi.Name(name, gssapi.NameType.hostbased_service),
        mech=gssapi.MechType.kerberos,
        creds=credentials,
        usage="initiate",
    )
    try:
        return context.step() or b""
    except GSSError as error:
        return _words(error)


def _words(error: GSSError) -> str:
    said = error.get_all_statuses(error.min_code, False) if error.min_code else []
    return " ".join("; ".join(said or [str(error)]).split())


def _accepted(keytab: str, service: str, message: bytes) -> EnrollmentRefused | None:
    """Why the IWA web app would not take it; None: it would. Its replay cache is left alone."""
    with tempfile.TemporaryDirectory(prefix="devicetrust-doctor-") as directory:
        try:
            KerberosTickets(keytab, service, str(Path(directory, "replays"))).accept(message, None)
        except EnrollmentRefused as refused:
            return refused
        except KeyFileRefused as refused:
            return EnrollmentRefused(EnrollmentRefusal.UNAVAILABLE, str(refused))
    return None


def ask_realm(realm: str) -> str:
    """What its KDC says, in the library's words, of an account that is not there: it answers, or it does not.
    It needs no credentials, and no trust between realms."""
    nobody = gssapi.Name(f"devicetrust-doctor@{realm}", gssapi.NameType.kerberos_principal)
    try:
        acquire_cred_with_password(
            nobody, secrets.token_urlsafe(16).encode(), usage="initiate", mechs=[gssapi.MechType.kerberos]
        )
    except GSSError as error:
        return _words(error)
    return ""


def judge_realm(subject: Subject, said: str) -> Check:
    low = said.lower()
    if any(words in low for words in _UNREACHED):
        return subject.failed(said, _NETWORK)
    return subject.ok("answers")


def unreadable_keytab(path: str, error: OSError | KeytabInvalid | KeyFileRefused) -> Check:
    said = error.strerror if isinstance(error, OSError) else str(error)
    seen = said if isinstance(error, KeyFileRefused) else f"{path}: {said}"
    return KEYTAB.failed(
        seen or path, "let the user of the IWA web app own it, mode 0600, and nobody else read it"
    )
