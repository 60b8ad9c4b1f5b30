"""`POST /api/v1/policies/simulate`: what the policy of an app says of a sign-on that is only described."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.adapters.store import View
from gateway.model.decision import Access, Decision, DeviceTrust
from gateway.model.org import StoredPolicy, TokenScope
from gateway.policy.derived_ids import default_rule_id
from gateway.policy.explain import decision_json
from gateway.policy.wire.rules import DEFAULT_RULE_NAME
from gateway.policy.wire.simulation import SimulatedRule, Simulation, read_simulation, simulate
from gateway.server.org.call import Call
from gateway.server.org.errors import resource_not_found, validation_failed
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.policy_shape import seen
from gateway.server.org.route import Answer, Route
from gateway.services import policies
from gateway.services.policy_work import names_of

_EXPANSIONS: Final = ("EVALUATED", "RULE")


async def simulate_policy(call: Call) -> Answer:
    body, expand = call.json_object(), _expand(call)
    configuration = call.configuration

    def query(view: View) -> Any:
        sign_on = read_simulation(body, names_of(view, configuration))
        stored = view.policies.of_app(sign_on.app)
        if stored is None or sign_on.app not in configuration.apps:
            raise resource_not_found(sign_on.app, "AppInstance")
        if not sign_on.wanted:
            return [] if sign_on.as_list else {"evaluation": []}
        user = None if sign_on.login is None else view.users.by_login(sign_on.login)
        if sign_on.groups is None and user is not None:
            groups = frozenset(group.name for group in view.groups.of_user(user.id))
            sign_on = replace(sign_on, groups=groups)
        policy = policies.compiled(view, configuration, stored)
        disabled = not policy.device_trust_enabled
        if disabled:
            sign_on = replace(sign_on, device_trust=DeviceTrust.NOT_TRUSTED)
        result = simulate(policy.policy, sign_on, policy.zones)
        evaluation = _evaluation_json(stored, result, expand)
        evaluation["deviceTrustDisabled"] = disabled
        evaluation["policyType"] = ["ACCESS_POLICY"] if sign_on.as_list else "ACCESS_POLICY"
        return [evaluation] if sign_on.as_list else {"evaluation": [evaluation]}

    return Answer(json=await seen(call, query))


def _expand(call: Call) -> frozenset[str]:
    wanted = frozenset(word for word in (call.text("expand") or "").split(",") if word)
    if not wanted <= set(_EXPANSIONS):
        raise validation_failed("expand", f"expand: must be {' or '.join(_EXPANSIONS)}")
    return wanted


def _evaluation_json(policy: StoredPolicy, result: Simulation, expand: frozenset[str]) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "status": "MATCH" if result.certain else "UNDEFINED",
        "result": _part(policy, "MATCH" if result.certain else "UNDEFINED", [result.matched], expand),
        "monitored": [_rule_json(policy, rule, expand) for rule in result.monitored],
        "decision": _decision_json(result),
    }
    if "EVALUATED" in expand:
        wire["evaluated"] = _part(policy, "NOT_MATCH", result.not_matched, expand)
        wire["undefined"] = _part(policy, "UNDEFINED", result.undefined, expand)
    return wire


def _part(
    policy: StoredPolicy, status: str, rules: Sequence[SimulatedRule], expand: frozenset[str]
) -> dict[str, Any]:
    if not rules:
        return {"policies": []}
    return {
        "policies": [
            {
                "id": policy.id,
                "name": policy.name,
                "status": status,
                "conditions": [],
                "rules": [_rule_json(policy, rule, expand) for rule in rules],
            }
        ]
    }


def _rule_json(policy: StoredPolicy, part: SimulatedRule, expand: frozenset[str]) -> dict[str, Any]:
    if part.rule is None:
        rule_id, name = default_rule_id(policy.app), DEFAULT_RULE_NAME
    else:
        name = part.rule.name
        rule_id = next(str(rule["id"]) for rule in policies.rules_of(policy) if rule["name"] == name)
    wire: dict[str, Any] = {"id": rule_id, "name": name, "status": part.status.value, "conditions": []}
    if "RULE" in expand:
        wire["conditions"] = [
            {"type": each.type, "status": each.status.value, "detail": each.detail}
            for each in part.conditions
        ]
    return wire


def _decision_json(result: Simulation) -> dict[str, Any] | None:
    """What the gateway would do; None where that depends on what is not known."""
    answer = result.explanation.answer
    if not isinstance(answer, Decision):
        if answer.needs_challenge or not _same(result, answer.not_trusted):
            return None
        answer = answer.not_trusted
    elif not _same(result, answer):
        return None
    wire = decision_json(answer)
    wire["access"] = "ALLOW" if answer.access is Access.ALLOW else "DENY"
    return wire


def _same(result: Simulation, decision: Decision) -> bool:
    """Whether the engine, with stand-ins for what is not known, and the simulation end in the same rule."""
    return result.certain and decision.rule == (
        None if result.matched.rule is None else result.matched.rule.name
    )


ROUTES: Final[Sequence[Route]] = (
    Route(
        "POST",
        "/api/v1/policies/simulate",
        TokenScope.READ,
        simulate_policy,
        {
            "tags": ["Policy"],
            "summary": "What a policy says of a sign-on",
            "description": "With `policyTypes` (or none) the answer is a list, as the Okta SDK reads it; "
            "with `policyType` an object with `evaluation`. What the context leaves out is not known: "
            "conditions on it are UNDEFINED.",
            "parameters": [
                query_parameter(
                    "expand",
                    "EVALUATED, RULE, or both with a comma between.",
                    {"type": "string", "pattern": "^(EVALUATED|RULE)(,(EVALUATED|RULE))?$"},
                )
            ],
            "requestBody": takes(reference("PolicySimulation")),
            "responses": answers(
                "The rules that match, and those that do not.", {"type": ["array", "object"]}
            ),
        },
    ),
)
