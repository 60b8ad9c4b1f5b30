"""The lists that are published: which are due, and one of them made anew.

Every gateway of a fleet does this on its own, and they agree: a list is signed from what the store says, and
put in place only over the one that it was made from. Who comes second finds it done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateStatus,
    IssuedCertificate,
    PublishedCrl,
)
from gateway.pki.crl import Covers
from gateway.pki.crl_building import build_crl, lists_exactly
from gateway.pki.ocsp import CertStatus, Good, OcspIssuer, Revoked, Unknown
from gateway.pki.publication import shard_urls
from gateway.services.authority_ports import AuthorityStore, AuthorityView, SigningKeys
from gateway.services.issuing import certificate_of

# Two gateways that sign the same shard at once: the second looks again, and mostly has nothing left to do.
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Shard:
    authority_id: str
    number: int


def shards_of(view: AuthorityView) -> Sequence[Shard]:
    """All shards of all authorities that publish by themselves: roots are offline. A retired one has no valid
    certificate left that anybody could ask about."""
    return [
        Shard(authority.id, number)
        for authority in view.authorities.all(AuthorityKind.ISSUING)
        if authority.status is not AuthorityStatus.RETIRED
        for number in range(authority.crl_shards)
    ]


def publish(
    store: AuthorityStore, keys: SigningKeys, shard: Shard, now: datetime, lifetime: timedelta
) -> PublishedCrl | None:
    """See that the list of a shard says what the store says, and has half of its lifetime before it. The list
    that was signed; None where there was nothing to do.

    Blocks: reading and signing 100,000 entries take a second or two, in no transaction that others wait for.
    Raises SigningFailed and StoreUnavailable.
    """
    for _ in range(_ATTEMPTS):
        with store.read() as view:
            authority = view.authorities.get(shard.authority_id)
            if authority is None:
                return None
            held = view.crls.get(authority.id, shard.number)
            # What is revoked stays on the list until after its end (RFC 5280 §3.3).
            entries = list(
                view.certificates.revoked_entries(
                    authority.issuer_hash, shard=shard.number, valid_from=now - lifetime
                )
            )
        fresh = held is not None and now < held.next_update - lifetime / 2 and now >= held.this_update
        if held is not None and fresh and lists_exactly(held.der, entries):
            return None
        issuer = certificate_of(authority.certificate_der)
        urls = shard_urls(issuer, authority.generation, shard.number)
        made = PublishedCrl(
            authority_id=authority.id,
            shard=shard.number,
            number=1 if held is None else held.number + 1,
            this_update=now,
            next_update=now + lifetime,
            der=build_crl(
                issuer,
                keys.signer(authority),
                number=1 if held is None else held.number + 1,
                this_update=now,
                next_update=now + lifetime,
                entries=entries,
                distribution_points=urls if authority.crl_shards > 1 else (),
                covers=Covers.END_ENTITIES,
            ),
        )
        with store.begin() as work:
            work.authorities.get(authority.id, lock=True)
            latest = work.crls.get(authority.id, shard.number)
            if (latest and latest.number) == (held and held.number):
                work.crls.put(made)
                return made
    return None


def certificate_statuses(
    view: AuthorityView, issuer: AuthorityRecord, serial_numbers: Sequence[int]
) -> Sequence[CertStatus]:
    """What OCSP says of these certificates of this authority, by one query: strangers ask, and about many."""
    rows = {row.serial_number: row for row in view.certificates.some(issuer.issuer_hash, serial_numbers)}
    return [_status(rows.get(serial_number)) for serial_number in serial_numbers]


def _status(row: IssuedCertificate | None) -> CertStatus:
    if row is None or row.status is CertificateStatus.RESERVED:
        return Unknown()
    if row.withdrawn and row.revoked_at is not None and row.revocation_reason is not None:
        return Revoked(row.revoked_at, row.revocation_reason)
    return Good()


@lru_cache(maxsize=64)
def _ocsp_issuer(certificate_der: bytes) -> OcspIssuer:
    return OcspIssuer(certificate_of(certificate_der))


def ocsp_issuers(view: AuthorityView) -> Sequence[tuple[AuthorityRecord, OcspIssuer]]:
    """The authorities whose key answers for their certificates."""
    return [
        (authority, _ocsp_issuer(authority.certificate_der))
        for authority in view.authorities.all(AuthorityKind.ISSUING)
    ]
