"""What happened, as typed values. Log lines and metrics are made from these; secrets have no field."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

# A path may have 32 KB, and thousands of events wait while the reader of the log is slow.
MAX_LOGGED_PATH_CHARACTERS: Final = 1_024


@dataclass(frozen=True, slots=True)
class SignOnDecided:
    """A sign-on or a session check reached a decision."""

    at: datetime
    reference_id: str
    app: str
    protocol: str
    user: str
    identity_provider: str
    ip: str
    client: str
    platform: str
    access: str  # allow | deny | prompt_for_factor
    reason: str  # what the page and the header say; for allow, the decision's reason
    rule: str | None
    device_trust: str  # trusted | not_trusted | unknown
    trust_reason: str | None
    trust_detail: str
    device: str | None
    certificate_thumbprint: str | None
    flow_id: str | None
    monitored: tuple[str, ...]
    session: bool  # True: a request of a running session, False: a sign-on
    hardware_key: bool = False  # of a trusted device: the authority has verified that the key is in a TPM


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A federation message was malformed, forged, expired, replayed or not for this app."""

    at: datetime
    reference_id: str
    app: str
    protocol: str
    reason: str
    detail: str
    ip: str


@dataclass(frozen=True, slots=True)
class MessageAccepted:
    at: datetime
    reference_id: str
    app: str
    protocol: str


@dataclass(frozen=True, slots=True)
class ChallengeBegun:
    at: datetime
    reference_id: str
    app: str
    flow_id: str
    user: str
    ip: str


@dataclass(frozen=True, slots=True)
class ChallengeAnswered:
    """The browser came to the mTLS host, with or without a certificate."""

    at: datetime
    reference_id: str
    app: str
    flow_id: str
    verdict: str  # trusted | not_trusted
    reason: str
    detail: str
    device: str | None
    certificate_thumbprint: str | None
    ip: str
    user: str | None = None  # whom a trusted certificate names
    hardware_key: bool = False


@dataclass(frozen=True, slots=True)
class ChallengeAbandoned:
    """A challenge that never came back. ``stage`` tells how far it got: ``never_arrived`` at the mTLS host
    (a proxy or endpoint protection that breaks the handshake, TLS inspection, a blocked name), or
    ``never_returned`` from it."""

    at: datetime
    reference_id: str
    app: str
    flow_id: str
    stage: str


@dataclass(frozen=True, slots=True)
class TicketRefused:
    at: datetime
    reference_id: str
    app: str
    reason: str
    detail: str
    ip: str


@dataclass(frozen=True, slots=True)
class CrlFailed:
    """A revocation list could not be read or fetched. For the System Log; the gateway's own log has its
    line."""

    at: datetime
    authority: str
    location: str
    detail: str


class RequestServed(NamedTuple):
    """One request and its answer: a line of the access log. The query is left out: it may hold tokens;
    a long path is cut (MAX_LOGGED_PATH_CHARACTERS). A tuple, because every request makes one."""

    at: datetime
    reference_id: str
    role: str
    app: str
    host: str
    method: str
    path: str
    status: int
    seconds: float
    ip: str
    upstream_error: str | None = None


Event = (
    RequestServed
    | SignOnDecided
    | MessageRefused
    | MessageAccepted
    | ChallengeBegun
    | ChallengeAnswered
    | ChallengeAbandoned
    | TicketRefused
)
