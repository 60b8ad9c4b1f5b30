"""Negotiate on Windows, by the system itself (SSPI): the account that runs the process has its tickets. Under
NETWORK SERVICE that is the computer's own account.

pyspnego speaks to SSPI; only its one class is used here, so that another system's Kerberos takes its place in
tests. NTLM, which SSPI falls back to without a ticket, is refused by the IWA web app.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from gateway.agent.kerberos_refusals import no_ticket, not_installed, not_proven


class SspiConversation:
    """`negotiate.Conversation`."""

    def __init__(self, spnego: ModuleType, host: str, bindings: bytes | None, *, computer: bool) -> None:
        self._spnego = spnego
        self._host = host
        self._bindings = bindings
        self._computer = computer
        self._context: Any = None

    def first(self) -> bytes:
        spnego = self._spnego
        bindings = None
        if self._bindings is not None:
            bindings = spnego.channel_bindings.GssChannelBindings(application_data=self._bindings)
        try:
            self._context = spnego.client(
                hostname=self._host,
                service="HTTP",
                channel_bindings=bindings,
                context_req=spnego.ContextReq.mutual_auth,
                protocol="negotiate",
            )
            return self._context.step() or b""
        except spnego.exceptions.SpnegoError as error:
            raise no_ticket(str(error), self._host, self._computer) from None

    def finish(self, answer: bytes | None) -> None:
        spnego = self._spnego
        try:
            if not self._context.complete:
                if not answer:
                    raise not_proven("it sent no message of its own")
                self._context.step(answer)
            proven = bool(self._context.context_attr & spnego.ContextReq.mutual_auth)
        except spnego.exceptions.SpnegoError as error:
            raise not_proven(str(error)) from None
        if not (self._context.complete and proven):
            raise not_proven("its message does not prove who it is")


def spnego_module() -> ModuleType:
    """Raises Refused where it is not installed."""
    try:
        spnego = import_module("spnego")
        import_module("spnego.channel_bindings")
        import_module("spnego.exceptions")
    except ImportError as error:
        raise not_installed(str(error)) from None
    return spnego
