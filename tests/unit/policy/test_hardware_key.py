"""`hardware_key: required`: only beside a required trust, and known wherever a policy is looked at."""

import json
from typing import Any

import pytest
from support.policies import PARSERS, policy, request, rule
from support.wire_names import NAMES

from gateway.model.decision import Access, DeviceTrust, Match, SignOnRequest
from gateway.policy.cases import read_cases, run_cases
from gateway.policy.engine import evaluate, evaluate_both
from gateway.policy.errors import PolicyInvalid, PolicyProblem
from gateway.policy.explain import as_json, as_text, explain
from gateway.policy.lint import lint
from gateway.policy.normal import normal_rule
from gateway.policy.rules import Policy, compile_policy
from gateway.policy.trust_impact import switch_impact
from gateway.policy.what_if import read_sign_on, replay
from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.rules import rule_document
from gateway.policy.wire.simulation import read_simulation, simulate

TRUSTED: dict[str, Any] = {"platforms": ["windows", "macos"], "device_trust": "trusted"}
IN_HARDWARE: dict[str, Any] = {**TRUSTED, "hardware_key": "required"}
FACTOR = {"allow": {"prompt_for_factor": "every_sign_on"}}
ONLY_HARDWARE = policy(rule("Hardware", **IN_HARDWARE))
ELSE_FACTOR = policy(rule("Hardware", **IN_HARDWARE), rule("File", FACTOR, **TRUSTED))
NO_DEVICE = request()
FILE_KEY = request(trust=DeviceTrust.TRUSTED)
HARDWARE_KEY = request(trust=DeviceTrust.TRUSTED, hardware_key=True)
NOT_ASKED = request(trust=DeviceTrust.UNKNOWN)


@pytest.mark.parametrize(
    ("signing_on", "match", "detail"),
    [
        (HARDWARE_KEY, Match.MATCH, "the device's key is in hardware"),
        (FILE_KEY, Match.NOT_MATCH, "the device's key is not in hardware"),
        (NO_DEVICE, Match.NOT_MATCH, "the device is not trusted"),
        (NOT_ASKED, Match.UNDEFINED, "the device has not been asked"),
    ],
)
def test_the_condition_looks_at_the_key_of_a_trusted_device(
    signing_on: SignOnRequest, match: Match, detail: str
) -> None:
    required = PARSERS["hardware_key"]("required")
    assert required.match(signing_on, {}) is match
    assert required.describe(signing_on, {}) == f"a hardware key is required; {detail}"
    anything = PARSERS["hardware_key"]("any")
    assert (anything.match(signing_on, {}), anything.describe(signing_on, {})) == (Match.MATCH, "any key")


@pytest.mark.parametrize("trust", [{}, {"device_trust": "any"}, {"device_trust": "not_trusted"}])
def test_it_is_refused_without_a_required_trust_and_the_rule_is_named(trust: dict[str, str]) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        policy(rule("r", **{**IN_HARDWARE, "device_trust": "any"}) | trust)
    problem = refused.value
    assert (problem.problem, problem.rule) == (PolicyProblem.HARDWARE_WITHOUT_TRUST, "r")
    assert problem.path == ("rules", 0, "hardware_key")
    assert "needs device_trust: trusted" in problem.detail


def test_any_key_goes_with_everything_and_is_left_out_of_the_normal_form() -> None:
    raw = rule("r", hardware_key="any")
    assert not compile_policy({"name": "p", "rules": [raw]}, PARSERS).tells_keys_apart
    assert "hardware_key" not in normal_rule(raw)
    assert normal_rule(rule("r", **IN_HARDWARE))["hardware_key"] == "required"


