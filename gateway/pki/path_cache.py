"""What was checked once and need not be again: whole paths by their end entity, and the authorities above.

A new device of a known authority then costs one signature: its own.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from gateway.model.device import CertificateId, TrustVerdict
from gateway.pki.authority import Authority, TrustSnapshot
from gateway.pki.certificate import Certificate
from gateway.pki.path import CertificationPath, Signatures

# One entry is about 1.5 KiB.
DEFAULT_ENTRIES = 16_384
# Authorities that peers presented and that stood on a checked path, at 5 KiB or so. A company has a
# handful; where a trusted root has signed more than this, their issuers are looked at anew now and then.
MAX_LEARNED_ISSUERS = 256


@dataclass(frozen=True, slots=True)
class CheckedPath:
    """The part of a trust evaluation that neither the clock nor a CRL changes within its dates."""

    authority: Authority
    certificate_ids: tuple[CertificateId, ...]  # end entity first, without the trust anchor
    distribution_points: tuple[frozenset[str], ...]  # the URIs that each of these certificates names
    not_before: datetime
    not_after: datetime
    verdict: TrustVerdict  # before revocation


class PathCache:
    """Least recently used, bounded, and empty again whenever the authorities change.

    Paths are keyed by the end entity alone: once one is known, it matters no more which intermediates come
    along. Only paths that passed are kept. So an entry costs an attacker a certificate by a trusted
    authority, with the handshake's proof of its key, and the same one never takes a second entry; what
    fails is checked again each time, at the bounded price of `gateway.pki.path.SearchBudget`.

    Of a path that passed, the authorities are learned, too: their parsed certificates by the exact bytes,
    and which of them signed which. Neither can change. All else about them, dates, names and limits, is
    checked anew on every path. Not for use by several threads.
    """

    def __init__(self, entries: int = DEFAULT_ENTRIES, learned_issuers: int = MAX_LEARNED_ISSUERS) -> None:
        self._entries = entries
        self._learned_issuers = learned_issuers
        self._paths: OrderedDict[bytes, CheckedPath] = OrderedDict()
        self._authorities: tuple[Authority, ...] = ()
        self._configured: dict[bytes, Certificate] = {}
        self._learned: dict[bytes, Certificate] = {}
        self._signatures: set[tuple[bytes, bytes]] = set()
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._paths)

    def get(self, end_entity_sha256: bytes, trust: TrustSnapshot, now: datetime) -> CheckedPath | None:
        """The path that was checked for this certificate under these authorities, if ``now`` is within
        the dates of all its certificates."""
        self._follow(trust)
        path = self._paths.get(end_entity_sha256)
        if path is None:
            return None
        if not path.not_before <= now.replace(microsecond=0) <= path.not_after:
            del self._paths[end_entity_sha256]
            return None
        self._paths.move_to_end(end_entity_sha256)
        return path

    def issuer(self, certificate_der: bytes, trust: TrustSnapshot) -> Certificate | None:
        """The certificate with these bytes, if it is configured or was learned. Most clients present their
        issuer: parsing it again for each new device would double the price."""
        self._follow(trust)
        return self._configured.get(certificate_der) or self._learned.get(certificate_der)

    def signatures(self, trust: TrustSnapshot) -> Signatures:
        """Pairs of certificate and issuer, both authorities, whose signature was verified."""
        self._follow(trust)
        return self._signatures

    def put(
        self, end_entity_sha256: bytes, trust: TrustSnapshot, path: CheckedPath, found: CertificationPath
    ) -> None:
        """Remember ``path``, and learn the authorities of ``found``, the certificates that it was made of."""
        self._follow(trust)
        self._paths[end_entity_sha256] = path
        if len(self._paths) > self._entries:
            self._paths.popitem(last=False)
        self._learn(found.certificates[1:])

    def _learn(self, issuers: tuple[Certificate, ...]) -> None:
        """When full, all that was learned is forgotten: it is quick to learn, and never seen to happen."""
        for certificate in issuers:
            if certificate.der in self._configured or certificate.der in self._learned:
                continue
            if len(self._learned) >= self._learned_issuers:
                self._learned.clear()
                self._signatures.clear()
            self._learned[certificate.der] = certificate
        if len(self._signatures) < self._learned_issuers + len(self._configured):
            self._signatures.update(
                (certificate.sha256, issuer.issuer_hash) for certificate, issuer in pairwise(issuers)
            )

    def _follow(self, trust: TrustSnapshot) -> None:
        if trust.generation != self._generation or trust.authorities is not self._authorities:
            self._paths.clear()
            self._learned.clear()
            self._signatures.clear()
            self._configured = {c.der: c for authority in trust.authorities for c in authority.certificates}
            self._generation = trust.generation
            self._authorities = trust.authorities
