"""Policies at run time: read and edit the rules of an app's policy.

A policy begins as the app's file (`gateway.services.policy_files`). The first edit makes it the store's:
from then on it counts instead of the file, in every gateway, until it is taken back. Each edit is compiled
before it is stored, so that no gateway gets a policy that it cannot evaluate, and is in the change feed and
in the System Log by the same transaction.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from gateway.model.changes import StatePart, state_changed
from gateway.model.ids import IdKind
from gateway.model.org import PolicySource, StoredPolicy
from gateway.policy.conditions import Zones
from gateway.policy.derived_ids import default_rule_id, file_rule_id
from gateway.policy.errors import PolicyInvalid
from gateway.policy.lint import Finding, lint
from gateway.policy.normal import normal_rule
from gateway.policy.rules import Policy, Status, compile_policy, referenced_zones
from gateway.policy.wire.policies import policy_name, wire_problem
from gateway.policy.wire.refusal import refused
from gateway.policy.wire.rules import DEFAULT_RULE_NAME, default_document, rule_document, spelled
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policy_work import (
    ChangedMeanwhile,
    Editing,
    PolicyRefused,
    PolicyView,
    PolicyWork,
    device_trust_enabled,
    names_of,
)
from gateway.services.refusals import NotAllowedNow, NotFound
from gateway.services.zone_sets import zones_in_force
from gateway.system_log.administration import policy_event, rule_event
from gateway.system_log.catalog import EventType

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy of the store, ready to be evaluated or looked through with what it rests on."""

    stored: StoredPolicy
    policy: Policy
    zones: Zones
    device_trust_enabled: bool

    def warnings(self) -> tuple[Finding, ...]:
        """What the linter says. Up to a second of work for the largest policies: not for a transaction."""
        return lint(self.policy, self.zones, self.device_trust_enabled)


def policies(view: PolicyView, configuration: OrgConfiguration) -> list[StoredPolicy]:
    """Those of the apps that there are."""
    return [policy for policy in view.policies.all() if policy.app in configuration.apps]


def policy(
    view: PolicyView, configuration: OrgConfiguration, policy_id: str, *, lock: bool = False
) -> StoredPolicy:
    """Raises NotFound."""
    found = view.policies.get(policy_id, lock=lock)
    if found is None or found.app not in configuration.apps:
        raise NotFound("Policy", policy_id)
    return found


def rules_of(stored: StoredPolicy) -> list[Document]:
    """The rules of its document, each with its id."""
    rules: Sequence[Document] = stored.document["rules"]  # type: ignore[assignment]  # it was compiled
    return [{"id": rule_id_of(stored.app, rule), **rule} for rule in rules]


def rule_id_of(app: str, rule: Document) -> str:
    return str(rule["id"]) if "id" in rule else file_rule_id(app, rule["name"])


def place_of(stored: StoredPolicy, rule_id: str) -> int:
    """The rule's place in the list; one behind the last for the built-in last rule. Raises NotFound."""
    rules = rules_of(stored)
    if rule_id == default_rule_id(stored.app):
        return len(rules)
    for index, rule in enumerate(rules):
        if rule["id"] == rule_id:
            return index
    raise NotFound("PolicyRule", rule_id)


