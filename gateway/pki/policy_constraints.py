"""Certificate policies along a path (RFC 5280 §6.1, as a set instead of a tree).

We require no policy ourselves (initial-explicit-policy off, initial-policy-set any-policy): what is
checked is whether an authority that demands a policy from those below it got one. Policy mappings are
not followed: below a mapping no policy counts, so that such a path holds only where nobody demands one.
That refuses some valid paths and accepts no invalid one.
"""

from gateway.model.reasons import TrustReason
from gateway.pki.certificate import Certificate, CertificateRejected

ANY_POLICY = "2.5.29.32.0"


def check_policies(path: tuple[Certificate, ...]) -> None:
    """Process a path, end entity first. Raises `CertificateRejected` (``INVALID_CHAIN``)."""
    explicit_after: int | None = None  # certificates until a policy is demanded; None: nobody demands one
    any_policy_for: int | None = None  # certificates for which any-policy still counts; None: for all
    valid: frozenset[str] | None = None  # None: any
    for position, certificate in reversed(list(enumerate(path))):
        policy = certificate.extensions.policy
        if not policy.constraints_critical:
            raise _refused("policy constraints are not critical")
        if position < len(path) - 1:  # the anchor's own policies are the administrator's decision
            valid = _narrowed(valid, policy.policies, any_counts=any_policy_for != 0)
            if policy.has_mappings:
                valid = frozenset()
            _require_policy(explicit_after, valid)
        if position == 0 or not certificate.is_self_issued:
            explicit_after = _one_less(explicit_after)
            any_policy_for = _one_less(any_policy_for)
        explicit_after = _lower(explicit_after, policy.require_explicit_policy)
        any_policy_for = _lower(any_policy_for, policy.inhibit_any_policy)
    _require_policy(explicit_after, valid)


def _require_policy(explicit_after: int | None, valid: frozenset[str] | None) -> None:
    if explicit_after == 0 and valid == frozenset():
        raise _refused("a required certificate policy is missing")


def _narrowed(
    valid: frozenset[str] | None, policies: frozenset[str] | None, *, any_counts: bool
) -> frozenset[str] | None:
    if policies is None:
        return frozenset()
    if ANY_POLICY in policies and any_counts:
        return valid
    named = policies - {ANY_POLICY}
    return named if valid is None else valid & named


def _one_less(count: int | None) -> int | None:
    return None if count is None else max(count - 1, 0)


def _lower(count: int | None, limit: int | None) -> int | None:
    if limit is None:
        return count
    return limit if count is None else min(count, limit)


def _refused(detail: str) -> CertificateRejected:
    return CertificateRejected(TrustReason.INVALID_CHAIN, detail, chained=True)
