"""What the use cases of the IWA web app need of Kerberos."""

from typing import Protocol

from gateway.enrollment.tickets import AcceptedTicket as AcceptedTicket


class Tickets(Protocol):
    def accept(self, token: bytes, channel_bindings: bytes | None) -> AcceptedTicket:
        """``channel_bindings`` is what the TLS connection is known by; None: not over TLS, or not to be
        looked at. Raises EnrollmentRefused."""
        ...
