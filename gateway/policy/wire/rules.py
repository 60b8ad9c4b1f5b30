"""A rule of a document ↔ an ACCESS_POLICY rule, and what a write would lose.

The rule's place in the list is its ``priority``, from 0. The built-in default is shown as the last rule, with
``system: true``, as Okta shows its catch-all rule; nothing but its access can be written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gateway.model.decision import Access
from gateway.policy.normal import keep_spelling, normal_rule, plug_in_keys
from gateway.policy.rules import MAX_RULES, Status
from gateway.policy.wire.access import access_document, actions_wire
from gateway.policy.wire.conditions import conditions_document, conditions_wire
from gateway.policy.wire.names import WireNames
from gateway.policy.wire.refusal import (
    Problem,
    WireRefused,
    gather,
    read_flag,
    read_object,
    read_word,
    refused,
    shown,
)

RULE_TYPE: Final = "ACCESS_POLICY"
DEFAULT_RULE_NAME: Final = "Catch-all Rule"
# Where Okta shows its catch-all rule; ours is lower still where there are more rules.
DEFAULT_RULE_PRIORITY: Final = 99
# What our own answers have beside the rule is no fault in a request that was made of one.
_READ_ONLY: Final = ("created", "lastUpdated", "_links", "_embedded", "warnings", "enforcement")
_KNOWN: Final = (
    *("id", "type", "name", "priority", "status", "monitor", "system", "conditions", "actions"),
    *_READ_ONLY,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a rule on the wire takes from its policy. ``url`` is that of the policy's rules."""

    url: str
    created: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class RuleWritten:
    """A rule as the wire wants it. ``priority`` None: where it is, or last."""

    rule: dict[str, Any]
    priority: int | None


def rule_wire(
    rule: Mapping[str, Any], rule_id: str, priority: int, envelope: Envelope, names: WireNames
) -> dict[str, Any]:
    """``rule`` as it stands in an accepted document."""
    normal = normal_rule(rule)
    status = Status(normal.get("status", Status.ACTIVE))
    wire = _envelope(rule_id, rule["name"], priority, status is Status.ACTIVE, False, envelope)
    if status is Status.MONITOR:
        wire["monitor"] = True
    wire["conditions"] = conditions_wire(normal, names)
    wire["actions"] = actions_wire(normal["access"])
    return wire


def default_rule_wire(default: str, rule_id: str, rule_count: int, envelope: Envelope) -> dict[str, Any]:
    """The built-in last rule; ``default`` is allow or deny."""
    priority = max(DEFAULT_RULE_PRIORITY, rule_count)
    wire = _envelope(rule_id, DEFAULT_RULE_NAME, priority, True, True, envelope)
    wire["conditions"] = None
    wire["actions"] = actions_wire(default)
    return wire


def rule_document(raw: object, names: WireNames, previous: Mapping[str, Any] | None = None) -> RuleWritten:
    """The rule that a body asks for; ``previous`` is the one that it replaces, as in its document.

    Raises WireRefused: for what a document cannot express, and for what `previous` has and the body is
    silent about although the API's own words would not carry it. The result has yet to be compiled.
    """
    body = read_object(raw, "", _KNOWN)
    problems: list[Problem] = []
    if isinstance(raw, Mapping) and previous is not None:
        problems += lost_by(raw, previous)
    if body.get("type", RULE_TYPE) != RULE_TYPE:
        problems.append(Problem("type", f"must be {RULE_TYPE}, not {shown(body['type'])}"))
    if body.get("system", False) is not False:
        problems.append(Problem("system", "only the built-in last rule is"))
    name = body.get("name")
    if not isinstance(name, str):
        problems.append(Problem("name", "is missing" if name is None else "must be text"))
    normal_previous = None if previous is None else normal_rule(previous)
    conditions = gather(problems, conditions_document, body.get("conditions"), names, normal_previous)
    access = gather(problems, access_document, body.get("actions", {}))
    silent = isinstance(raw, Mapping) and "monitor" not in raw
    status = gather(problems, _status, body, previous, silent)
    priority = gather(problems, _priority, body)
    if problems or conditions is None or status is None:
        raise WireRefused(*problems)
    rule: dict[str, Any] = {"name": name, **conditions, "access": access}
    if previous is not None and "id" in previous:
        rule["id"] = previous["id"]
    if status is not Status.ACTIVE:
        rule["status"] = status.value
    return RuleWritten(rule, priority)


