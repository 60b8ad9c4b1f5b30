"""What is wrong with a policy that is valid: one function for each rule, each with its source.

The reachability rules look at every class of requests that the policy can tell apart (`space`), so an
"unreachable" is never a guess. What is not looked at: whether users and groups exist, and what a
plug-in's condition means.
"""

from collections.abc import Callable, Iterator
from typing import Final

from gateway.policy.conditions import Zones
from gateway.policy.lint import reach, trust
from gateway.policy.lint.finding import Finding, LintContext, Severity
from gateway.policy.lint.space import build_space
from gateway.policy.rules import Policy

LintRule = Callable[[LintContext], Iterator[Finding]]

LINT_RULES: Final[tuple[LintRule, ...]] = (
    trust.unknown_zone,
    reach.title_contradicts_selection,
    reach.unreachable_rule,
    trust.spoofed_user_agent,
    trust.spoofed_user_agent_drops_factor,
    trust.legacy_let_in,
    trust.untrusted_reaches_default_allow,
    trust.untrusted_never_denied,
    trust.trust_never_matters,
    trust.hardware_key_never_matters,
    trust.trust_while_disabled,
    reach.users_beside_everyone,
    trust.trust_with_legacy,
    reach.not_all_decided,
)


def lint(
    policy: Policy, zones: Zones | None = None, device_trust_enabled: bool | None = None
) -> tuple[Finding, ...]:
    """All findings: errors first, then by the order of the rules they are about. None: not known, what
    depends on it is not looked at."""
    context = LintContext(policy, build_space(policy, zones), zones, device_trust_enabled)
    findings = [finding for rule in LINT_RULES for finding in rule(context)]
    severities = tuple(Severity)
    position: dict[str | None, int] = {rule.name: index for index, rule in enumerate(policy.rules)}
    position[None] = len(policy.rules)
    return tuple(sorted(findings, key=lambda found: (severities.index(found.severity), position[found.rule])))


__all__ = ["LINT_RULES", "Finding", "LintContext", "Severity", "lint"]
