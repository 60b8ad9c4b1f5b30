"""Any policy is a Policy or one declared error; every decision is that of a slow, plain model.

The model below reads the raw policy, knows nothing of the engine's classes, and follows the words of
the contract: left out is everything, the first active rule that matches decides.
"""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.policies import BROWSERS, LEGACY, PARSERS, zones

from gateway.config.errors import ConfigError
from gateway.config.policy_file import load_cases, load_policy
from gateway.model.decision import Access, Client, DeviceTrust, Match, Platform, SignOnRequest
from gateway.policy.cases import decided_by
from gateway.policy.engine import evaluate, evaluate_both
from gateway.policy.errors import PolicyInvalid
from gateway.policy.explain import as_json, as_text, explain
from gateway.policy.lint import lint
from gateway.policy.rules import compile_policy
from gateway.policy.user_agent import classify

ZONES = zones(office=["10.0.0.0/8"], lab=["10.1.0.0/16", "2001:db8::/32"], off=[])
USERS = ["ana", "Ana", "bob", "straße", "STRASSE"]
GROUPS = ["Everyone", "IT", "it", "HR"]
ADDRESSES = ["10.0.0.0", "10.1.255.255", "11.0.0.0", "::ffff:10.1.0.0", "2001:db8::1", "::"]
PROMPTS = ["every_sign_on", "every_session", {"every": "30m"}]


def some_of(values: list[str], minimum: int = 0) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=minimum, unique=True)


def members(values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    excludable = [value for value in values if value != "Everyone"]
    return st.fixed_dictionaries({}, optional={"include": some_of(values, 1), "exclude": some_of(excludable)})


def showable(rule: dict[str, Any]) -> dict[str, Any]:
    """Where a trust is required, only what can show it: nearly all drawn policies would be refused else."""
    if rule.get("device_trust", "any") == "any":
        return {key: value for key, value in rule.items() if key != "hardware_key"}
    platforms = [p for p in rule.get("platforms", ["macos"]) if not p.startswith("other")]
    clients = [client for client in rule.get("clients", BROWSERS) if client != LEGACY]
    shown = {**rule, "platforms": platforms or ["windows"], "clients": clients or BROWSERS}
    if rule["device_trust"] == "not_trusted":
        shown.pop("hardware_key", None)
    return shown


def plausible(request: SignOnRequest) -> SignOnRequest:
    """Of a device without trust no key is known."""
    return request if request.device_trust is DeviceTrust.TRUSTED else replace(request, hardware_key=False)


CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    "people": st.fixed_dictionaries({}, optional={"users": members(USERS), "groups": members(GROUPS)}),
    "location": st.one_of(
        st.just("anywhere"),
        st.fixed_dictionaries({"in_zones": some_of(["office", "lab", "off", "moon"], 1)}),
        st.fixed_dictionaries({"not_in_zones": some_of(["office", "lab", "off"], 1)}),
    ),
    "clients": some_of([*BROWSERS, LEGACY], 1),
    "platforms": some_of([platform.value for platform in Platform], 1),
    "device_trust": st.sampled_from(["any", "trusted", "not_trusted"]),
    "hardware_key": st.sampled_from(["any", "required"]),
    "status": st.sampled_from(["active", "inactive", "monitor"]),
}
ACCESS = st.one_of(
    st.sampled_from(["allow", "deny"]),
    st.sampled_from([{"allow": {"prompt_for_factor": prompt}} for prompt in PROMPTS]),
)
RULES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcdef"), "access": ACCESS}, optional=CONDITIONS),
    max_size=5,
    unique_by=lambda rule: str(rule["name"]),
)
POLICIES = st.fixed_dictionaries(
    {"name": st.just("p"), "rules": RULES, "default": st.sampled_from(["allow", "deny"])}
).map(lambda raw: {**raw, "rules": [showable(rule) for rule in raw["rules"]]})
REQUESTS = st.builds(
    SignOnRequest,
    st.sampled_from(USERS),
    st.frozensets(st.sampled_from(GROUPS[1:])),
    st.ip_addresses() | st.sampled_from(ADDRESSES).map(ip_address),
    st.sampled_from(Client),
    st.sampled_from(Platform),
    st.sampled_from(DeviceTrust),
    st.booleans(),
).map(plausible)


def people_match(raw: dict[str, Any], request: SignOnRequest) -> bool:
    users, groups = raw.get("users", {}), raw.get("groups", {})
    named = [user.casefold() for user in users.get("include", [])]
    member_of = groups.get("include", [] if named else ["Everyone"])
    if request.user.casefold() in [user.casefold() for user in users.get("exclude", [])]:
        return False
    if any(group in groups.get("exclude", []) for group in request.groups):
        return False
    return (
        "Everyone" in member_of
        or request.user.casefold() in named
        or any(group in member_of for group in request.groups)
    )


def location_match(raw: Any, request: SignOnRequest) -> bool | None:
    if raw == "anywhere":
        return True
    [(kind, names)] = raw.items()
    if "moon" in names:
        return None
    address = getattr(request.ip, "ipv4_mapped", None) or request.ip
    inside = any(address in network for name in names for network in ZONES[name].networks)
    return inside if kind == "in_zones" else not inside


def platform_match(raw: list[str], request: SignOnRequest) -> bool:
    return request.platform in raw or (request.platform == "linux" and "other_desktop" in raw)


def trust_match(raw: str, request: SignOnRequest) -> bool | None:
    if raw == "any":
        return True
    return None if request.device_trust == "unknown" else request.device_trust == raw


def key_match(raw: str, request: SignOnRequest) -> bool | None:
    if raw == "any":
        return True
    return None if request.device_trust == "unknown" else request.hardware_key


