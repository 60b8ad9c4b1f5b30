"""Case tables: what they may say, and what makes a case fail."""

from typing import Any

import pytest
from support.policies import policy, rule, zones

from gateway.model.decision import Client, Platform
from gateway.policy.cases import decided_by, read_cases, run_cases
from gateway.policy.errors import KeyPath, PolicyInvalid

REQUEST = {
    "user": "ana",
    "groups": [],
    "ip": "10.0.0.1",
    "client": "web_browser",
    "platform": "windows",
    "device_trust": "trusted",
}
BY_USER_AGENT = {key: value for key, value in REQUEST.items() if key not in ("client", "platform")}
EXPECT = {"access": "allow", "rule": "r"}
FOUND = policy(
    rule(
        "r", {"allow": {"prompt_for_factor": "every_session"}}, platforms=["windows"], device_trust="trusted"
    ),
    rule("z", location={"in_zones": ["office"]}),
)


def case(expect: object = EXPECT, **changed: object) -> dict[str, Any]:
    return {"request": {**REQUEST, **changed}, "expect": expect}


@pytest.mark.parametrize(
    ("written", "passed"),
    [
        pytest.param(case(), True, id="access and rule are as expected"),
        pytest.param(case({"access": "deny", "rule": "r"}), False, id="another access"),
        pytest.param(case({"access": "allow", "rule": "s"}), False, id="another rule"),
        pytest.param(
            case({**EXPECT, "prompt_for_factor": "every_session"}), True, id="the prompt as expected"
        ),
        pytest.param(case({**EXPECT, "prompt_for_factor": {"every": "5m"}}), False, id="another prompt"),
        pytest.param(
            case({**EXPECT, "prompt_for_factor": "none"}), False, id="a prompt where none is expected"
        ),
        pytest.param(
            case({"access": "allow", "rule": "z", "prompt_for_factor": "none"}, device_trust="not_trusted"),
            True,
            id="no prompt",
        ),
        pytest.param(
            case({"access": "deny", "rule": "DEFAULT_RULE"}, ip="2001:db8::1", platform="ios"),
            True,
            id="the default",
        ),
        pytest.param(
            {
                "request": {**BY_USER_AGENT, "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"},
                "expect": EXPECT,
            },
            True,
            id="by User-Agent",
        ),
    ],
)
def test_a_case_passes_when_access_rule_and_prompt_agree(written: object, passed: bool) -> None:
    [result] = run_cases(FOUND, read_cases([written]), zones(office=["10.0.0.0/8"]))
    assert result.passed is passed


def test_a_missing_user_agent_is_one_that_can_be_tested() -> None:
    table = read_cases([{"request": {**BY_USER_AGENT, "user_agent": None}, "expect": EXPECT}])
    signing_on = table.cases[0].request
    assert (signing_on.client, signing_on.platform) == (Client.WEB_BROWSER, Platform.OTHER_DESKTOP)


def test_a_table_may_bring_its_zones() -> None:
    inside = case({"access": "allow", "rule": "z"}, platform="ios")
    table = read_cases({"zones": [{"name": "office", "cidrs": ["10.0.0.0/8"]}], "cases": [inside]})
    assert [result.passed for result in run_cases(FOUND, table)] == [True]
    assert table.cases[0].path == ("cases", 0)


def test_an_undecided_case_can_be_expected() -> None:
    table = read_cases([case({"access": "deny", "rule": "POLICY_ERROR"}, platform="ios")])
    [result] = run_cases(FOUND, table)
    assert (result.passed, decided_by(result.decision), result.decision.rule) == (True, "POLICY_ERROR", "z")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        pytest.param(None, (), id="nothing"),
        pytest.param([], (), id="an empty table"),
        pytest.param({"cases": []}, ("cases",), id="an empty table in a mapping"),
        pytest.param([{"request": REQUEST}], (0, "expect"), id="nothing expected"),
        pytest.param([case(ip="office")], (0, "request", "ip"), id="an address that is none"),
        pytest.param([case(device_trust="unknown")], (0, "request", "device_trust"), id="a trust not known"),
        pytest.param([case(user_agent="x")], (0, "request", "client"), id="User-Agent and client"),
        pytest.param(
            [{"request": {**BY_USER_AGENT, "user_agent": 7}, "expect": EXPECT}],
            (0, "request", "user_agent"),
            id="a User-Agent of 7",
        ),
        pytest.param([{"request": BY_USER_AGENT, "expect": EXPECT}], (0, "request", "client"), id="neither"),
        pytest.param([case(groups="IT")], (0, "request", "groups"), id="groups without a list"),
        pytest.param([case({**EXPECT, "reason": "x"})], (0, "expect", "reason"), id="a key unknown"),
        pytest.param(
            [case({**EXPECT, "prompt_for_factor": "never"})],
            (0, "expect", "prompt_for_factor"),
            id="a prompt unknown",
        ),
        pytest.param(
            {"zones": [{"name": "office", "cidrs": ["10.0.0.1/8"]}], "cases": [case()]},
            ("zones", 0, "cidrs", 0),
            id="a network with host bits",
        ),
        pytest.param(
            {"zones": [{"name": "a", "cidrs": []}, {"name": "a", "cidrs": []}], "cases": [case()]},
            ("zones", 1, "name"),
            id="a zone twice",
        ),
    ],
)
def test_a_table_is_refused_at_the_key_that_is_wrong(raw: object, path: KeyPath) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        read_cases(raw)
    assert refused.value.path == path
