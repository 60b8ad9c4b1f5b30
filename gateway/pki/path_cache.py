"""Checked paths, remembered per end entity certificate."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from gateway.model.device import CertificateId, TrustVerdict
from gateway.pki.authority import Authority, TrustSnapshot
from gateway.pki.certificate import Certificate

# One entry is about 1.5 KiB.
DEFAULT_ENTRIES = 16_384


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

    Keyed by the end entity alone: once a path is known, it matters no more which intermediates come
    along. Only paths that passed are kept. So an entry costs an attacker a certificate by a trusted
    authority, with the handshake's proof of its key, and the same one never takes a second entry; what
    fails is checked again each time, at the bounded price of `gateway.pki.path.SearchBudget`.
    Not for use by several threads.
    """

    def __init__(self, entries: int = DEFAULT_ENTRIES) -> None:
        self._entries = entries
        self._paths: OrderedDict[bytes, CheckedPath] = OrderedDict()
        self._authorities: tuple[Authority, ...] = ()
        self._configured: dict[bytes, Certificate] = {}
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

    def configured(self, certificate_der: bytes, trust: TrustSnapshot) -> Certificate | None:
        """The authorities' own certificate with these bytes. Most clients present their issuer, which the
        configuration has already: parsing it again for each new device would double the price."""
        self._follow(trust)
        return self._configured.get(certificate_der)

    def put(self, end_entity_sha256: bytes, trust: TrustSnapshot, path: CheckedPath) -> None:
        self._follow(trust)
        self._paths[end_entity_sha256] = path
        if len(self._paths) > self._entries:
            self._paths.popitem(last=False)

    def _follow(self, trust: TrustSnapshot) -> None:
        if trust.generation != self._generation or trust.authorities is not self._authorities:
            self._paths.clear()
            self._configured = {c.der: c for authority in trust.authorities for c in authority.certificates}
            self._generation = trust.generation
            self._authorities = trust.authorities
