"""Which certificates are revoked, as one immutable value for all authorities."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from gateway.model.device import CertificateId
from gateway.pki.crl import Covers, CrlReason, CrlRejected, CrlScope, CrlSnapshot


class RevocationStatus(StrEnum):
    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"  # no CRL that speaks about the certificate
    STALE = "stale"  # one that does is past nextUpdate, and past what the authority allows on top


@dataclass(frozen=True, slots=True)
class HeldCrl:
    """A full CRL, and the delta CRL that was laid over it."""

    full: CrlSnapshot
    delta: CrlSnapshot | None = None

    @property
    def number(self) -> int:
        return self.delta.number if self.delta else self.full.number

    @property
    def next_update(self) -> datetime:
        """The earlier of both: who publishes delta CRLs wants to be asked that often."""
        return min(self.full.next_update, self.delta.next_update) if self.delta else self.full.next_update

    def is_revoked(self, serial_number: int) -> bool:
        if self.delta:
            if serial_number in self.delta.revoked:
                return True
            if serial_number in self.delta.removed:
                return False
        return serial_number in self.full.revoked


@dataclass(frozen=True, slots=True)
class RevocationIndex:
    """The CRLs held, by issuer. A look-up takes a few microseconds, also among a million entries.

    Only `with_crl` makes a new one, and it never goes back in time: what a CRL has revoked stays revoked
    until a CRL with a higher number says otherwise (OpenSSL keeps the first of two of one second instead).
    """

    _held: Mapping[bytes, tuple[HeldCrl, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def with_crl(self, crl: CrlSnapshot) -> "RevocationIndex":
        """This index with one CRL more; itself if it is the one that is held.

        A full CRL replaces the held one of the same issuer and scope, and a delta that is not newer. Raises
        `CrlRejected`: ``OLDER_THAN_HELD`` for a lower number, ``NUMBER_REUSED`` for a different CRL with
        the number of a held one, ``BASE_MISSING`` for a delta CRL whose base is not held (RFC 5280 §5.2.4).
        """
        others = tuple(h for h in self._held.get(crl.issuer, ()) if h.full.scope != crl.scope)
        held = next((h for h in self._held.get(crl.issuer, ()) if h.full.scope == crl.scope), None)
        if held is None:
            if crl.is_delta:
                raise CrlRejected(CrlReason.BASE_MISSING, "a delta CRL, but no full one is held")
            updated = HeldCrl(crl)
        else:
            updated = _updated(held, crl)
            if updated is held:
                return self
        return RevocationIndex(MappingProxyType({**self._held, crl.issuer: (*others, updated)}))

    def held_for(self, issuer: bytes) -> tuple[HeldCrl, ...]:
        """What is held of one issuer (`Certificate.issuer_hash`), one for each scope."""
        return self._held.get(issuer, ())

    def all_held(self) -> Iterator[HeldCrl]:
        """What is held of all issuers. An index with the same CRLs comes of these, full and delta, one after
        the other given to `with_crl`."""
        for held in self._held.values():
            yield from held

    def status(
        self,
        certificate: CertificateId,
        now: datetime,
        *,
        is_end_entity: bool,
        stale_allowed_for: timedelta | None,
        distribution_points: frozenset[str] | None,
    ) -> RevocationStatus:
        """What is known about a certificate at ``now`` (aware).

        A revocation counts from whichever CRL it comes, stale ones included. Good is what one fresh CRL
        covers. ``distribution_points`` are the URIs that the certificate names; None when that is not
        known any more: then a partitioned CRL counts only together with all its sisters, each fresh.
        """
        covered = fresh = False
        partitions_fresh: bool | None = None
        for held in self._held.get(certificate.issuer, ()):
            if held.is_revoked(certificate.serial_number):
                return RevocationStatus.REVOKED
            scope = held.full.scope
            if not _covers_kind(scope, is_end_entity):
                continue
            is_fresh = not _is_stale(held, now, stale_allowed_for)
            if scope.distribution_points and distribution_points is None:
                partitions_fresh = is_fresh and partitions_fresh is not False
            elif not scope.distribution_points or not scope.distribution_points.isdisjoint(
                distribution_points or ()
            ):
                covered = True
                fresh = fresh or is_fresh
        if not covered and partitions_fresh is None:
            return RevocationStatus.UNKNOWN
        return RevocationStatus.GOOD if fresh or partitions_fresh else RevocationStatus.STALE


def _updated(held: HeldCrl, crl: CrlSnapshot) -> HeldCrl:
    same_kind = held.delta if crl.is_delta else held.full
    if same_kind is not None and crl.number == same_kind.number:
        if crl.sha256 != same_kind.sha256:
            raise CrlRejected(CrlReason.NUMBER_REUSED, f"another CRL with number {crl.number} is held")
        return held
    if held.delta is not None and not crl.is_delta and held.full.number < crl.number < held.delta.number:
        # RFC 5280 §5.2.4: a delta goes with any full CRL from its base up to itself. Refusing this one would
        # leave nothing but the older full CRL, until it ends.
        return HeldCrl(crl, held.delta)
    if crl.is_delta and held.delta is None and crl.number == held.full.number:
        return held  # which says the same, or the authority breaks the rule (RFC 5280 §5.2.4)
    if crl.number < held.number:
        raise CrlRejected(
            CrlReason.OLDER_THAN_HELD, f"CRL number {crl.number} is lower than {held.number}, which is held"
        )
    if crl.base_number is None:
        return HeldCrl(crl)
    if crl.base_number > held.full.number:
        raise CrlRejected(
            CrlReason.BASE_MISSING, f"the base CRL {crl.base_number} is newer than {held.full.number}"
        )
    return replace(held, delta=crl)


def _covers_kind(scope: CrlScope, is_end_entity: bool) -> bool:
    return scope.covers is not (Covers.AUTHORITIES if is_end_entity else Covers.END_ENTITIES)


def _is_stale(held: HeldCrl, now: datetime, allowed_for: timedelta | None) -> bool:
    return now - (allowed_for or timedelta(0)) > held.next_update
