"""HTTP Negotiate (RFC 4559) with Kerberos: tickets of the person who is logged on, or of the computer.

The message is bound to the TLS connection, or without TLS to what is asked for
(`gateway.enrollment.channel_bindings`), so that nobody between here and the IWA web app can pass it on; and
the IWA web app has to prove itself, too, before a token that it sends is believed. Credentials are never
delegated.
"""

import base64
import secrets
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final, Protocol

from gateway.agent.kerberos_refusals import no_ticket, not_installed, not_proven
from gateway.agent.keytab import MAX_KEYTAB_BYTES, KeytabInvalid, computer_principal, read_keytab
from gateway.agent.refusal import LocalRefusal, Refused, refused

_SPNEGO: Final = "1.3.6.1.5.5.2"
_MAX_TOKEN_CHARACTERS: Final = 131_072


class Conversation(Protocol):
    """One message to a service, and its answer."""

    def first(self) -> bytes:
        """What goes behind `Negotiate`. Raises Refused: no ticket, clock, service not known."""
        ...

    def finish(self, answer: bytes | None) -> None:
        """See the service's proof. Raises Refused where it is missing or wrong."""
        ...


# For a host, and what the message is to be bound to; None: nothing.
StartConversation = Callable[[str, bytes | None], Conversation]


def as_person() -> StartConversation:
    """With the tickets of whoever runs this. Raises Refused where Kerberos is not installed."""
    if sys.platform == "win32":
        return _by_windows(computer=False)
    gssapi = _gssapi()

    def start(host: str, bindings: bytes | None) -> Conversation:
        return _GssConversation(gssapi, None, host, bindings)

    return start


def as_computer(keytab: str, principal: str | None) -> StartConversation:
    """With the computer's own keytab; no kinit is needed. ``principal`` None: found in the keytab. Raises
    Refused where Kerberos is not installed, or the keytab cannot be read or has no computer. On Windows there
    is no keytab: the process has to run as NETWORK SERVICE, which is the computer."""
    if sys.platform == "win32":
        return _by_windows(computer=True)
    gssapi = _gssapi()
    name = principal or _computer_in(keytab)
    # A cache of our own, in memory: this process's tickets are nobody else's.
    store = {"client_keytab": keytab, "ccache": f"MEMORY:{secrets.token_hex(8)}"}

    def start(host: str, bindings: bytes | None) -> Conversation:
        def credentials() -> Any:
            account = gssapi.Name(name, gssapi.NameType.kerberos_principal)
            return gssapi.Credentials(name=account, usage="initiate", store=store)

        return _GssConversation(gssapi, credentials, host, bindings)

    return start


def person_principal() -> str | None:
    """Whose tickets there are, without asking a KDC; None where there are none, where there is no Kerberos,
    and on Windows, which does not say."""
    try:
        gssapi = _gssapi()
    except Refused:
        return None
    try:
        return str(gssapi.Credentials(usage="initiate").name)
    except gssapi.exceptions.GSSError:
        return None


def negotiate_token(header: str | None) -> bytes | None:
    """What stands behind `Negotiate` in WWW-Authenticate; None where nothing does. Raises Refused for what is
    no base64."""
    for challenge in (header or "").split(","):
        scheme, _, token = challenge.strip().partition(" ")
        if scheme.lower() == "negotiate" and token:
            try:
                return base64.b64decode(token[:_MAX_TOKEN_CHARACTERS], validate=True)
            except ValueError:  # also binascii.Error, which is one
                raise not_proven("its message is not base64") from None
    return None


def offers_negotiate(header: str | None) -> bool:
    schemes = (each.strip().partition(" ")[0].lower() for each in (header or "").split(","))
    return "negotiate" in schemes


class _GssConversation:
    def __init__(
        self,
        gssapi: ModuleType,
        credentials: Callable[[], Any] | None,
        host: str,
        bindings: bytes | None,
    ) -> None:
        self._gssapi = gssapi
        self._credentials = credentials
        self._host = host
        self._bindings = bindings
        self._context: Any = None

    def first(self) -> bytes:
        gssapi = self._gssapi
        try:
            self._context = gssapi.SecurityContext(
                name=gssapi.Name(f"HTTP@{self._host}", gssapi.NameType.hostbased_service),
                mech=gssapi.OID.from_int_seq(_SPNEGO),
                creds=None if self._credentials is None else self._credentials(),
                usage="initiate",
                flags=gssapi.RequirementFlag.mutual_authentication,
                channel_bindings=self._application_data(),
            )
            return self._context.step() or b""
        except gssapi.exceptions.GSSError as error:
            raise no_ticket(str(error), self._host, self._credentials is not None) from None

    def finish(self, answer: bytes | None) -> None:
        gssapi = self._gssapi
        mutual = gssapi.RequirementFlag.mutual_authentication
        try:
            if not self._context.complete:
                if not answer:
                    raise not_proven("it sent no message of its own")
                self._context.step(answer)
            # The library may keep an error of the step for the next thing that is asked of it.
            proven = self._context.complete and mutual in self._context.actual_flags
        except gssapi.exceptions.GSSError as error:
            raise not_proven(str(error)) from None
        if not proven:
            raise not_proven("its message does not prove who it is")

    def _application_data(self) -> Any:
        if self._bindings is None:
            return None
        return self._gssapi.raw.ChannelBindings(application_data=self._bindings)


def _computer_in(keytab: str) -> str:
    try:
        with open(keytab, "rb") as file:  # noqa: PTH123 - read to a bound
            content = file.read(MAX_KEYTAB_BYTES + 1)
        found = computer_principal(read_keytab(content))
    except OSError as error:
        raise refused(
            LocalRefusal.NO_TICKET,
            f"{keytab}: cannot be read: {error.strerror}",
            "The device part runs as root, on a computer that was joined to the domain.",
        ) from None
    except KeytabInvalid as error:
        raise refused(LocalRefusal.NO_TICKET, f"{keytab}: {error}", "Join the computer again.") from None
    if found is None:
        raise refused(
            LocalRefusal.NO_TICKET,
            f"{keytab}: has no key of a computer's account",
            "Such a name ends in $. Join the computer to the domain, or set DevicePrincipal.",
        )
    return found


def _by_windows(*, computer: bool) -> StartConversation:
    from gateway.agent.negotiate_windows import SspiConversation, spnego_module

    spnego = spnego_module()

    def start(host: str, bindings: bytes | None) -> Conversation:
        return SspiConversation(spnego, host, bindings, computer=computer)

    return start


def _gssapi() -> ModuleType:
    try:
        import gssapi
    except ImportError as error:
        raise not_installed(str(error)) from None
    return gssapi
