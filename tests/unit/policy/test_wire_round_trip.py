"""Document → wire → document, and back, without loss; also through the models of the okta SDK."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from okta import models
from support.policies import BROWSERS, LEGACY, PARSERS
from support.wire_names import NAMES

from gateway.model.decision import Platform
from gateway.policy.normal import keep_spelling, normal_policy, normal_rule, same_rule
from gateway.policy.rules import compile_policy
from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.rules import (
    Envelope,
    default_document,
    default_rule_wire,
    rule_document,
    rule_wire,
    spelled,
)

NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
ENVELOPE = Envelope("https://sso.example.test/api/v1/policies/rst1/rules", NOW, NOW)
RULE_ID = "0pr00000000000000001"


class RiskFeed:
    def match(self, request: object, zones: object) -> None: ...
    def describe(self, request: object, zones: object) -> str:
        return ""


WITH_PLUG_IN = {**PARSERS, "risk_feed": lambda raw: RiskFeed()}

USERS = ["ana@example.test", "Ana@Example.test", "bob@example.test", "eve", "login:odd", "straße", "STRASSE"]
GROUPS = ["Everyone", "IT", "it", "name:odd", "00g00000000000000001x"]
ZONES = ["office", "lab", "mars", "name:odd"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2),
    max_leaves=4,
).filter(lambda value: value is not None)


def some_of(values: list[str], minimum: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=minimum, unique=True)


def members(values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    excludable = [value for value in values if value != "Everyone"]
    return st.fixed_dictionaries({}, optional={"include": some_of(values), "exclude": some_of(excludable)})


RULE_KEYS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.just(RULE_ID),
    "people": st.fixed_dictionaries({}, optional={"users": members(USERS), "groups": members(GROUPS)}),
    "location": st.just("anywhere")
    | st.fixed_dictionaries({"in_zones": some_of(ZONES, 1)})
    | st.fixed_dictionaries({"not_in_zones": some_of(ZONES, 1)}),
    "clients": some_of([*BROWSERS, LEGACY], 1),
    "platforms": some_of([platform.value for platform in Platform], 1),
    "device_trust": st.sampled_from(["any", "trusted", "not_trusted"]),
    "hardware_key": st.sampled_from(["any", "required"]),
    "status": st.sampled_from(["active", "inactive", "monitor"]),
    "risk_feed": VALUES,
}
EVERY = ["30m", "90m", "1800s", "60m", "12h", "24h", "1d", "365d"]
ACCESS = st.sampled_from(
    [
        "allow",
        "deny",
        *(
            {"allow": {"prompt_for_factor": how}}
            for how in ("every_sign_on", "every_session", *({"every": every} for every in EVERY))
        ),
    ]
)


def accepted(rule: dict[str, Any]) -> bool:
    try:
        compile_policy({"name": "p", "rules": [rule]}, WITH_PLUG_IN)
    except Exception:  # noqa: BLE001 - whatever is refused is no document
        return False
    return True


def showable(rule: dict[str, Any]) -> dict[str, Any]:
    if rule.get("device_trust", "any") == "any":
        return rule
    platforms = [p for p in rule.get("platforms", ["macos"]) if not p.startswith("other")]
    clients = [client for client in rule.get("clients", BROWSERS) if client != LEGACY]
    return {**rule, "platforms": platforms or ["windows"], "clients": clients or BROWSERS}


RULES = (
    st.fixed_dictionaries({"name": st.sampled_from(["a", "Ä b"]), "access": ACCESS}, optional=RULE_KEYS)
    .map(showable)
    .filter(accepted)
)


def on_the_wire(rule: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(rule_wire(rule, RULE_ID, 3, ENVELOPE, NAMES)))


def through_the_sdk(wire: dict[str, Any]) -> dict[str, Any]:
    """What a program sends that has read a rule with the okta SDK and writes it back."""
    rule = models.PolicyRule.from_dict(wire)
    assert isinstance(rule, models.AccessPolicyRule)
    return json.loads(json.dumps(rule.to_dict(), default=lambda at: at.isoformat()))


def unspelled(rule: dict[str, Any]) -> dict[str, Any]:
    """Logins that are those of a user of the store come back as the store writes them."""
    normal = normal_rule(rule)
    for lists in (normal.get("people", {}).get("users", {}),):
        for key, logins in lists.items():
            ids = [NAMES.user_id(login) for login in logins]
            lists[key] = [
                login if wire_id is None else NAMES.login(wire_id)
                for login, wire_id in zip(logins, ids, strict=True)
            ]
    return normal


@settings(max_examples=300, deadline=None)
@given(RULES)
def test_a_document_comes_back_from_the_wire_as_it_was(rule: dict[str, Any]) -> None:
    wire = on_the_wire(rule)
    written = rule_document(wire, NAMES, rule)
    assert written.priority == 3
    assert normal_rule(written.rule) == unspelled(rule)
    assert on_the_wire(written.rule) == wire
    assert spelled(written.rule, rule) == rule, "what was not changed keeps its author's words"


@settings(max_examples=300, deadline=None)
@given(RULES)
def test_through_the_sdk_nothing_is_lost_without_a_word(rule: dict[str, Any]) -> None:
    sent = through_the_sdk(on_the_wire(rule))
    normal = normal_rule(rule)
    ours = ("clients", "risk_feed", "hardware_key")
    carried = not any(key in normal for key in ours) and normal.get("status") != "monitor"
    if carried:
        assert same_rule(rule_document(sent, NAMES, rule).rule, rule)
    else:
        with pytest.raises(WireRefused, match="would be lost"):
            rule_document(sent, NAMES, rule)


PLATFORM = st.fixed_dictionaries(
    {"type": st.sampled_from(["ANY", "MOBILE", "DESKTOP"])},
    optional={
        "os": st.sampled_from(
            [
                *({"type": t} for t in ("ANY", "IOS", "OSX", "MACOS", "WINDOWS", "LINUX", "OTHER")),
                {"type": "OTHER", "expression": "Linux"},
            ]
        )
    },
)
ids = [*NAMES.users.values(), "login:eve"]
WIRE_RULES = st.fixed_dictionaries(
    {
        "name": st.just("r"),
        "type": st.just("ACCESS_POLICY"),
        "conditions": st.fixed_dictionaries(
            {},
            optional={
                "people": st.fixed_dictionaries({"users": st.fixed_dictionaries({"include": some_of(ids)})}),
                "platform": st.fixed_dictionaries(
                    {}, optional={"include": st.lists(PLATFORM), "exclude": st.lists(PLATFORM)}
                ),
                "device": st.fixed_dictionaries(
                    {}, optional={"registered": st.booleans(), "managed": st.booleans()}
                ),
            },
        ),
        "actions": st.sampled_from([{"appSignOn": {"access": a}} for a in ("ALLOW", "DENY")]),
    }
)


@settings(max_examples=200, deadline=None)
@given(WIRE_RULES)
def test_what_is_accepted_from_the_wire_is_read_again_as_the_same(wire: dict[str, Any]) -> None:
    try:
        rule = rule_document(wire, NAMES).rule
    except WireRefused:
        return
    again = rule_document(on_the_wire(rule), NAMES, rule).rule
    assert same_rule(again, rule)
    assert on_the_wire(again) == on_the_wire(rule)


SHIPPED = sorted(p for p in Path("policies").glob("*.yaml") if not p.name.endswith(".cases.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_policies_come_back_as_they_are(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    wires = [on_the_wire(rule) for rule in document["rules"]]
    rules = [
        spelled(rule_document(wire, NAMES, rule).rule, rule)
        for wire, rule in zip(wires, document["rules"], strict=True)
    ]
    assert {**document, "rules": rules} == document
    fresh = [rule_document(wire, NAMES).rule for wire in wires]
    assert normal_policy({**document, "rules": fresh}) == normal_policy(document)


def test_there_are_shipped_policies() -> None:
    assert len(SHIPPED) >= 3


def test_the_sdk_reads_every_member() -> None:
    rule = {
        "name": "Trusted Windows",
        "people": {"groups": {"include": ["IT"]}, "users": {"exclude": ["bob@example.test"]}},
        "location": {"not_in_zones": ["office"]},
        "platforms": ["windows", "other_mobile"],
        "device_trust": "any",
        "access": {"allow": {"prompt_for_factor": {"every": "2h"}}},
    }
    read = models.PolicyRule.from_dict(on_the_wire(rule))
    assert read.conditions.people.groups.include == [NAMES.group_id("IT")]
    assert read.conditions.network.exclude == [NAMES.zone_id("office")]
    assert [platform.os.type for platform in read.conditions.platform.include] == ["WINDOWS", "OTHER"]
    assert read.actions.app_sign_on.verification_method.reauthenticate_in == "PT2H"
    assert read.priority == 3
    assert read.created == NOW


def test_the_sdk_reads_and_writes_the_last_rule() -> None:
    wire = default_rule_wire("deny", RULE_ID, 2, ENVELOPE)
    read = models.PolicyRule.from_dict(wire)
    assert read.system is True
    assert read.priority == 99
    assert default_document(through_the_sdk(wire)) == "deny"


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        pytest.param(
            {"name": "r", "platforms": ["macos", "windows"], "device_trust": "any", "access": "allow"},
            {"name": "r", "platforms": ["windows", "macos"], "access": "deny"},
            {"name": "r", "platforms": ["macos", "windows"], "device_trust": "any", "access": "deny"},
            id="one change is one changed line",
        ),
        pytest.param(
            {"name": "r", "platforms": ["linux", "other_desktop"], "access": "allow"},
            {"name": "r", "platforms": ["other_desktop"], "access": "deny"},
            {"name": "r", "platforms": ["linux", "other_desktop"], "access": "deny"},
            id="Linux may be named beside what includes it",
        ),
        pytest.param(
            {"name": "r", "people": {"users": {"include": ["Ana"]}}, "access": "allow"},
            {"name": "r", "people": {"users": {"include": ["ana", "bob"]}}, "access": "allow"},
            {"name": "r", "people": {"users": {"include": ["ana", "bob"]}}, "access": "allow"},
            id="a list that changed is written anew",
        ),
        pytest.param(
            {"name": "r", "device_trust": "trusted", "platforms": ["ios"], "access": "allow"},
            {"name": "r", "access": "allow"},
            {"name": "r", "access": "allow"},
            id="what was taken off is off",
        ),
        pytest.param(
            {"id": RULE_ID, "name": "r", "access": {"allow": {"prompt_for_factor": {"every": "60m"}}}},
            {"id": RULE_ID, "name": "s", "access": {"allow": {"prompt_for_factor": {"every": "1h"}}}},
            {"id": RULE_ID, "name": "s", "access": {"allow": {"prompt_for_factor": {"every": "60m"}}}},
            id="a duration keeps its unit",
        ),
    ],
)
def test_spelling_is_kept(old: dict[str, Any], new: dict[str, Any], kept: dict[str, Any]) -> None:
    assert keep_spelling(new, old) == kept
