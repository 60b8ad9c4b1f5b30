"""Certification path building and validation (RFC 5280 §6.1; building in the manner of RFC 4158).

Where RFC 5280 leaves a choice, or a device certificate needs more:

- A trust anchor is a configured certificate, a self-signed root or an issuing authority. A path ends at
  the first one. Its dates, path length, key usage, extended key usage and name constraints count as well
  (RFC 5937): the administrator who configures an expired authority is told so.
- The end entity must not be an authority, and may use its key for signatures, if it says what for. An
  extendedKeyUsage must contain clientAuth or anyExtendedKeyUsage; without the extension any use is
  allowed (RFC 5280 §4.2.1.12). An authority's extendedKeyUsage limits all below it in the same way.
- Key identifiers order candidates and decide nothing.
- Dates hold for whole seconds, both ends included.

Not checked here: revocation, names against anything (`gateway.pki.identity` reads them), and the proof
of possession of the key, which is the handshake's.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from gateway.model.device import CertificateId
from gateway.model.reasons import TrustReason
from gateway.pki.certificate import Certificate, CertificateRejected
from gateway.pki.name_constraints import ComparisonBudget, check_name_constraints
from gateway.pki.policy_constraints import check_policies

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
ANY_EXTENDED_KEY_USAGE = "2.5.29.37.0"

# Enterprise hierarchies are two or three deep, cross-signing adds one or two. Self-issued certificates
# (key roll-over) are not counted by RFC 5280, so the whole path has a bound of its own.
MAX_INTERMEDIATES = 6
MAX_PATH_CERTIFICATES = 12
# One signature costs 50 to 400 µs, and whoever connects chooses how many candidates there are. A path of
# full length needs 11; the rest is for cross-signed hierarchies with candidates that fail.
MAX_SIGNATURE_VERIFICATIONS = 32
# Edges that are looked at, with signatures remembered. Authorities that all sign one another would make
# this number exponential.
MAX_SEARCH_STEPS = 512

# SHA-256 of a certificate and `issuer_hash` of the one whose key made its signature.
Signatures = AbstractSet[tuple[bytes, bytes]]

_HELPFULNESS = {reason: rank for rank, reason in enumerate(TrustReason)}


@dataclass(frozen=True, slots=True)
class CertificationPath:
    """A checked path: end entity first, trust anchor last. Good from ``not_before`` to ``not_after``."""

    certificates: tuple[Certificate, ...]
    not_before: datetime
    not_after: datetime

    @property
    def certificate_ids(self) -> tuple[CertificateId, ...]:
        """Of every certificate but the anchor, end entity first."""
        above = self.certificates[1:]
        return tuple(c.certificate_id(i) for c, i in zip(self.certificates, above, strict=False))


class SearchBudget:
    """What one end entity may cost, over all authorities that it is tried with.

    ``verified`` are signatures that are known to be good and cost nothing.
    """

    def __init__(
        self,
        signatures: int = MAX_SIGNATURE_VERIFICATIONS,
        steps: int = MAX_SEARCH_STEPS,
        verified: Signatures = frozenset(),
    ) -> None:
        self.signatures_left = signatures
        self.steps_left = steps
        self.comparisons = ComparisonBudget()
        self._verified = verified
        self._signed_by: dict[tuple[bytes, bytes], bool] = {}

    def is_signed_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Check a signature once per pair. Raises `CertificateRejected` when the budget is used up."""
        self.steps_left -= 1
        pair = (certificate.sha256, issuer.issuer_hash)
        known = True if pair in self._verified else self._signed_by.get(pair)
        if known is None:
            self.signatures_left -= 1
        if self.steps_left < 0 or self.signatures_left < 0:
            raise _refused(TrustReason.INVALID_CHAIN, "too many candidates to find a path")
        if known is None:
            known = self._signed_by[pair] = certificate.is_signed_by(issuer)
        return known


def build_path(
    end_entity: Certificate,
    anchors: Sequence[Certificate],
    intermediates: Sequence[Certificate],
    presented: Sequence[Certificate],
    now: datetime,
    *,
    budget: SearchBudget | None = None,
    required_usage: str | None = CLIENT_AUTH,
    signs: bool = True,
    max_intermediates: int = MAX_INTERMEDIATES,
) -> CertificationPath:
    """The first valid path from the end entity to an anchor at ``now`` (aware).

    ``intermediates`` are configured, ``presented`` came from the peer: both are only candidates.
    ``required_usage`` is the extended key usage that has to be allowed, None for any; ``signs`` False: the
    end entity's key is for encryption, and need not be allowed to sign.
    Raises `CertificateRejected`. When several candidate paths fail, its reason is of the one that got
    furthest in the order chain, dates, usage.
    """
    budget = budget or SearchBudget()
    search = _Search(anchors, intermediates, presented, max_intermediates, budget)
    failure: CertificateRejected | None = None
    try:
        for certificates in search.paths((end_entity,)):
            try:
                _check_chain(certificates, budget.comparisons)
                _check_dates(certificates, now)
                _check_usage(certificates, required_usage, signs)
            except CertificateRejected as rejected:
                failure = _more_helpful(failure, rejected)
            else:
                return CertificationPath(
                    certificates,
                    max(c.not_before for c in certificates),
                    min(c.not_after for c in certificates),
                )
    except CertificateRejected as exhausted:
        failure = _more_helpful(failure, exhausted)
    failure = failure or search.failure
    raise failure or _refused(TrustReason.UNKNOWN_ISSUER, "no path to a configured authority")