def version_of(value: Document) -> str:
    """A strong entity tag, without its quotes: the same for the same rule or document."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def compiled(
    view: PolicyView, configuration: OrgConfiguration, stored: StoredPolicy, document: Document | None = None
) -> CompiledPolicy:
    """The policy, or another ``document`` in its place, compiled. Raises PolicyRefused."""
    zones = zones_in_force(view, configuration)
    try:
        found = compile_policy(
            stored.document if document is None else document,
            configuration.parsers,
            client_conditions=configuration.apps[stored.app].client_conditions,
            zone_names=zones.keys(),
        )
    except PolicyInvalid as error:
        raise PolicyRefused(wire_problem(error)) from error
    return CompiledPolicy(stored, found, zones, device_trust_enabled(view, configuration))


def create_rule(
    work: PolicyWork, editing: Editing, policy_id: str, body: object
) -> tuple[CompiledPolicy, str]:
    """The policy with one rule more, and the rule's id. Raises NotFound, WireRefused, PolicyRefused."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    written = rule_document(body, names_of(work, editing.configuration))
    rule_id = editing.new_id(IdKind.RULE)
    rules = rules_of(stored)
    place = len(rules) if written.priority is None else min(written.priority, len(rules))
    rules.insert(place, {"id": rule_id, **written.rule})
    result = _checked(work, editing, stored, {**stored.document, "rules": rules}, spell_at=(place, None))
    _store(work, result.stored)
    rule = rules_of(result.stored)[place]
    work.log_event(
        rule_event(
            editing.occasion,
            EventType.RULE_CREATED,
            result.stored,
            rule_id,
            rule["name"],
            changed_from={},
            changed_to={**rule, "priority": place},
        )
    )
    return result, rule_id


def replace_rule(
    work: PolicyWork,
    editing: Editing,
    policy_id: str,
    rule_id: str,
    body: object,
    if_match: str | None = None,
) -> CompiledPolicy:
    """The policy with the rule as the body has it. Raises NotFound, ChangedMeanwhile, WireRefused,
    PolicyRefused."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    place = place_of(stored, rule_id)
    if isinstance(body, Mapping) and body.get("id", rule_id) not in (rule_id, None):
        raise refused("id", f"is not {rule_id}, which the request is about")
    rules = rules_of(stored)
    if place == len(rules):
        return _replace_default(work, editing, stored, rule_id, body)
    before = rules.pop(place)
    if if_match is not None and if_match != version_of(before):
        raise ChangedMeanwhile
    written = rule_document(body, names_of(work, editing.configuration), before)
    new_place = place if written.priority is None else min(written.priority, len(rules))
    rules.insert(new_place, {"id": rule_id, **written.rule})
    document = {**stored.document, "rules": rules}
    return _replaced(work, editing, stored, document, before, place, new_place)


def set_rule_status(
    work: PolicyWork, editing: Editing, policy_id: str, rule_id: str, *, active: bool
) -> CompiledPolicy:
    """Activate or deactivate a rule; one that only monitors becomes active, or stops. Raises NotFound,
    NotAllowedNow, PolicyRefused."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    place = place_of(stored, rule_id)
    rules = rules_of(stored)
    if place == len(rules):
        raise NotAllowedNow("The built-in last rule is always active.")
    before = rules[place]
    after = {key: value for key, value in before.items() if key != "status"}
    if not active:
        after["status"] = Status.INACTIVE.value
    elif "status" in before and before["status"] == Status.ACTIVE.value:
        after = dict(before)
    rules[place] = after
    return _replaced(work, editing, stored, {**stored.document, "rules": rules}, before, place, place)


