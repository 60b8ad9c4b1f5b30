"""Policy + request → decision. The first active rule that matches decides; the default is last.

Whatever cannot be decided is denied with POLICY_ERROR: a plug-in that failed, a zone that is not
defined, a trust that nobody asked for. `evaluate_both` is how the gateway finds out whether to ask.
"""

from dataclasses import dataclass, replace
from typing import Final, assert_never

from gateway.model.decision import (
    Access,
    ConditionResult,
    Decision,
    DeviceTrust,
    Match,
    RuleTrace,
    SignOnRequest,
)
from gateway.model.reasons import POLICY_ERROR
from gateway.policy.conditions import Zones
from gateway.policy.foreign import PlugInFailed, call_plug_in
from gateway.policy.rules import Policy, Rule, Status

# A trace goes into the log with each sign-on; the built-in conditions stay far below this.
MAX_DETAIL_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Answers:
    """What the policy says of one request with a trusted device, with an untrusted one, and with a trusted
    one whose key is in hardware."""

    trusted: Decision
    not_trusted: Decision
    hardware_key: Decision

    @property
    def needs_challenge(self) -> bool:
        """The outcome depends on the device: access or factor prompt differ. A different rule with the
        same outcome is not worth a round trip to the user."""
        return self.key_matters or not same_outcome(self.trusted, self.not_trusted)

    @property
    def key_matters(self) -> bool:
        """The outcome depends on where a trusted device has its key."""
        return not same_outcome(self.trusted, self.hardware_key)

    @property
    def monitor_differs(self) -> bool:
        """Only the answer of the device would tell which monitor rules match."""
        found = self.not_trusted.monitored
        return self.trusted.monitored != found or self.hardware_key.monitored != found

    @property
    def settled(self) -> Decision | None:
        """The decision to act on without asking the device; None where it has to be asked."""
        return None if self.needs_challenge else self.not_trusted


def same_outcome(one: Decision, other: Decision) -> bool:
    """Whether the person meets with the same, by whichever rule."""
    return one is other or (one.access, one.prompt_for_factor) == (other.access, other.prompt_for_factor)


def evaluate(policy: Policy, request: SignOnRequest, zones: Zones, *, trace: bool = False) -> Decision:
    """Decide. Never raises for what a plug-in does: it denies.

    ``monitored`` names the monitor rules that matched before a rule decided: those that would have
    decided, were they active. ``trace`` holds the rules looked at, in order, when asked for; a
    POLICY_ERROR always carries that of the rule it happened in. Costs a few microseconds without a
    trace, about ten times that with one.
    """
    traces: list[RuleTrace] = []
    monitored: list[str] = []
    decision = policy.default_decision
    for rule in policy.rules:
        if rule.status is Status.INACTIVE:
            continue
        seen: RuleTrace | None = None
        if trace:
            seen = trace_rule(rule, request, zones)
            traces.append(seen)
            match = seen.match
        else:
            try:
                match = _match_rule(rule, request, zones)
            except PlugInFailed as failure:
                match, seen = Match.UNDEFINED, _failed(rule, failure)
        if match is Match.NOT_MATCH:
            continue
        if rule.status is Status.MONITOR:
            if match is Match.MATCH:
                monitored.append(rule.name)
            continue
        if match is Match.MATCH:
            decision = rule.decision
        else:
            seen = seen or trace_rule(rule, request, zones)
            decision = Decision(Access.DENY, POLICY_ERROR, rule.name, trace=(seen,))
        break
    if trace:
        return replace(decision, trace=tuple(traces), monitored=tuple(monitored))
    return replace(decision, monitored=tuple(monitored)) if monitored else decision


def evaluate_both(policy: Policy, request: SignOnRequest, zones: Zones, *, trace: bool = False) -> Answers:
    """Decide for a device that turns out trusted, with each kind of key, and for one that does not; what the
    request says of the device is not read."""
    trusted = evaluate(policy, with_trust(request, DeviceTrust.TRUSTED), zones, trace=trace)
    not_trusted = evaluate(policy, with_trust(request, DeviceTrust.NOT_TRUSTED), zones, trace=trace)
    hardware_key = trusted
    if policy.tells_keys_apart:
        hardware_key = evaluate(
            policy, with_trust(request, DeviceTrust.TRUSTED, hardware_key=True), zones, trace=trace
        )
    return Answers(trusted, not_trusted, hardware_key)


def with_trust(request: SignOnRequest, trust: DeviceTrust, *, hardware_key: bool = False) -> SignOnRequest:
    """The same request of another device (`dataclasses.replace` takes twice as long)."""
    return SignOnRequest(
        request.user, request.groups, request.ip, request.client, request.platform, trust, hardware_key
    )


def trace_rule(rule: Rule, request: SignOnRequest, zones: Zones) -> RuleTrace:
    """How one rule meets one request, condition by condition, also those that come after a NOT_MATCH.
    A plug-in that fails is UNDEFINED, with its name; the conditions after it are not looked at."""
    results: list[ConditionResult] = []
    outcome = Match.MATCH
    for key, condition in rule.conditions:
        try:
            match = _as_match(key, call_plug_in(key, condition.match, request, zones))
            detail = _as_text(call_plug_in(key, condition.describe, request, zones))
        except PlugInFailed as failure:
            results.append(ConditionResult(key, Match.UNDEFINED, str(failure)))
            outcome = _both(outcome, Match.UNDEFINED)
            break
        results.append(ConditionResult(key, match, detail))
        outcome = _both(outcome, match)
    return RuleTrace(rule.name, outcome, tuple(results), monitor=rule.status is Status.MONITOR)


def _match_rule(rule: Rule, request: SignOnRequest, zones: Zones) -> Match:
    """The conjunction of the conditions; those after a NOT_MATCH do not run. Raises PlugInFailed."""
    at = [""]
    try:
        return call_plug_in("", _conjunction, rule, request, zones, at)
    except PlugInFailed as failure:
        raise PlugInFailed(at[0], failure.detail) from failure


def _conjunction(rule: Rule, request: SignOnRequest, zones: Zones, at: list[str]) -> Match:
    """Runs under one guard for the whole rule, because one for each condition doubles the time of a
    decision; ``at`` is left holding the key of the condition that ran last."""
    outcome = Match.MATCH
    for key, condition in rule.conditions:
        at[0] = key
        match = condition.match(request, zones)
        if match is Match.MATCH:
            continue
        if match is Match.NOT_MATCH:
            return match
        outcome = _as_match(key, match)
    return outcome


def _as_match(key: str, answer: object) -> Match:
    if isinstance(answer, Match):
        return answer
    raise PlugInFailed(key, f"answered with {type(answer).__name__}, not a Match")


def _as_text(description: object) -> str:
    return description[:MAX_DETAIL_CHARACTERS] if isinstance(description, str) else ""


def _both(outcome: Match, match: Match) -> Match:
    """Three-valued conjunction: NOT_MATCH wins over UNDEFINED, UNDEFINED over MATCH."""
    match match:
        case Match.NOT_MATCH:
            return Match.NOT_MATCH
        case Match.UNDEFINED:
            return outcome if outcome is Match.NOT_MATCH else Match.UNDEFINED
        case Match.MATCH:
            return outcome
        case _:
            assert_never(match)


def _failed(rule: Rule, failure: PlugInFailed) -> RuleTrace:
    result = ConditionResult(failure.plug_in, Match.UNDEFINED, str(failure))
    return RuleTrace(rule.name, Match.UNDEFINED, (result,), monitor=rule.status is Status.MONITOR)