class _Search:
    """Depth first, from the end entity upwards, trusted candidates first."""

    def __init__(
        self,
        anchors: Sequence[Certificate],
        intermediates: Sequence[Certificate],
        presented: Sequence[Certificate],
        max_intermediates: int,
        budget: SearchBudget,
    ) -> None:
        self._anchors = anchors
        self._intermediates = intermediates
        self._presented = presented
        self._max_intermediates = max_intermediates
        self._budget = budget
        self.failure: CertificateRejected | None = None

    def paths(self, path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, ...]]:
        """Every chain of names and signatures that begins with ``path`` and ends at an anchor."""
        for anchor in self._issuers(path, self._anchors, configured=True):
            yield (*path, anchor)
        if len(path) + 2 > MAX_PATH_CERTIFICATES:
            return
        for configured, candidates in ((True, self._intermediates), (False, self._presented)):
            for issuer in self._issuers(path, candidates, configured=configured):
                longer = (*path, issuer)
                if sum(not c.is_self_issued for c in longer[1:]) <= self._max_intermediates:
                    yield from self.paths(longer)

    def _issuers(
        self, path: tuple[Certificate, ...], candidates: Sequence[Certificate], *, configured: bool
    ) -> Iterator[Certificate]:
        child = path[-1]
        fitting = [
            candidate
            for candidate in candidates
            if candidate.subject == child.issuer
            # One authority twice on a path is a cycle, whichever of its certificates it is.
            and all(candidate.issuer_hash != earlier.issuer_hash for earlier in path)
        ]
        fitting.sort(key=lambda candidate: _key_identifier_rank(child, candidate))
        for candidate in fitting:
            if self._budget.is_signed_by(child, candidate):
                yield candidate
            elif configured:
                self.failure = _refused(TrustReason.INVALID_CHAIN, "not signed by the issuer that it names")


def _key_identifier_rank(child: Certificate, issuer: Certificate) -> int:
    wanted = child.extensions.authority_key_identifier
    offered = issuer.extensions.subject_key_identifier
    if wanted is None or offered is None:
        return 1
    return 0 if wanted == offered else 2


def _check_chain(path: tuple[Certificate, ...], comparisons: ComparisonBudget) -> None:
    for position, certificate in enumerate(path):
        extensions = certificate.extensions
        if extensions.unprocessed_critical:
            raise _chained(f"{_place(path, position)} has a critical extension that is not understood")
        if not certificate.issuer:
            raise _chained(f"{_place(path, position)} has an empty issuer")
        if position == 0:
            if not certificate.subject and not extensions.subject_alt_name_critical:
                raise _chained("the subject is empty and subjectAltName is not critical")
            continue
        if not extensions.is_ca:
            raise _chained(f"{_place(path, position)} is not an authority")
        if extensions.key_usage is not None and not extensions.key_usage.key_cert_sign:
            raise _chained(f"{_place(path, position)} may not sign certificates")
        if not certificate.subject:
            raise _chained(f"{_place(path, position)} has an empty subject")
        between = sum(not below.is_self_issued for below in path[1:position])
        if extensions.path_length is not None and between > extensions.path_length:
            raise _chained(f"{_place(path, position)} allows fewer authorities below it")
    check_name_constraints(path, comparisons)
    check_policies(path)


def _check_dates(path: tuple[Certificate, ...], now: datetime) -> None:
    second = now.replace(microsecond=0)
    for position, certificate in enumerate(path):
        if second < certificate.not_before:
            raise _refused(
                TrustReason.NOT_YET_VALID, f"{_place(path, position)} is not valid yet", chained=True
            )
    for position, certificate in enumerate(path):
        if second > certificate.not_after:
            raise _refused(TrustReason.EXPIRED, f"{_place(path, position)} has expired", chained=True)


def _check_usage(path: tuple[Certificate, ...], required_usage: str | None, signs: bool) -> None:
    end_entity = path[0].extensions
    if end_entity.is_ca:
        raise _wrong_usage("an authority's certificate is not a device's")
    if end_entity.key_usage is not None:
        if end_entity.key_usage.key_cert_sign:
            raise _wrong_usage("the key may sign certificates without being an authority's")
        if signs and not end_entity.key_usage.digital_signature:
            raise _wrong_usage("keyUsage does not allow digital signatures")
    if required_usage is None:
        return
    for position, certificate in enumerate(path):
        usages = certificate.extensions.extended_key_usage
        if usages is not None and not usages & {required_usage, ANY_EXTENDED_KEY_USAGE}:
            raise _wrong_usage(f"extendedKeyUsage of {_place(path, position)} does not allow this use")


def _place(path: tuple[Certificate, ...], position: int) -> str:
    if position == 0:
        return "the end entity certificate"
    if position == len(path) - 1:
        return "the trust anchor"
    return f"intermediate certificate {position}"


def _more_helpful(first: CertificateRejected | None, second: CertificateRejected) -> CertificateRejected:
    if first is None or _HELPFULNESS[second.reason] > _HELPFULNESS[first.reason]:
        return second
    return first


def _chained(detail: str) -> CertificateRejected:
    return _refused(TrustReason.INVALID_CHAIN, detail, chained=True)


def _wrong_usage(detail: str) -> CertificateRejected:
    return _refused(TrustReason.WRONG_KEY_USAGE, detail, chained=True)


def _refused(reason: TrustReason, detail: str, *, chained: bool = False) -> CertificateRejected:
    return CertificateRejected(reason, detail, chained=chained)