def spelled(rule: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """A rule that has been compiled, in the words of the one that it replaces where it says the same."""
    return normal_rule(rule) if previous is None else keep_spelling(rule, previous)


def default_document(raw: object) -> str:
    """allow or deny, out of a body that writes the built-in last rule. Raises WireRefused."""
    body = read_object(raw, "", _KNOWN)
    if body.get("name", DEFAULT_RULE_NAME) != DEFAULT_RULE_NAME:
        raise refused("name", "the built-in last rule keeps its name")
    if body.get("conditions"):
        raise refused("conditions", "the built-in last rule has none; add a rule above it")
    if body.get("status", "ACTIVE") != "ACTIVE":
        raise refused("status", "the built-in last rule is always active")
    access = access_document(body.get("actions", {}))
    if access not in (Access.ALLOW, Access.DENY):
        field = "actions.appSignOn.verificationMethod"
        raise refused(field, "the built-in last rule asks for no factor; add a rule above it")
    return str(access)


def lost_by(body: Mapping[str, Any], previous: Mapping[str, Any]) -> list[Problem]:
    """What the rule has now, what only members of our own can carry, and what the body does not mention.

    Programs that know the Okta API only (its SDKs, Terraform) leave such members out of what they send
    back, without meaning to. To take one off on purpose, send it as null, or false.
    """
    normal = normal_rule(previous)
    lost: list[str] = []
    raw_conditions = body.get("conditions")
    conditions = raw_conditions if isinstance(raw_conditions, Mapping) else {}
    if normal.get("status") == Status.MONITOR and "monitor" not in body and body.get("status") == "INACTIVE":
        lost.append("monitor")
    if "clients" in normal and "office365Client" not in conditions:
        lost.append("conditions.office365Client")
    device = conditions.get("device")
    if "hardware_key" in normal and isinstance(device, Mapping) and "hardwareKey" not in device:
        lost.append("conditions.device.hardwareKey")
    if "plugIns" not in conditions:
        lost += [f"conditions.plugIns.{key}" for key in sorted(plug_in_keys(normal))]
    sentence = "would be lost: the rule has it and the request does not; send it, or null to take it off"
    return [Problem(field, sentence) for field in lost]


def _envelope(
    rule_id: str, name: str, priority: int, active: bool, system: bool, envelope: Envelope
) -> dict[str, Any]:
    url = f"{envelope.url}/{rule_id}"
    links: dict[str, Any] = {"self": {"href": url, "hints": {"allow": ["GET", "PUT"]}}}
    if not system:
        links["self"]["hints"]["allow"].append("DELETE")
        turn = "deactivate" if active else "activate"
        links[turn] = {"href": f"{url}/lifecycle/{turn}", "hints": {"allow": ["POST"]}}
    return {
        "id": rule_id,
        "type": RULE_TYPE,
        "name": name,
        "priority": priority,
        "status": "ACTIVE" if active else "INACTIVE",
        "system": system,
        "created": time_text(envelope.created),
        "lastUpdated": time_text(envelope.last_updated),
        "_links": links,
    }


def time_text(at: datetime) -> str:
    """As the Okta API writes it: ``2026-11-26T00:00:00.000Z``."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _status(body: Mapping[str, Any], previous: Mapping[str, Any] | None, silent: bool) -> Status:
    """``silent``: the body says nothing of monitor."""
    before = Status((previous or {}).get("status", Status.ACTIVE))
    monitor = read_flag(body.get("monitor", False), "monitor")
    if "status" not in body:
        if monitor:
            return Status.MONITOR
        return Status.INACTIVE if before is Status.MONITOR and not silent else before
    status = read_word(body["status"], "status", ("ACTIVE", "INACTIVE"))
    if not monitor:
        return Status(status.lower())
    if status == "ACTIVE":
        raise refused("monitor", "a rule that only monitors decides nothing: its status is INACTIVE")
    return Status.MONITOR


def _priority(body: Mapping[str, Any]) -> int | None:
    priority = body.get("priority")
    if priority is None:
        return None
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= MAX_RULES:
        raise refused("priority", f"must be a number between 0 and {MAX_RULES}")
    return priority
