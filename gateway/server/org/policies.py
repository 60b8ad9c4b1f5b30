"""`/api/v1/policies`: the sign-on policy of each app, as a policy of type ACCESS_POLICY.

Apps come from gateway.yaml, and each has one policy: none can be made, and to delete one takes back what was
edited, so that the app's file counts again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import View
from gateway.model.org import StoredPolicy, TokenScope
from gateway.server.org.call import Call
from gateway.server.org.errors import resource_not_found, validation_failed
from gateway.server.org.listing import PAGE_PARAMETERS, list_of, page_answer, page_begin
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.policy_shape import (
    app_json,
    edited,
    if_match,
    policy_json,
    policy_tag,
    policy_url,
    seen,
    warnings_json,
)
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.services import policies
from gateway.services.policy_files import revert_to_file
from gateway.services.refusals import NotAllowedNow

POLICY_TYPE: Final = "ACCESS_POLICY"
_OTHER_TYPES: Final = (
    "OKTA_SIGN_ON",
    "MFA_ENROLL",
    "PASSWORD",
    "IDP_DISCOVERY",
    "PROFILE_ENROLLMENT",
    "POST_AUTH_SESSION",
    "ENTITY_RISK",
    "DEVICE_SIGNAL_COLLECTION",
)


async def list_policies(call: Call) -> Answer:
    kind, status, q = call.text("type", POLICY_TYPE), call.text("status"), call.text("q")
    if kind not in (POLICY_TYPE, *_OTHER_TYPES):
        raise validation_failed("type", f"type: must be {POLICY_TYPE}")
    if status not in (None, "ACTIVE", "INACTIVE"):
        raise validation_failed("status", "status: must be ACTIVE or INACTIVE")
    limit, begin, configuration = call.limit(), page_begin(call), call.configuration
    found: list[StoredPolicy] = []
    if kind == POLICY_TYPE:
        found = await seen(call, lambda view: policies.policies(view, configuration))
    wanted = sorted(
        (
            policy
            for policy in found
            if (begin is None or policy.id > begin)
            and (status is None or policy.status == status)
            and (not q or q.casefold() in policy.name.casefold())
        ),
        key=lambda policy: policy.id,
    )
    return page_answer(call, wanted[: limit + 1], limit, lambda policy, _: policy_json(call, policy))


async def get_policy(call: Call) -> Answer:
    policy = await _policy(call)
    return Answer(json=policy_json(call, policy), headers=(("ETag", policy_tag(policy)),))


async def replace_policy(call: Call) -> Answer:
    body, policy_id, tag = call.json_object(), call.parameters["policyId"], if_match(call)
    result, applied = await edited(
        call, lambda work, editing: policies.replace_policy(work, editing, policy_id, body, tag)
    )
    wire = policy_json(call, result.stored)
    wire |= {"warnings": await warnings_json(result), "enforcement": applied.json()}
    return Answer(json=wire, headers=(("ETag", policy_tag(result.stored)),))


async def delete_policy(call: Call) -> Answer:
    policy_id = call.parameters["policyId"]
    await edited(call, lambda work, editing: revert_to_file(work, editing, policy_id))
    return NO_CONTENT


async def activate_policy(call: Call) -> Answer:
    await _policy(call)
    return NO_CONTENT


async def deactivate_policy(call: Call) -> Answer:
    await _policy(call)
    raise NotAllowedNow("An app always has a policy. Deactivate its rules, or let its last rule allow all.")


async def list_apps(call: Call) -> Answer:
    policy = await _policy(call)
    return Answer(json=[app_json(call, call.configuration, policy.app)])


async def list_mappings(call: Call) -> Answer:
    return Answer(json=[_mapping(call, await _policy(call))])


async def get_mapping(call: Call) -> Answer:
    policy, mapping_id = await _policy(call), call.parameters["mappingId"]
    if mapping_id != policy.id:
        raise resource_not_found(mapping_id, "PolicyMapping")
    return Answer(json=_mapping(call, policy))


async def _policy(call: Call) -> StoredPolicy:
    configuration, policy_id = call.configuration, call.parameters["policyId"]

    def query(view: View) -> StoredPolicy:
        return policies.policy(view, configuration, policy_id)

    return await seen(call, query)


def _mapping(call: Call, policy: StoredPolicy) -> dict[str, Any]:
    """A policy has one app, so that its mapping needs no id of its own."""
    url = policy_url(call, policy.id)
    return {
        "id": policy.id,
        "_links": {
            "self": {"href": f"{url}/mappings/{policy.id}"},
            "policy": {"href": url},
            "application": {"href": f"{call.base_url}/api/v1/apps/{policy.app}"},
        },
    }


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"tags": ["Policy"], "summary": summary, "responses": responses, **more}


_PATH: Final = "/api/v1/policies"
_ONE: Final = answers("The policy.", reference("Policy"))
_DONE: Final = {"204": {"description": "Done."}}
_ANY: Final[dict[str, Any]] = {"type": "object"}

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        _PATH,
        TokenScope.READ,
        list_policies,
        _operation(
            "List policies",
            answers("Policies, in the order of their ids.", list_of(reference("Policy"))),
            parameters=[
                query_parameter(
                    "type",
                    f"{POLICY_TYPE}; there are none of other types.",
                    {"enum": [POLICY_TYPE, *_OTHER_TYPES]},
                ),
                query_parameter("status", "All of them are ACTIVE.", {"enum": ["ACTIVE", "INACTIVE"]}),
                query_parameter("q", "Part of the name."),
                *PAGE_PARAMETERS,
            ],
        ),
    ),
    Route("GET", f"{_PATH}/{{policyId}}", TokenScope.READ, get_policy, _operation("A policy", _ONE)),
    Route(
        "PUT",
        f"{_PATH}/{{policyId}}",
        TokenScope.ADMIN,
        replace_policy,
        _operation("Give a policy another name", _ONE, requestBody=takes(reference("PolicyWrite"))),
    ),
    Route(
        "DELETE",
        f"{_PATH}/{{policyId}}",
        TokenScope.ADMIN,
        delete_policy,
        _operation("Take back what was edited: the app's file counts again", _DONE),
    ),
    Route(
        "POST",
        f"{_PATH}/{{policyId}}/lifecycle/activate",
        TokenScope.ADMIN,
        activate_policy,
        _operation("Activate a policy, which it always is", _DONE),
    ),
    Route(
        "POST",
        f"{_PATH}/{{policyId}}/lifecycle/deactivate",
        TokenScope.ADMIN,
        deactivate_policy,
        _operation("Refused: an app always has a policy", _DONE),
    ),
    Route(
        "GET",
        f"{_PATH}/{{policyId}}/app",
        TokenScope.READ,
        list_apps,
        _operation("Apps of a policy", answers("The app.", list_of(_ANY))),
    ),
    Route(
        "GET",
        f"{_PATH}/{{policyId}}/mappings",
        TokenScope.READ,
        list_mappings,
        _operation("What a policy is for", answers("Its app.", list_of(_ANY))),
    ),
    Route(
        "GET",
        f"{_PATH}/{{policyId}}/mappings/{{mappingId}}",
        TokenScope.READ,
        get_mapping,
        _operation("What a policy is for", answers("Its app.", _ANY)),
    ),
)
