"""Accepting Kerberos tickets by GSS-API (MIT krb5): for our services only, each once, and never NTLM.

One message settles it: a client that needs a second one has offered something else than Kerberos. To accept a
ticket takes a tenth of a millisecond, so it is done on the event loop.
"""

import os
from pathlib import Path
from typing import Any, Final

import gssapi
from gssapi.exceptions import BadChannelBindingsError, BadMechanismError
from gssapi.raw import ChannelBindings as ApplicationData
from gssapi.raw import (
    accept_sec_context,
    display_name,
    get_name_attribute,
    inquire_context,
    set_neg_mechs,
)
from gssapi.raw.misc import GSSError
from gssapi.raw.named_tuples import AcceptSecContextResult

from gateway.adapters.key_files import KeyFileRefused, make_keys_directory, read_key_file
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tickets import AcceptedTicket

_SPNEGO: Final = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
_KERBEROS: Final = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2")
# GSS_C_CHANNEL_BOUND_FLAG, since MIT krb5 1.19: the client's message carried bindings, and they match.
_CHANNEL_BOUND: Final = 0x800
_LOGON_INFO: Final = b"urn:mspac:logon-info"
_UPN_DNS_INFO: Final = b"urn:mspac:upn-dns-info"
_MAX_DETAIL_CHARACTERS: Final = 300
# What the library says, in its own words: the numbers of its errors are not the same in two processes. It
# speaks English as long as nobody calls setlocale.
_REPLAYED: Final = "request is a replay"
_CLOCK_WORDS: Final = ("clock skew", "ticket not yet valid")

_Identity = tuple[int, ...]


class KerberosTickets:
    """Accepts tickets for ``service`` (`HTTP`: of any host in the keytab; `HTTP@host`: of that one).

    The keytab is looked at again when its file has changed or was replaced. ``replay_directory`` is made if
    it is missing, and is ours alone: what was accepted is remembered there, also across a restart. Raises
    KeyFileRefused for a keytab that is missing, open to others or without a key for the service.
    """

    def __init__(self, keytab: str, service: str, replay_directory: str) -> None:
        self._keytab = keytab
        self._service = service
        self._component, _, self._host = service.partition("@")
        self._replays = str(Path(replay_directory, "replays"))
        make_keys_directory(replay_directory)
        self._seen = _identity(keytab)
        self._credentials = self._acquired()

    def accept(self, token: bytes, channel_bindings: bytes | None) -> AcceptedTicket:
        """``token`` is not empty. Raises EnrollmentRefused."""
        self._look_at_keytab()
        bindings = None
        if channel_bindings is not None:
            bindings = ApplicationData(application_data=channel_bindings)
        try:
            return self._accepted(accept_sec_context(token, self._credentials, channel_bindings=bindings))
        except GSSError as error:
            raise _refused(error) from None

    def _accepted(self, found: AcceptSecContextResult) -> AcceptedTicket:
        if found.more_steps or found.mech != _KERBEROS:
            raise EnrollmentRefused(
                EnrollmentRefusal.NEGOTIATE_FAILED, "the client did not begin with a Kerberos ticket"
            )
        target = inquire_context(
            found.context, initiator_name=False, lifetime=False, locally_init=False, flags=False
        )
        self._check_target(_text(target.target_name))
        return AcceptedTicket(
            principal=_text(found.initiator_name),
            logon_info=_verified_attribute(found.initiator_name, _LOGON_INFO),
            upn_dns_info=_verified_attribute(found.initiator_name, _UPN_DNS_INFO),
            answer=found.token or None,
            is_bound=bool(int(found.flags) & _CHANNEL_BOUND),
        )

    def _check_target(self, target: str) -> None:
        """Settings of krb5.conf (ignore_acceptor_hostname) can make the library accept more than it was
        told to."""
        component, _, host = target.partition("@")[0].partition("/")
        if component != self._component or (self._host and host.lower() != self._host.lower()):
            raise EnrollmentRefused(
                EnrollmentRefusal.NEGOTIATE_FAILED, f"the ticket is for {target}, not for {self._service}"
            )

    def _look_at_keytab(self) -> None:
        """The library reads the file for each ticket; what is to be looked at is who else may read it."""
        try:
            found = _identity(self._keytab)
            if found != self._seen:
                self._credentials = self._acquired()
                self._seen = found
        except KeyFileRefused as refused:
            raise EnrollmentRefused(EnrollmentRefusal.UNAVAILABLE, str(refused)) from None

    def _acquired(self) -> gssapi.Credentials:
        read_key_file(self._keytab)
        try:
            self._acquire([_KERBEROS])  # for its own words: SPNEGO has none when there is no key
            credentials = self._acquire([_SPNEGO, _KERBEROS])
            set_neg_mechs(credentials, [_KERBEROS])
        except GSSError as error:
            raise KeyFileRefused(
                self._keytab,
                f"has no key for {self._service}: {_words(error)}",
                "see klist -k, and put the service's key into it (ktpass, samba-tool, adcli, ktadd)",
            ) from None
        return credentials

    def _acquire(self, mechanisms: list[gssapi.OID]) -> gssapi.Credentials:
        return gssapi.Credentials(
            name=gssapi.Name(self._service, gssapi.NameType.hostbased_service),
            usage="accept",
            mechs=mechanisms,
            store={"keytab": f"FILE:{self._keytab}", "rcache": f"file2:{self._replays}"},
        )


def _text(name: Any) -> str:
    """Raises EnrollmentRefused for a name that is not UTF-8, which no KDC of today lets pass."""
    octets: bytes = display_name(name, name_type=False).name
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise EnrollmentRefused(
            EnrollmentRefusal.NEGOTIATE_FAILED, "the ticket has a name that is not UTF-8"
        ) from None


def _verified_attribute(name: Any, attribute: bytes) -> bytes | None:
    """A buffer of the PAC, if there is one whose signature the library has verified."""
    try:
        found = get_name_attribute(name, attribute)
    except GSSError:
        return None
    if not found.authenticated or len(found.values) != 1:
        return None
    value: bytes = found.values[0]
    return value


def _refused(error: GSSError) -> EnrollmentRefused:
    words = _words(error)
    lower = words.lower()
    if isinstance(error, BadChannelBindingsError):
        reason = EnrollmentRefusal.CHANNEL_BINDING_MISMATCH
    elif isinstance(error, BadMechanismError):
        reason = EnrollmentRefusal.NTLM_REFUSED
    elif _REPLAYED in lower:
        reason = EnrollmentRefusal.TICKET_REPLAYED
    elif any(words in lower for words in _CLOCK_WORDS):
        reason = EnrollmentRefusal.CLOCK_SKEW
    else:
        reason = EnrollmentRefusal.NEGOTIATE_FAILED
    return EnrollmentRefused(reason, words)


def _words(error: GSSError) -> str:
    """What Kerberos says, on one line; where it has nothing to say, what GSS-API says."""
    said = error.get_all_statuses(error.min_code, False) if error.min_code else []
    said = [words for words in said if words not in ("Success", "Unknown error")]
    text = "; ".join(said or error.get_all_statuses(error.maj_code, True))
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:_MAX_DETAIL_CHARACTERS]


def _identity(path: str) -> _Identity:
    """What changes when the file is replaced, written to, or opened to others."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for each ticket; Path.stat takes twice as long
    except OSError as error:
        raise KeyFileRefused(
            path, f"cannot be used: {error.strerror}", "check that it exists and that this user may read it"
        ) from None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev, status.st_mode, status.st_uid
