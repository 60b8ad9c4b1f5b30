"""First match wins; what is unknown makes a challenge; what cannot be decided is denied."""

from dataclasses import dataclass, replace

import pytest
from support.policies import PARSERS, policy, request, rule, zones

from gateway.model.decision import (
    Access,
    ConditionResult,
    Decision,
    DeviceTrust,
    FactorPrompt,
    Match,
    RuleTrace,
    SignOnRequest,
)
from gateway.policy.conditions import ConditionParsers, Zones
from gateway.policy.engine import Answers, evaluate, evaluate_both
from gateway.policy.errors import PolicyInvalid, PolicyProblem
from gateway.policy.rules import Policy

WINDOWS = {"platforms": ["windows"]}
TRUSTED = {"platforms": ["windows", "macos"], "device_trust": "trusted"}
FACTOR = {"allow": {"prompt_for_factor": "every_sign_on"}}
NONE: Zones = {}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([], ("deny", "DEFAULT_RULE", None), id="no rule at all: the default"),
        pytest.param(
            [rule("a"), rule("b", "deny")], ("allow", "RULE a", "a"), id="the first of two that match"
        ),
        pytest.param(
            [rule("a", platforms=["ios"]), rule("b", "deny")],
            ("deny", "RULE b", "b"),
            id="a rule that does not match",
        ),
        pytest.param(
            [rule("a", status="inactive"), rule("b", "deny")], ("deny", "RULE b", "b"), id="an inactive rule"
        ),
        pytest.param(
            [rule("a", status="monitor"), rule("b", "deny")], ("deny", "RULE b", "b"), id="a monitor rule"
        ),
        pytest.param(
            [rule("a", platforms=["windows"], location={"in_zones": ["office"]})],
            ("deny", "DEFAULT_RULE", None),
            id="all conditions are needed",
        ),
    ],
)
def test_the_first_active_rule_that_matches_decides(
    rules: list[object], expected: tuple[str, str, str | None]
) -> None:
    decision = evaluate(policy(*rules), request(), zones(office=["10.0.0.0/8"]))
    assert (decision.access, decision.reason, decision.rule) == expected


def test_the_default_is_the_policys() -> None:
    assert evaluate(policy(default="allow"), request(), NONE) == Decision(Access.ALLOW, "DEFAULT_RULE", None)


def test_monitor_rules_are_named_when_they_match_before_a_rule_decides() -> None:
    found = policy(
        rule("watched", "deny", status="monitor"),
        rule("not this", "deny", status="monitor", platforms=["ios"]),
        rule("decides", **WINDOWS),
        rule("below", "deny", status="monitor"),
    )
    decision = evaluate(found, request(), NONE)
    assert (decision.rule, decision.monitored) == ("decides", ("watched",))


def test_a_trace_has_the_rules_that_were_looked_at_and_each_condition() -> None:
    found = policy(
        rule("a", platforms=["ios"], device_trust="trusted"), rule("b", "deny", **WINDOWS), rule("c")
    )
    assert evaluate(found, request(), NONE, trace=True).trace == (
        RuleTrace(
            "a",
            Match.NOT_MATCH,
            (
                ConditionResult("platforms", Match.NOT_MATCH, "windows is not among ios"),
                ConditionResult(
                    "device_trust", Match.NOT_MATCH, "trusted is required; the device is not_trusted"
                ),
            ),
        ),
        RuleTrace("b", Match.MATCH, (ConditionResult("platforms", Match.MATCH, "windows is among windows"),)),
    )
    assert evaluate(found, request(), NONE).trace == ()


@pytest.mark.parametrize(
    ("found", "challenge", "monitor"),
    [
        pytest.param(policy(rule("t", **TRUSTED)), True, False, id="allow if trusted, else deny"),
        pytest.param(policy(rule("t", **TRUSTED), default="allow"), False, False, id="allow by another rule"),
        pytest.param(
            policy(rule("t", **TRUSTED), rule("f", FACTOR)),
            True,
            False,
            id="allow either way, but with a factor",
        ),
        pytest.param(
            policy(rule("t", FACTOR, **TRUSTED), rule("f", FACTOR)),
            False,
            False,
            id="the same factor either way",
        ),
        pytest.param(
            policy(rule("w", "deny"), rule("t", **TRUSTED)), False, False, id="decided above the trust rule"
        ),
        pytest.param(
            policy(rule("i", status="inactive", **TRUSTED)), False, False, id="an inactive trust rule"
        ),
        pytest.param(
            policy(rule("m", status="monitor", **TRUSTED)), False, True, id="only a monitor rule would know"
        ),
    ],
)
def test_a_challenge_is_needed_only_where_the_outcome_differs(
    found: Policy, challenge: bool, monitor: bool
) -> None:
    answers = evaluate_both(found, request(trust=DeviceTrust.UNKNOWN), NONE)
    assert (answers.needs_challenge, answers.monitor_differs) == (challenge, monitor)
    assert answers.settled == (None if challenge else answers.not_trusted)


