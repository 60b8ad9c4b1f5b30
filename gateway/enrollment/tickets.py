"""What Kerberos tells of a ticket that was accepted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AcceptedTicket:
    """A ticket that the KDC of its realm has issued, for us, and that came for the first time.

    ``logon_info`` and ``upn_dns_info`` are buffers of its PAC (`gateway.enrollment.pac`) whose signature was
    verified; None where there is none. ``answer`` is the message that proves to the client who we are.
    ``is_bound``: it names the TLS connection that it came over.
    """

    principal: str
    logon_info: bytes | None
    upn_dns_info: bytes | None
    answer: bytes | None
    is_bound: bool
