"""Why a request is answered as it is: every rule, every condition, as text or as JSON values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.model.decision import (
    Decision,
    DeviceTrust,
    FactorPrompt,
    Match,
    RuleTrace,
    SignOnRequest,
)
from gateway.policy.conditions import Zones
from gateway.policy.engine import Answers, evaluate, evaluate_both, trace_rule
from gateway.policy.rules import Policy, Rule, Status


@dataclass(frozen=True, slots=True)
class RuleExplanation:
    """``reached`` False: a rule above has decided for certain, so this one is not looked at."""

    rule: Rule
    trace: RuleTrace
    reached: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """``answer`` is a decision where the request says what the device is, else all answers."""

    policy: Policy
    request: SignOnRequest
    rules: tuple[RuleExplanation, ...]
    answer: Decision | Answers


def explain(policy: Policy, request: SignOnRequest, zones: Zones) -> Explanation:
    """Look at all rules, also those below the one that decides and those that are inactive."""
    rules: list[RuleExplanation] = []
    reached = True
    for rule in policy.rules:
        trace = trace_rule(rule, request, zones)
        rules.append(RuleExplanation(rule, trace, reached))
        if rule.status is Status.ACTIVE and trace.match is Match.MATCH:
            reached = False
    answer = (
        evaluate_both(policy, request, zones)
        if request.device_trust is DeviceTrust.UNKNOWN
        else evaluate(policy, request, zones)
    )
    return Explanation(policy, request, tuple(rules), answer)


def as_text(explanation: Explanation) -> str:
    """Lines for a terminal; names in them are printable, as `compile_policy` has checked."""
    return "\n".join(_lines(explanation))


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"policy {explanation.policy.name}"
    for number, part in enumerate(explanation.rules, start=1):
        yield f"{number}. {part.rule.name}: {part.trace.match}{_remark(part)}"
        for result in part.trace.conditions:
            yield f"     {result.condition:<13} {result.match:<10} {result.detail}"
        if not part.trace.conditions:
            yield "     no conditions: selects everything"
    yield f"{len(explanation.rules) + 1}. default: {explanation.policy.default}"
    answer = explanation.answer
    if isinstance(answer, Decision):
        yield f"=> {_sentence(answer)}"
        return
    yield f"=> with a trusted device: {_sentence(answer.trusted)}"
    if explanation.policy.tells_keys_apart:
        yield f"=> with a trusted device whose key is in hardware: {_sentence(answer.hardware_key)}"
    yield f"=> without one: {_sentence(answer.not_trusted)}"
    needed = answer.needs_challenge
    yield "=> the device is asked for its certificate" if needed else "=> the same either way: no challenge"


def _remark(part: RuleExplanation) -> str:
    if part.rule.status is Status.INACTIVE:
        return " (inactive)"
    if not part.reached:
        return " (not reached)"
    return " (monitor: decides nothing)" if part.rule.status is Status.MONITOR else ""


def _sentence(decision: Decision) -> str:
    prompt = (
        f", prompt for factor {prompt_text(decision.prompt_for_factor)}" if decision.prompt_for_factor else ""
    )
    monitored = f"; monitor rules that matched: {', '.join(decision.monitored)}" if decision.monitored else ""
    return f"{decision.access}{prompt} ({decision.reason}){monitored}"


def prompt_text(prompt: FactorPrompt) -> str:
    return f"every {prompt.minutes}m" if prompt.minutes is not None else prompt.frequency


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same as values for a JSON writer."""
    request, answer = explanation.request, explanation.answer
    decided: dict[str, Any]
    if isinstance(answer, Decision):
        decided = {"decision": decision_json(answer)}
    else:
        decided = {
            "trusted": decision_json(answer.trusted),
            "trusted_with_hardware_key": decision_json(answer.hardware_key),
            "not_trusted": decision_json(answer.not_trusted),
            "needs_challenge": answer.needs_challenge,
        }
    return {
        "policy": explanation.policy.name,
        "default": explanation.policy.default.value,
        "request": {
            "user": request.user,
            "groups": sorted(request.groups),
            "ip": str(request.ip),
            "client": request.client.value,
            "platform": request.platform.value,
            "device_trust": request.device_trust.value,
            "hardware_key": request.hardware_key,
        },
        "rules": [_rule_json(part) for part in explanation.rules],
        **decided,
    }


def _rule_json(part: RuleExplanation) -> dict[str, Any]:
    return {
        "rule": part.rule.name,
        "status": part.rule.status.value,
        "access": part.rule.access.value,
        "match": part.trace.match.value,
        "reached": part.reached and part.rule.status is not Status.INACTIVE,
        "conditions": [
            {"condition": result.condition, "match": result.match.value, "detail": result.detail}
            for result in part.trace.conditions
        ],
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision without its trace."""
    prompt = decision.prompt_for_factor
    return {
        "access": decision.access.value,
        "reason": decision.reason,
        "rule": decision.rule,
        "prompt_for_factor": None if prompt is None else prompt_text(prompt),
        "monitored": list(decision.monitored),
    }
