"""What is known of one place that CRLs come from, and when to look there again."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from gateway.adapters.crl_fetch import Validators
from gateway.adapters.crl_files import FileIdentity
from gateway.pki.authority import Authority
from gateway.pki.crl import CrlScope, CrlSnapshot

# Doubled this often, the first retry is far beyond any last one; more would overflow after a year.
_MAX_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class CrlPace:
    """How often URLs are asked and files are looked at, in seconds.

    A URL is asked again after half of the time that is left until nextUpdate, within ``earliest`` and
    ``latest``; after a failure, in growing steps from ``first_retry`` to ``last_retry``.
    """

    earliest: float = 60.0
    latest: float = 3600.0
    first_retry: float = 10.0
    last_retry: float = 600.0
    fetch_timeout: float = 60.0
    first_fetch_timeout: float = 10.0  # the start waits for it; what takes longer comes in a moment later
    file_poll: float = 60.0

    def after_success(self, left: timedelta, randomness: float) -> float:
        """``randomness`` in [0, 1) takes off up to a tenth, so that many gateways do not ask at once."""
        return max(min(left.total_seconds() / 2, self.latest) * (1 - randomness / 10), self.earliest)

    def after_failures(self, count: int, randomness: float) -> float:
        """``randomness`` in [0, 1) takes off up to a half."""
        steps: float = 2 ** min(count - 1, _MAX_DOUBLINGS)
        return min(self.first_retry * steps, self.last_retry) * (1 - randomness / 2)


@dataclass(slots=True, eq=False)
class CrlSource:
    """One location of one authority: a file or a URL. Changed by `CrlStore` only, on the event loop."""

    authority: Authority
    location: str
    given: set[tuple[bytes, CrlScope]] = field(default_factory=set)  # what it ever gave: issuer and scope
    accepted: tuple[CrlSnapshot, ...] = ()  # of its last content
    waiting: tuple[CrlSnapshot, ...] = ()  # delta CRLs of its last content, whose base is not held yet
    refused: tuple[str, ...] = ()  # why others of its last content were not accepted
    unreachable: str = ""  # why there is no newer content
    cache_problem: str = ""
    untold: tuple[CrlSnapshot, ...] = ()  # accepted, and not reported yet
    told: tuple[str, str] = ("", "")  # the failures that were reported last
    content_sha256: bytes = b""
    was_tried: bool = False
    # Files.
    identity: FileIdentity | None = None
    # URLs.
    validators: Validators | None = None
    was_cache_read: bool = False
    failures: int = 0
    next_fetch: float = 0.0  # event loop time

    @property
    def is_url(self) -> bool:
        return "://" in self.location

    @property
    def failure(self) -> str:
        """What an administrator has to look after; empty when all is well."""
        if self.unreachable:
            return self.unreachable
        waiting = (f"delta CRL {crl.number} waits for its base CRL {crl.base_number}" for crl in self.waiting)
        return "; ".join((*self.refused, *waiting))

    def left(self, now: datetime) -> timedelta:
        """How long its content is still good for. Negative where that is stale, or there is none."""
        return min((crl.next_update - now for crl in (*self.accepted, *self.waiting)), default=timedelta(-1))

    def succeeded_by(self, authority: Authority) -> Self:
        """The source for the same location in a new configuration. Other certificates may vouch for other
        CRLs, so where they changed its content is looked into again."""
        if self.authority.certificates == authority.certificates:
            self.authority = authority
            return self
        issuers = {certificate.issuer_hash for certificate in authority.certificates}
        return type(self)(authority, self.location, given={key for key in self.given if key[0] in issuers})
