"""Policies, rules and zones as JSON, and what their use cases refuse as errors of the API."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from gateway.adapters.store import View, Work
from gateway.model.org import StoredPolicy
from gateway.policy.derived_ids import default_rule_id
from gateway.policy.lint import Finding
from gateway.policy.wire.names import WireNames
from gateway.policy.wire.policies import policy_wire
from gateway.policy.wire.refusal import Problem, WireRefused
from gateway.policy.wire.rules import Envelope, default_rule_wire, rule_wire
from gateway.server.org.call import Call
from gateway.server.org.enforced import enforced
from gateway.server.org.enforcement import Applied
from gateway.server.org.errors import ApiError, conflict, validation_failed
from gateway.server.org.openapi import reference
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import CompiledPolicy, place_of, rules_of, version_of
from gateway.services.policy_files import file_has_changed
from gateway.services.policy_work import ChangedMeanwhile, Editing, PolicyRefused, StillUsed

_T = TypeVar("_T")

_OBJECT: Final[dict[str, Any]] = {"type": "object"}
_NAMED: Final[dict[str, Any]] = {
    "id": {"type": "string"},
    "name": {"type": "string"},
    "created": {"type": "string", "format": "date-time"},
    "lastUpdated": {"type": "string", "format": "date-time"},
    "status": {"enum": ["ACTIVE", "INACTIVE"]},
    "_links": _OBJECT,
    "enforcement": reference("Enforcement"),
}
SCHEMAS: Final[dict[str, Any]] = {
    "Policy": {
        "type": "object",
        "description": "The sign-on policy of one app.",
        "required": ["id", "type", "name", "app", "source", "default"],
        "properties": {
            **_NAMED,
            "type": {"const": "ACCESS_POLICY"},
            "app": {"type": "string", "description": "Name of the app in gateway.yaml."},
            "source": {"enum": ["file", "edited"], "description": "edited: counts instead of the file."},
            "fileChanged": {
                "type": "boolean",
                "description": "The file is another one than the one that was edited.",
            },
            "default": {"enum": ["allow", "deny"], "description": "What the built-in last rule answers."},
            "warnings": {"type": "array", "items": reference("PolicyWarning")},
        },
    },
    "PolicyRule": {
        "type": "object",
        "description": "A rule of type ACCESS_POLICY, as in the Okta API. Members of our own: `monitor`, "
        "`conditions.office365Client`, `conditions.plugIns`, `conditions.device.trustLevel`, "
        "`conditions.device.hardwareKey`. A request that leaves one of them out which the rule has is "
        "refused.",
        "required": ["id", "type", "name", "priority", "status", "system", "actions"],
        "properties": {
            **_NAMED,
            "type": {"const": "ACCESS_POLICY"},
            "priority": {"type": "integer"},
            "system": {"type": "boolean"},
            "monitor": {"type": "boolean"},
            "conditions": {"type": ["object", "null"]},
            "actions": _OBJECT,
            "warnings": {"type": "array", "items": reference("PolicyWarning")},
        },
    },
    "PolicyWarning": {
        "type": "object",
        "description": "What the linter says of the policy as it is now.",
        "required": ["severity", "code", "rule", "sentence", "remedy"],
        "properties": {
            "severity": {"enum": ["error", "warning", "info"]},
            "code": {"type": "string"},
            "rule": {"type": ["string", "null"]},
            "sentence": {"type": "string"},
            "remedy": {"type": "string"},
        },
    },
    "NetworkZone": {
        "type": "object",
        "description": "A zone of type IP, as in the Okta API. Those of gateway.yaml cannot be written.",
        "required": ["id", "name", "type", "status", "gateways", "source"],
        "properties": {
            **_NAMED,
            "type": {"const": "IP"},
            "source": {"enum": ["file", "store"]},
            "gateways": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"type": {"enum": ["CIDR", "RANGE"]}, "value": {"type": "string"}},
                },
            },
        },
    },
}


def editing(call: Call) -> Editing:
    return Editing(call.occasion(), call.configuration, call.randomness.bytes)


async def edited(call: Call, use_case: Callable[[Work, Editing], _T]) -> tuple[_T, Applied]:
    """Commit an edit and wait until it is in force. Raises ApiError."""
    edit = editing(call)
    with refusals():
        return await enforced(call, lambda work: use_case(work, edit))


async def seen(call: Call, query: Callable[[View], _T]) -> _T:
    with refusals():
        return await call.store.read(query)


@contextmanager
def refusals() -> Iterator[None]:
    """What the use cases refuse → ApiError."""
    try:
        yield
    except (WireRefused, PolicyRefused) as refused:
        raise _invalid(refused.problems) from None
    except ChangedMeanwhile:
        cause = "If-Match: it was changed since it was read; read it again"
        raise ApiError(412, "E0000001", "Api validation failed: If-Match", (cause,)) from None
    except StillUsed as used:
        rules = [{"app": app, "rule": rule} for app, rule in used.rules]
        raise conflict(f"zone {used.name} is named by rules of policies", rules=rules) from None


def if_match(call: Call) -> str | None:
    """The entity tag that the thing must still have; None: any. A weak one never matches."""
    tag = call.headers.get("if-match", "*").strip()
    return None if tag == "*" else tag.strip('"')


def policy_json(call: Call, policy: StoredPolicy) -> dict[str, Any]:
    wire = policy_wire(policy, policy_url(call, policy.id))
    wire["fileChanged"] = file_has_changed(policy, call.configuration)
    return wire


def rule_json(call: Call, policy: StoredPolicy, rule_id: str, names: WireNames) -> dict[str, Any]:
    """Raises NotFound."""
    place, rules = place_of(policy, rule_id), rules_of(policy)
    envelope = _envelope(call, policy)
    if place == len(rules):
        return _default_json(policy, envelope)
    return rule_wire(rules[place], rule_id, place, envelope, names)


def rules_json(call: Call, policy: StoredPolicy, names: WireNames) -> list[dict[str, Any]]:
    """All, in the order in which they are looked at, the built-in one last."""
    envelope = _envelope(call, policy)
    rules = [
        rule_wire(rule, rule["id"], place, envelope, names) for place, rule in enumerate(rules_of(policy))
    ]
    return [*rules, _default_json(policy, envelope)]


def rule_tag(policy: StoredPolicy, rule_id: str) -> str:
    rules = rules_of(policy)
    place = place_of(policy, rule_id)
    value = {"default": policy.document.get("default")} if place == len(rules) else rules[place]
    return f'"{version_of(value)}"'


def policy_tag(policy: StoredPolicy) -> str:
    return f'"{version_of(policy.document)}"'


async def warnings_json(result: CompiledPolicy) -> list[dict[str, Any]]:
    """What the linter says, looked for beside the event loop."""
    return [warning_json(finding) for finding in await asyncio.to_thread(result.warnings)]


def warning_json(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "rule": finding.rule,
        "sentence": finding.sentence,
        "remedy": finding.remedy,
    }


def policy_url(call: Call, policy_id: str) -> str:
    return f"{call.base_url}/api/v1/policies/{policy_id}"


def app_json(call: Call, configuration: OrgConfiguration, name: str) -> dict[str, Any]:
    app = configuration.apps[name]
    url = f"{call.base_url}/api/v1/apps/{name}"
    links = {"self": {"href": url}}
    return {"id": name, "name": name, "label": app.label, "status": "ACTIVE", "_links": links}


def _default_json(policy: StoredPolicy, envelope: Envelope) -> dict[str, Any]:
    default = str(policy.document.get("default", "allow"))
    return default_rule_wire(default, default_rule_id(policy.app), len(rules_of(policy)), envelope)


def _envelope(call: Call, policy: StoredPolicy) -> Envelope:
    return Envelope(f"{policy_url(call, policy.id)}/rules", policy.created, policy.last_updated)


def _invalid(problems: Sequence[Problem]) -> ApiError:
    first = problems[0].field or "body"
    return validation_failed(first, *(str(problem) for problem in problems))