def test_both_answers_ignore_what_the_request_says_of_trust() -> None:
    found = policy(rule("t", **TRUSTED))
    both = [evaluate_both(found, request(trust=trust), NONE) for trust in DeviceTrust]
    assert both[0] == both[1] == both[2]
    assert (both[0].trusted.access, both[0].not_trusted.access) == (Access.ALLOW, Access.DENY)


def test_two_prompts_that_differ_only_in_minutes_need_a_challenge() -> None:
    decision = Decision(Access.ALLOW, "RULE r", "r", FactorPrompt("every_minutes", 5))
    other = replace(decision, prompt_for_factor=FactorPrompt("every_minutes", 10))
    assert Answers(decision, other, decision).needs_challenge


@pytest.mark.parametrize("trace", [False, True], ids=["without a trace", "with a trace"])
@pytest.mark.parametrize(
    ("keys", "signing_on", "detail"),
    [
        pytest.param(
            TRUSTED,
            request(trust=DeviceTrust.UNKNOWN),
            ("device_trust", "trusted is required; the device has not been asked"),
            id="a trust that nobody asked for",
        ),
        pytest.param(
            {"location": {"not_in_zones": ["moon"]}},
            request(),
            ("location", 'zone "moon" is not defined'),
            id="a zone that does not exist",
        ),
    ],
)
def test_what_cannot_be_decided_is_denied_with_the_condition_that_is_undefined(
    keys: dict[str, object], signing_on: SignOnRequest, detail: tuple[str, str], trace: bool
) -> None:
    found = policy(rule("r", **keys), default="allow")
    decision = evaluate(found, signing_on, NONE, trace=trace)
    assert (decision.access, decision.reason, decision.rule) == (Access.DENY, "POLICY_ERROR", "r")
    assert [(c.condition, c.detail) for c in decision.trace[0].conditions if c.match is Match.UNDEFINED] == [
        detail
    ]


def test_what_is_undefined_does_not_matter_where_another_condition_does_not_match() -> None:
    found = policy(rule("r", "deny", location={"in_zones": ["moon"]}, platforms=["ios"]), rule("ok"))
    assert evaluate(found, request(), NONE).rule == "ok"


@dataclass(frozen=True)
class Scripted:
    """A plug-in's condition that does what the rule's value says."""

    script: object

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        if self.script == "raise":
            raise RuntimeError("secret of the plug-in")
        if self.script == "refuse":
            raise PolicyInvalid(PolicyProblem.WRONG_TYPE, (), "what only a parser may raise")
        if self.script == "lie":
            return True  # type: ignore[return-value]  # the point: a plug-in that is not type-checked
        return Match(self.script)

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        if self.script == "MATCH":
            return "as scripted"
        raise ValueError("cannot describe")


WITH_PLUG_IN: ConditionParsers = {**PARSERS, "time_of_day": Scripted}


@pytest.mark.parametrize("trace", [False, True], ids=["without a trace", "with a trace"])
@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("raise", "plug-in time_of_day: raised RuntimeError"),
        ("refuse", "plug-in time_of_day: raised PolicyInvalid"),
        ("lie", "plug-in time_of_day: answered with bool, not a Match"),
    ],
)
def test_a_plug_in_that_fails_means_deny_with_its_name(script: str, detail: str, trace: bool) -> None:
    found = policy(rule("late", time_of_day=script), default="allow", parsers=WITH_PLUG_IN)
    decision = evaluate(found, request(), NONE, trace=trace)
    assert (decision.access, decision.reason, decision.rule) == (Access.DENY, "POLICY_ERROR", "late")
    assert decision.trace == (
        RuleTrace("late", Match.UNDEFINED, (ConditionResult("time_of_day", Match.UNDEFINED, detail),)),
    )


@pytest.mark.parametrize("trace", [False, True], ids=["without a trace", "with a trace"])
def test_a_plug_in_is_not_asked_where_a_built_in_condition_rules_the_request_out(trace: bool) -> None:
    found = policy(rule("r", platforms=["ios"], time_of_day="raise"), rule("ok"), parsers=WITH_PLUG_IN)
    assert evaluate(found, request(), NONE, trace=trace).rule == "ok"


@pytest.mark.parametrize("trace", [False, True], ids=["without a trace", "with a trace"])
def test_a_monitor_rule_whose_plug_in_fails_decides_nothing(trace: bool) -> None:
    found = policy(rule("m", time_of_day="raise", status="monitor"), rule("ok"), parsers=WITH_PLUG_IN)
    decision = evaluate(found, request(), NONE, trace=trace)
    assert (decision.rule, decision.monitored) == ("ok", ())


def test_a_plug_in_adds_its_key_to_the_rules_and_to_the_trace() -> None:
    found = policy(rule("r", time_of_day="MATCH", **WINDOWS), parsers=WITH_PLUG_IN)
    decision = evaluate(found, request(), NONE, trace=True)
    assert [(c.condition, c.detail) for c in decision.trace[0].conditions] == [
        ("platforms", "windows is among windows"),
        ("time_of_day", "as scripted"),
    ]
