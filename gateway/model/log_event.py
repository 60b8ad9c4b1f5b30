"""One event of the System Log: the fields in which events differ.

The fields are those of the LogEvent of Okta's System Log API; `gateway.system_log.wire` makes its JSON.
Secrets have no field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class Outcome(StrEnum):
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    SKIPPED = "SKIPPED"
    ALLOW = "ALLOW"
    DENY = "DENY"
    CHALLENGE = "CHALLENGE"
    UNKNOWN = "UNKNOWN"
    RATE_LIMIT = "RATE_LIMIT"
    DEFERRED = "DEFERRED"
    SCHEDULED = "SCHEDULED"
    ABANDONED = "ABANDONED"
    UNANSWERED = "UNANSWERED"


class TransactionType(StrEnum):
    WEB = "WEB"
    JOB = "JOB"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: a User, a SystemPrincipal, a PublicClientApp …"""

    id: str
    type: str
    alternate_id: str
    display_name: str
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What it was done to: a User, Device, PublicKeyCertificate, PolicyRule, AppInstance …"""

    id: str
    type: str
    alternate_id: str
    display_name: str
    detail: Mapping[str, object] | None = None
    changed_from: Mapping[str, object] | None = None
    changed_to: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """From where it was asked for. ``ip_chain``: the client first, then the proxies that passed it on."""

    ip: str | None = None
    user_agent: str | None = None
    browser: str | None = None
    os: str | None = None
    device: str | None = None  # Computer | Mobile | …
    zone: str | None = None
    id: str | None = None
    ip_chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authentication:
    """By what the actor was authenticated; words are those of the API."""

    provider: str | None = None
    credential_provider: str | None = None
    credential_type: str | None = None
    external_session_id: str | None = None
    interface: str | None = None
    issuer_id: str | None = None
    issuer_type: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedDevice:
    """The device of the event, where one is known."""

    id: str
    name: str
    os_platform: str | None = None
    os_version: str | None = None
    managed: bool | None = None
    registered: bool | None = None


@dataclass(frozen=True, slots=True)
class Transaction:
    """What belongs together: all events of one request, or of one background job, have one id."""

    id: str
    type: TransactionType = TransactionType.WEB
    detail: Mapping[str, object] | None = None  # {requestApiTokenId} where a token was used


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An event without its place in the chain: the store gives it its number and its hash at commit."""

    uuid: str  # unique and stable; tools use it as the document's id
    published: datetime  # aware UTC; written with milliseconds
    event_type: str
    display_message: str
    severity: Severity
    outcome: Outcome
    actor: Actor
    transaction: Transaction
    reason: str | None = None  # 1 to 255 characters, never ""
    client: Client = field(default_factory=Client)
    targets: tuple[Target, ...] = ()
    authentication: Authentication = field(default_factory=Authentication)
    device: LoggedDevice | None = None
    debug_data: Mapping[str, object] = field(default_factory=dict)  # JSON values


@dataclass(frozen=True, slots=True)
class LogRow:
    """An event in its place: what the store gives back."""

    number: int
    uuid: str
    published: datetime
    event_json: str  # canonical JSON of the whole event: exactly what the hash was made of
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class SearchedBy:
    """What stands beside an event in the store, by which it is found."""

    event_type: str
    actor_id: str
    severity: str
    outcome: str
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which rows are wanted, as far as an index can tell; everything is optional and joined by "and".

    ``after_number`` and ``before_number`` are places in the order of writing. Rows come in the order of
    ``(published, number)``, or of ``number`` where ``by_number``; ``after`` is a place in the first of these
    orders (exclusive, in the direction of reading).
    """

    since: datetime | None = None  # published at this time or later
    until: datetime | None = None  # published before this time
    after_number: int | None = None
    before_number: int | None = None
    after: tuple[datetime, int] | None = None
    event_types: frozenset[str] = frozenset()  # empty: all
    actor_id: str | None = None
    target_id: str | None = None
    severities: frozenset[Severity] = frozenset()
    outcomes: frozenset[Outcome] = frozenset()
    by_number: bool = False
    descending: bool = False
    limit: int | None = None