@pytest.mark.parametrize(
    ("found", "answers", "challenge", "key_matters"),
    [
        pytest.param(ONLY_HARDWARE, "deny deny allow", True, True, id="hardware keys only"),
        pytest.param(ELSE_FACTOR, "deny factor allow", True, True, id="else a factor"),
        pytest.param(
            policy(rule("h", **IN_HARDWARE), rule("t", **TRUSTED)), "deny allow allow", True, False,
            id="a rule below undoes it",
        ),
        pytest.param(
            policy(rule("h", **IN_HARDWARE, status="inactive")), "deny deny deny", False, False, id="inactive"
        ),
        pytest.param(policy(rule("t", **TRUSTED)), "deny allow allow", True, False, id="no such rule"),
    ],
)  # fmt: skip
def test_a_device_is_asked_where_only_its_key_makes_the_difference(
    found: Policy, answers: str, challenge: bool, key_matters: bool
) -> None:
    both = evaluate_both(found, NOT_ASKED, {})
    words = [
        "factor" if decision.prompt_for_factor else decision.access.value
        for decision in (both.not_trusted, both.trusted, both.hardware_key)
    ]
    assert " ".join(words) == answers
    assert (both.needs_challenge, both.key_matters) == (challenge, key_matters)
    assert [evaluate(found, each, {}).access for each in (NO_DEVICE, FILE_KEY, HARDWARE_KEY)] == [
        decision.access for decision in (both.not_trusted, both.trusted, both.hardware_key)
    ]


def test_a_monitor_rule_that_asks_for_a_hardware_key_makes_the_answers_differ() -> None:
    both = evaluate_both(policy(rule("m", status="monitor", **IN_HARDWARE)), NOT_ASKED, {})
    assert (both.needs_challenge, both.monitor_differs) == (False, True)


def codes(found: Policy) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.rule) for finding in lint(found)]


def test_lint_finds_a_rule_that_undoes_the_requirement() -> None:
    assert codes(policy(rule("h", **IN_HARDWARE), rule("t", **TRUSTED))) == [
        ("hardware-key-never-matters", "h")
    ]
    assert codes(ONLY_HARDWARE) == []
    assert codes(ELSE_FACTOR) == []


def test_lint_does_not_take_a_rule_for_unreachable_that_file_keys_reach() -> None:
    assert ("unreachable-rule", "File") not in codes(ELSE_FACTOR)
    above = policy(rule("File", FACTOR, **TRUSTED), rule("Hardware", **IN_HARDWARE))
    assert ("unreachable-rule", "Hardware") in codes(above)


def test_the_switch_does_to_hardware_keys_what_it_does_to_trust() -> None:
    [impact] = switch_impact({"wiki": ELSE_FACTOR}, None, enabled=False)
    assert (impact.loses_access, impact.gains_access) == (True, False)
    assert [(each.rule, each.bite) for each in impact.rules] == [
        ("Hardware", "stops"), ("File", "stops"),
    ]  # fmt: skip


def test_an_explanation_tells_the_keys_apart() -> None:
    lines = as_text(explain(ONLY_HARDWARE, NOT_ASKED, {})).splitlines()
    assert lines[-4:] == [
        "=> with a trusted device: deny (DEFAULT_RULE)",
        "=> with a trusted device whose key is in hardware: allow (RULE Hardware)",
        "=> without one: deny (DEFAULT_RULE)",
        "=> the device is asked for its certificate",
    ]
    value = json.loads(json.dumps(as_json(explain(ONLY_HARDWARE, NOT_ASKED, {}))))
    assert value["trusted"]["access"] == "deny"
    assert value["trusted_with_hardware_key"]["rule"] == "Hardware"
    assert as_json(explain(ONLY_HARDWARE, HARDWARE_KEY, {}))["request"]["hardware_key"] is True


def case(access: str, rule_name: str, **device: object) -> dict[str, object]:
    asked = {"user": "ana", "groups": [], "ip": "10.0.0.1", "client": "web_browser", "platform": "windows"}
    return {"request": {**asked, **device}, "expect": {"access": access, "rule": rule_name}}


def test_a_case_may_say_that_the_key_is_in_hardware() -> None:
    table = [
        case("allow", "Hardware", device_trust="trusted", hardware_key=True),
        case("deny", "DEFAULT_RULE", device_trust="trusted", hardware_key=False),
        case("deny", "DEFAULT_RULE", device_trust="trusted"),
    ]
    assert [result.passed for result in run_cases(ONLY_HARDWARE, read_cases(table))] == [True] * 3


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ({"device_trust": "not_trusted", "hardware_key": True}, PolicyProblem.HARDWARE_WITHOUT_TRUST),
        ({"device_trust": "trusted", "hardware_key": "required"}, PolicyProblem.WRONG_TYPE),
    ],
)
def test_a_case_with_a_key_that_nobody_can_know_is_refused(
    device: dict[str, object], problem: PolicyProblem
) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        read_cases([case("allow", "Hardware", **device)])
    assert refused.value.problem is problem
    assert refused.value.path == (0, "request", "hardware_key")


