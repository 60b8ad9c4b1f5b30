"""Whatever is sent as a rule, a zone, a policy or a simulation is taken, or refused by the one declared
exception; and what is taken as a rule compiles, or is refused as a policy is."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.policies import PARSERS
from support.wire_names import ANA, EVERYONE_ID, IT, NAMES, OFFICE

from gateway.model.org import Lifecycle, PolicySource, StoredPolicy
from gateway.policy.errors import PolicyInvalid
from gateway.policy.rules import compile_policy
from gateway.policy.what_if import Unread, read_sign_on
from gateway.policy.wire.policies import policy_name, wire_problem
from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.rules import default_document, rule_document
from gateway.policy.wire.simulation import read_simulation, simulate
from gateway.policy.wire.zones import zone_document

NOW = datetime(2026, 11, 26, tzinfo=UTC)
WORDS = [
    "ACCESS_POLICY", "ALLOW", "DENY", "ACTIVE", "INACTIVE", "ZONE", "ANYWHERE", "ALL_ZONES", "DESKTOP",
    "MOBILE", "WINDOWS", "OSX", "OTHER", "ANY", "WEB", "MODERN_AUTH", "TRUSTED", "ASSURANCE", "1FA",
    "2FA", "PT0S", "PT2H", "PT43800H", ".*", "CIDR", "RANGE", "10.0.0.0/8", "10.0.0.1-10.0.0.9",
    "login:x", "name:x", "login:", "name:", ANA, IT, EVERYONE_ID, OFFICE, "wiki", "Catch-all Rule",
    "2026-11-26T00:00:00Z", "10.1.2.3", "",
]  # fmt: skip
NAMES_OF_MEMBERS = [
    "type", "name", "priority", "status", "monitor", "system", "conditions", "actions", "people",
    "users", "groups", "include", "exclude", "network", "connection", "platform", "os", "expression",
    "version", "device", "registered", "managed", "trustLevel", "assurance", "office365Client",
    "plugIns", "appSignOn", "access", "verificationMethod", "factorMode", "reauthenticateIn",
    "constraints", "gateways", "value", "appInstance", "policyTypes", "policyType", "policyContext",
    "user", "id", "ids", "ip", "zones", "client", "description", "debugContext", "debugData", "actor",
    "alternateId", "target", "outcome", "result", "published", "uuid", "ipAddress", "userAgent",
    "browser",
]  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES_OF_MEMBERS), inner, max_size=6)
    ),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(NAMES_OF_MEMBERS), VALUES, max_size=8) | VALUES
SIGN_ON = {"appSignOn": {"access": "ALLOW"}}
RULES = st.fixed_dictionaries(
    {"name": st.just("r"), "actions": st.just(SIGN_ON)},
    optional={"conditions": VALUES, "status": VALUES, "monitor": VALUES, "priority": VALUES},
)
STORED = StoredPolicy(
    "rst1",
    "wiki",
    "Wiki",
    {"name": "Wiki", "rules": []},
    PolicySource.FILE,
    None,
    Lifecycle.ACTIVE,
    1,
    NOW,
    NOW,
)
PREVIOUS = {"name": "r", "clients": ["modern_auth"], "access": "allow", "status": "monitor"}


@settings(max_examples=400, deadline=None)
@given(BODIES | RULES, st.sampled_from([None, PREVIOUS]))
def test_a_rule_is_taken_or_refused(body: Any, previous: Any) -> None:
    try:
        rule = rule_document(body, NAMES, previous).rule
    except WireRefused:
        return
    try:
        compile_policy({"name": "p", "rules": [rule]}, PARSERS)
    except PolicyInvalid as error:
        wire_problem(error)


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_the_last_rule_a_policy_and_a_zone_are_taken_or_refused(body: Any) -> None:
    for read in (default_document, lambda raw: policy_name(raw, STORED), zone_document):
        try:
            read(body)
        except WireRefused:
            continue


POLICY = compile_policy(
    {
        "name": "p",
        "rules": [
            {"name": "a", "people": {"groups": {"include": ["IT"]}}, "access": "allow"},
            {"name": "b", "location": {"in_zones": ["office"]}, "platforms": ["ios"],
             "device_trust": "trusted", "access": "deny"},
        ],
    },
    PARSERS,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(BODIES | st.fixed_dictionaries({"appInstance": st.just("wiki")}, optional={"policyContext": VALUES}))
def test_a_simulation_is_refused_or_has_an_end(body: Any) -> None:
    try:
        sign_on = read_simulation(body, NAMES)
    except WireRefused:
        return
    assert simulate(POLICY, sign_on, {}).matched is not None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES_OF_MEMBERS), VALUES, max_size=12))
def test_an_event_is_a_sign_on_or_is_not(event: dict[str, Any]) -> None:
    with suppress(Unread):
        read_sign_on(event)