def rule_match(raw: dict[str, Any], request: SignOnRequest) -> bool | None:
    """True, False, or None where it cannot be known."""
    found = [
        people_match(raw.get("people", {}), request),
        location_match(raw.get("location", "anywhere"), request),
        request.client in raw.get("clients", list(Client)),
        platform_match(raw.get("platforms", list(Platform)), request),
        trust_match(raw.get("device_trust", "any"), request),
        key_match(raw.get("hardware_key", "any"), request),
    ]
    if False in found:
        return False
    return None if None in found else True


def model(raw: dict[str, Any], request: SignOnRequest) -> tuple[str, str, list[str]]:
    """Access, what decided, monitor rules that matched."""
    monitored: list[str] = []
    for rule in raw["rules"]:
        match = rule_match(rule, request)
        status = rule.get("status", "active")
        if match is False or status == "inactive":
            continue
        if status == "monitor":
            monitored += [rule["name"]] if match else []
            continue
        if match is None:
            return "deny", "POLICY_ERROR", monitored
        return "deny" if rule["access"] == "deny" else "allow", rule["name"], monitored
    return raw["default"], "DEFAULT_RULE", monitored


@settings(max_examples=400, deadline=None)
@given(POLICIES, st.lists(REQUESTS, min_size=1, max_size=8))
def test_every_decision_is_that_of_the_plain_model(
    raw: dict[str, Any], requests: list[SignOnRequest]
) -> None:
    policy = compile_policy(raw, PARSERS)
    for request in requests:
        decision = evaluate(policy, request, ZONES)
        expected = model(raw, request)
        assert (decision.access, decided_by(decision), list(decision.monitored)) == expected
        traced = evaluate(policy, request, ZONES, trace=True)
        assert (traced.access, decided_by(traced), list(traced.monitored)) == expected
        answers = evaluate_both(policy, request, ZONES)
        for trust, hardware_key, answer in (
            (DeviceTrust.TRUSTED, False, answers.trusted),
            (DeviceTrust.TRUSTED, True, answers.hardware_key),
            (DeviceTrust.NOT_TRUSTED, False, answers.not_trusted),
        ):
            asked = replace(request, device_trust=trust, hardware_key=hardware_key)
            assert (answer.access, decided_by(answer), list(answer.monitored)) == model(raw, asked)


@settings(max_examples=150, deadline=None)
@given(POLICIES, st.lists(REQUESTS, min_size=1, max_size=20), st.booleans())
def test_lint_never_says_of_a_rule_that_decides_that_nothing_reaches_it(
    raw: dict[str, Any], requests: list[SignOnRequest], zones_known: bool
) -> None:
    policy = compile_policy(raw, PARSERS)
    findings = lint(policy, ZONES if zones_known else None)
    accused = {found.rule for found in findings if found.code in ("unreachable-rule", "selects-nobody")}
    never_denied = any(found.code == "untrusted-never-denied" for found in findings)
    for request in requests:
        if request.device_trust is DeviceTrust.UNKNOWN:
            continue
        decision = evaluate(policy, request, ZONES)
        assert decision.rule not in accused or decision.reason == "POLICY_ERROR"
        assert not accused & {*decision.monitored}
        if never_denied and request.device_trust is DeviceTrust.NOT_TRUSTED:
            assert decision.access is Access.ALLOW or decision.reason == "POLICY_ERROR"


@settings(max_examples=100, deadline=None)
@given(POLICIES, REQUESTS)
def test_an_explanation_names_every_rule_in_text_and_json(
    raw: dict[str, Any], request: SignOnRequest
) -> None:
    policy = compile_policy(raw, PARSERS)
    explanation = explain(policy, request, ZONES)
    text = as_text(explanation)
    assert all(f". {rule['name']}: " in text for rule in raw["rules"])
    assert [rule["match"] in Match.__members__ for rule in as_json(explanation)["rules"]] == [True] * len(
        raw["rules"]
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(GROUPS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(POLICIES, st.data())
def test_a_policy_with_anything_anywhere_is_a_policy_or_the_one_declared_error(
    raw: dict[str, Any], data: st.DataObject
) -> None:
    target: Any = raw
    while isinstance(target, dict | list) and target:
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if data.draw(st.booleans()) or not isinstance(target[key], dict | list) or not target[key]:
            target[key] = data.draw(JSON)
            break
        target = target[key]
    refused = ""
    try:
        compile_policy(raw, PARSERS)
    except PolicyInvalid as error:
        refused = error.detail
    assert refused.isprintable()


YAML_TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="{}[]:,-#&*!|>'\"%@`? \n\tabc01<.~", max_size=60),
    st.builds(yaml.safe_dump, JSON),
    st.builds(yaml.safe_dump, POLICIES),
)


@settings(max_examples=400, deadline=None)
@given(YAML_TEXT)
def test_any_text_is_a_policy_or_one_line_that_says_what_is_wrong(text: str) -> None:
    for read in (lambda: load_policy(text, "p.yaml", PARSERS), lambda: load_cases(text, "c.yaml")):
        message = ""
        try:
            read()
        except ConfigError as error:
            message = str(error)
        assert message.isprintable()


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(
            [
                "Mozilla/5.0 ",
                "(",
                ")",
                ";",
                "Windows NT 10.0",
                "iPhone",
                "Macintosh",
                "Darwin/",
                "Mobile/15E148",
                "1.",
                " ",
            ]
        ),
        max_size=40,
    ).map("".join)
)
def test_any_user_agent_is_a_client_and_a_platform(user_agent: str) -> None:
    client, platform = classify(user_agent)
    assert isinstance(client, Client)
    assert isinstance(platform, Platform)