def delete_rule(
    work: PolicyWork, editing: Editing, policy_id: str, rule_id: str, if_match: str | None = None
) -> CompiledPolicy:
    """Raises NotFound, NotAllowedNow, ChangedMeanwhile."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    place = place_of(stored, rule_id)
    rules = rules_of(stored)
    if place == len(rules):
        raise NotAllowedNow("The built-in last rule cannot be deleted; its access can be changed.")
    before = rules.pop(place)
    if if_match is not None and if_match != version_of(before):
        raise ChangedMeanwhile
    result = _checked(work, editing, stored, {**stored.document, "rules": rules})
    _store(work, result.stored)
    work.log_event(
        rule_event(
            editing.occasion,
            EventType.RULE_DELETED,
            result.stored,
            rule_id,
            before["name"],
            changed_from={**before, "priority": place},
            changed_to={},
        )
    )
    return result


def replace_policy(
    work: PolicyWork, editing: Editing, policy_id: str, body: object, if_match: str | None = None
) -> CompiledPolicy:
    """Give the policy another name. Raises NotFound, ChangedMeanwhile, WireRefused, PolicyRefused."""
    stored = policy(work, editing.configuration, policy_id, lock=True)
    if if_match is not None and if_match != version_of(stored.document):
        raise ChangedMeanwhile
    name = policy_name(body, stored)
    if name == stored.name:
        return compiled(work, editing.configuration, stored)
    document = {**stored.document, "name": name, "rules": rules_of(stored)}
    result = _checked(work, editing, stored, document)
    _store(work, result.stored)
    work.log_event(
        policy_event(
            editing.occasion,
            EventType.POLICY_UPDATED,
            result.stored,
            changed_from={"name": stored.name},
            changed_to={"name": name},
        )
    )
    return result


def _replace_default(
    work: PolicyWork, editing: Editing, stored: StoredPolicy, rule_id: str, body: object
) -> CompiledPolicy:
    default = default_document(body)
    before = stored.document.get("default", "allow")
    if default == before:
        return compiled(work, editing.configuration, stored)
    document = {**stored.document, "default": default, "rules": rules_of(stored)}
    result = _checked(work, editing, stored, document)
    _store(work, result.stored)
    work.log_event(
        rule_event(
            editing.occasion,
            EventType.RULE_UPDATED,
            result.stored,
            rule_id,
            DEFAULT_RULE_NAME,
            changed_from={"access": before},
            changed_to={"access": default},
        )
    )
    return result


def _replaced(
    work: PolicyWork,
    editing: Editing,
    stored: StoredPolicy,
    document: Document,
    before: Document,
    place: int,
    new_place: int,
) -> CompiledPolicy:
    result = _checked(work, editing, stored, document, spell_at=(new_place, before))
    after = rules_of(result.stored)[new_place]
    if after == before and place == new_place:
        return compiled(work, editing.configuration, stored)  # nothing was changed, nothing is to be told
    _store(work, result.stored)
    changed_from, changed_to = _differences(before, after)
    if place != new_place:
        changed_from["priority"], changed_to["priority"] = place, new_place
    work.log_event(
        rule_event(
            editing.occasion,
            EventType.RULE_UPDATED,
            result.stored,
            after["id"],
            after["name"],
            changed_from=changed_from,
            changed_to=changed_to,
        )
    )
    return result


def _differences(before: Document, after: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    one, other = normal_rule(before), normal_rule(after)
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return (
        {key: one[key] for key in keys if key in one},
        {key: other[key] for key in keys if key in other},
    )


def _checked(
    work: PolicyWork,
    editing: Editing,
    stored: StoredPolicy,
    document: Document,
    spell_at: tuple[int, Document | None] | None = None,
) -> CompiledPolicy:
    """Compiled as it is asked for, and then in its author's words at one place."""
    result = compiled(work, editing.configuration, stored, document)
    if _hold_zones(work, referenced_zones(result.policy)):
        result = compiled(work, editing.configuration, stored, document)
    if spell_at is not None:
        place, previous = spell_at
        rules = list(document["rules"])
        rules[place] = spelled(rules[place], previous)
        document = {**document, "rules": rules}
    edited = replace(
        stored,
        name=str(document["name"]),
        document=document,
        source=PolicySource.EDITED,
        last_updated=editing.occasion.at,
    )
    return replace(result, stored=edited)


def _hold_zones(work: PolicyWork, names: frozenset[str]) -> bool:
    """Keep zones of the store from being deleted before this transaction ends. True: one was just then."""
    found = [zone for name in sorted(names) if (zone := work.zones.by_name(name)) is not None]
    return any(work.zones.get(zone.id, lock=True) != zone for zone in found)


def _store(work: PolicyWork, edited: StoredPolicy) -> None:
    work.policies.put(edited)
    work.record(state_changed(StatePart.POLICIES))
