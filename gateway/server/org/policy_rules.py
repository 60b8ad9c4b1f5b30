"""`/api/v1/policies/{policyId}/rules`: the rules of a policy, in their order."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import View
from gateway.model.org import TokenScope
from gateway.server.org.call import Call
from gateway.server.org.enforcement import Applied
from gateway.server.org.listing import list_of
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.policy_shape import (
    edited,
    if_match,
    rule_json,
    rule_tag,
    rules_json,
    seen,
    warnings_json,
)
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.services import policies
from gateway.services.policies import CompiledPolicy
from gateway.services.policy_work import names_of


async def list_rules(call: Call) -> Answer:
    configuration, policy_id = call.configuration, call.parameters["policyId"]

    def query(view: View) -> list[dict[str, Any]]:
        policy = policies.policy(view, configuration, policy_id)
        return rules_json(call, policy, names_of(view, configuration))

    return Answer(json=await seen(call, query))


async def get_rule(call: Call) -> Answer:
    configuration, policy_id = call.configuration, call.parameters["policyId"]
    rule_id = call.parameters["ruleId"]

    def query(view: View) -> tuple[dict[str, Any], str]:
        policy = policies.policy(view, configuration, policy_id)
        names = names_of(view, configuration)
        return rule_json(call, policy, rule_id, names), rule_tag(policy, rule_id)

    wire, tag = await seen(call, query)
    return Answer(json=wire, headers=(("ETag", tag),))


async def create_rule(call: Call) -> Answer:
    body, policy_id = call.json_object(), call.parameters["policyId"]
    if call.text("activate", "true") == "false":
        body = {"status": "INACTIVE", **body}
    (result, rule_id), applied = await edited(
        call, lambda work, editing: policies.create_rule(work, editing, policy_id, body)
    )
    return await _rule_answer(call, result, rule_id, applied)


async def replace_rule(call: Call) -> Answer:
    body, tag = call.json_object(), if_match(call)
    policy_id, rule_id = call.parameters["policyId"], call.parameters["ruleId"]
    result, applied = await edited(
        call, lambda work, editing: policies.replace_rule(work, editing, policy_id, rule_id, body, tag)
    )
    return await _rule_answer(call, result, rule_id, applied)


async def delete_rule(call: Call) -> Answer:
    policy_id, rule_id, tag = call.parameters["policyId"], call.parameters["ruleId"], if_match(call)
    await edited(call, lambda work, editing: policies.delete_rule(work, editing, policy_id, rule_id, tag))
    return NO_CONTENT


def _lifecycle(active: bool) -> Callable[[Call], Awaitable[Answer]]:
    async def change_status(call: Call) -> Answer:
        policy_id, rule_id = call.parameters["policyId"], call.parameters["ruleId"]
        await edited(
            call,
            lambda work, editing: policies.set_rule_status(work, editing, policy_id, rule_id, active=active),
        )
        return NO_CONTENT

    return change_status


async def _rule_answer(call: Call, result: CompiledPolicy, rule_id: str, applied: Applied) -> Answer:
    """The rule as it is now; with what the linter says of the policy, and how it came into force."""
    configuration = call.configuration
    wire = await seen(
        call, lambda view: rule_json(call, result.stored, rule_id, names_of(view, configuration))
    )
    wire |= {"warnings": await warnings_json(result), "enforcement": applied.json()}
    return Answer(json=wire, headers=(("ETag", rule_tag(result.stored, rule_id)),))


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"tags": ["Policy"], "summary": summary, "responses": responses, **more}


_PATH: Final = "/api/v1/policies/{policyId}/rules"
_ONE: Final = answers("The rule.", reference("PolicyRule"))
_DONE: Final = {"204": {"description": "Done."}}
_BODY: Final = takes(reference("PolicyRuleWrite"))

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        _PATH,
        TokenScope.READ,
        list_rules,
        _operation(
            "List rules", answers("Rules, in the order of their priority.", list_of(reference("PolicyRule")))
        ),
    ),
    Route(
        "POST",
        _PATH,
        TokenScope.ADMIN,
        create_rule,
        _operation(
            "Create a rule",
            _ONE,
            requestBody=_BODY,
            parameters=[
                query_parameter("activate", "false: the rule is inactive, unless it says otherwise.")
            ],
        ),
    ),
    Route("GET", f"{_PATH}/{{ruleId}}", TokenScope.READ, get_rule, _operation("A rule", _ONE)),
    Route(
        "PUT",
        f"{_PATH}/{{ruleId}}",
        TokenScope.ADMIN,
        replace_rule,
        _operation("Replace a rule", _ONE, requestBody=_BODY),
    ),
    Route("DELETE", f"{_PATH}/{{ruleId}}", TokenScope.ADMIN, delete_rule, _operation("Delete a rule", _DONE)),
    Route(
        "POST",
        f"{_PATH}/{{ruleId}}/lifecycle/activate",
        TokenScope.ADMIN,
        _lifecycle(True),
        _operation("Activate a rule", _DONE),
    ),
    Route(
        "POST",
        f"{_PATH}/{{ruleId}}/lifecycle/deactivate",
        TokenScope.ADMIN,
        _lifecycle(False),
        _operation("Deactivate a rule", _DONE),
    ),
)