def past(**details: Any) -> Any:
    return read_sign_on(
        {
            "uuid": "u1",
            "published": "2026-11-26T09:30:00.000Z",
            "actor": {"alternateId": "ana@example.test"},
            "client": {"ipAddress": "10.1.2.3", "userAgent": {"browser": "web_browser", "os": "Windows"}},
            "target": [{"type": "AppInstance", "id": "wiki"}],
            "outcome": {"result": "ALLOW"},
            "debugContext": {"debugData": details},
        }
    )


@pytest.mark.parametrize(
    ("details", "found", "result"),
    [
        ({"deviceTrust": "trusted", "hardwareKey": True}, ONLY_HARDWARE, (1, 0, [])),
        ({"deviceTrust": "trusted", "hardwareKey": False}, ONLY_HARDWARE, (1, 0, [None])),
        ({"deviceTrust": "trusted"}, ONLY_HARDWARE, (0, 1, [])),
        ({"deviceTrust": "trusted"}, policy(rule("t", **TRUSTED)), (1, 0, [])),
        ({"deviceTrust": "not_trusted", "hardwareKey": True}, ONLY_HARDWARE, (1, 0, [None])),
    ],
    ids=["in hardware", "in a file", "not told", "not told, and nobody asks", "of no trusted device"],
)
def test_a_past_sign_on_is_not_decided_where_nothing_told_of_its_key(
    details: dict[str, object], found: Policy, result: tuple[int, int, list[str | None]]
) -> None:
    replayed = replay([past(**details)], found, {})
    assert (
        replayed.replayed,
        replayed.unknown_device,
        [difference.rule for difference in replayed.differences],
    ) == result


def test_a_program_that_does_not_know_the_member_does_not_lose_it() -> None:
    previous = rule("r", **IN_HARDWARE)
    body = {
        "name": "r",
        "conditions": {"device": {"registered": True, "managed": True}},
        "actions": {"appSignOn": {"access": "ALLOW"}},
    }
    with pytest.raises(WireRefused) as refused:
        rule_document(body, NAMES, previous)
    assert [problem.field for problem in refused.value.problems] == ["conditions.device.hardwareKey"]
    body["conditions"]["device"]["hardwareKey"] = None  # type: ignore[index]
    assert "hardware_key" not in rule_document(body, NAMES, previous).rule


@pytest.mark.parametrize(
    ("device", "matched", "undefined"),
    [
        ({"trustLevel": "TRUSTED", "hardwareKey": True}, "Hardware", []),
        ({"trustLevel": "TRUSTED", "hardwareKey": False}, "File", []),
        ({"trustLevel": "TRUSTED"}, "File", ["Hardware"]),
        ({"trustLevel": "NOT_TRUSTED"}, None, []),
        ({}, None, ["Hardware", "File"]),
    ],
)
def test_a_simulation_knows_of_the_key_what_it_was_told(
    device: dict[str, object], matched: str | None, undefined: list[str]
) -> None:
    body = {"appInstance": "wiki", "policyContext": {"device": {"platform": "WINDOWS", **device}}}
    result = simulate(ELSE_FACTOR, read_simulation(body, NAMES), {})
    assert (result.matched.rule and result.matched.rule.name) == matched
    assert [part.rule and part.rule.name for part in result.undefined] == undefined


@pytest.mark.parametrize(
    "device", [{"trustLevel": "NOT_TRUSTED", "hardwareKey": True}, {"hardwareKey": True}, {"hardwareKey": 1}]
)
def test_a_simulation_of_a_key_of_no_trusted_device_is_refused(device: dict[str, object]) -> None:
    body = {"appInstance": "wiki", "policyContext": {"device": device}}
    with pytest.raises(WireRefused) as refused:
        read_simulation(body, NAMES)
    assert [problem.field for problem in refused.value.problems] == ["policyContext.device.hardwareKey"]


def test_access_is_never_gained_by_a_key_alone() -> None:
    """The engine believes the request, so that who makes requests has to keep the two together."""
    found = policy(rule("h", "allow", **IN_HARDWARE), default="deny")
    assert evaluate(found, request(hardware_key=True), {}).access is Access.DENY
