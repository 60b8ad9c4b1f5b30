"""Policy files: the shipped ones are what their README says; a wrong one is one line with its place."""

import textwrap
from itertools import product
from pathlib import Path

import pytest
from support.policies import PARSERS

from gateway.config.errors import ConfigError
from gateway.config.policy_file import cases_path, load_cases, load_policy, read_cases_file, read_policy
from gateway.model.decision import DeviceTrust, Platform
from gateway.policy.cases import run_cases
from gateway.policy.lint import lint

POLICIES = Path(__file__).parents[3] / "policies"
SHIPPED = {
    "trusted-windows-only": [],
    "trusted-managed-computers": [],
    "deny-untrusted-factor-off-network": [],
    "office-365-allow-list": [
        ("spoofed-user-agent", "Exchange ActiveSync or Legacy Auth"),
        ("spoofed-user-agent-drops-factor", "Exchange ActiveSync or Legacy Auth"),
        ("legacy-let-in", "Exchange ActiveSync or Legacy Auth"),
        ("spoofed-user-agent", "All platforms except Windows, with a factor"),
    ],
}


def test_every_shipped_policy_is_in_the_table() -> None:
    files = {path.name for path in POLICIES.glob("*.yaml")}
    assert files == {f"{name}{suffix}" for name in SHIPPED for suffix in (".yaml", ".cases.yaml")}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_passes_its_cases_with_its_stated_findings(name: str) -> None:
    path = str(POLICIES / f"{name}.yaml")
    policy = read_policy(path, PARSERS).policy
    table = read_cases_file(cases_path(path)).table
    assert [result for result in run_cases(policy, table) if not result.passed] == []
    assert [(found.code, found.rule) for found in lint(policy)] == SHIPPED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_cases_of_a_shipped_policy_reach_every_rule_and_platform(name: str) -> None:
    path = str(POLICIES / f"{name}.yaml")
    policy = read_policy(path, PARSERS).policy
    table = read_cases_file(cases_path(path)).table
    assert {rule.name for rule in policy.rules} <= {case.expect.rule for case in table.cases}
    combinations = {(case.request.platform, case.request.device_trust) for case in table.cases}
    assert combinations == set(product(Platform, (DeviceTrust.TRUSTED, DeviceTrust.NOT_TRUSTED)))


POLICY = textwrap.dedent(
    """\
    name: A policy
    rules:
      - name: First
        access: allow

      - name: Second
        platforms: [windows]
        device_trust: trusted
        access: deny
    """
)


def refused(text: str, **arguments: object) -> str:
    with pytest.raises(ConfigError) as error:
        load_policy(text, "wiki.yaml", PARSERS, **arguments)  # type: ignore[arg-type]  # forwarded as they are
    return str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "device_trust: trusted",
            "device_turst: trusted",
            'wiki.yaml:8: rules[1].device_turst: unknown key; did you mean "device_trust"?',
            id="a key misspelled",
        ),
        pytest.param(
            "[windows]",
            "[windos]",
            'wiki.yaml:7: rules[1].platforms[0]: rule "Second": unknown value "windos";'
            ' did you mean "windows"?',
            id="a value misspelled",
        ),
        pytest.param(
            "    platforms: [windows]\n",
            "",
            'wiki.yaml:7: rules[1].device_trust: rule "Second": trusted cannot be combined with'
            " other_desktop, other_mobile (left out, platforms select everything):"
            " these cannot show a certificate",
            id="platforms left out",
        ),
        pytest.param(
            "    access: deny\n", "", "wiki.yaml:6: rules[1].access: is missing", id="a key that is missing"
        ),
        pytest.param(
            "name: Second",
            "name: First",
            'wiki.yaml:6: rules[1].name: rule name "First" is already that of rules[0]',
            id="a name used twice",
        ),
        pytest.param(
            "access: deny",
            "access: deny\n    access: allow",
            "wiki.yaml:10: rules[1].access: given twice; the first one is on line 9",
            id="a key given twice",
        ),
    ],
)
def test_an_error_is_one_line_with_file_line_key_and_rule(old: str, new: str, message: str) -> None:
    assert POLICY.count(old) == 1 or old == "access: deny"
    assert refused(POLICY.replace(old, new)) == message


def test_a_zone_that_does_not_exist_is_said_with_those_that_do() -> None:
    text = POLICY.replace("access: deny", "access: deny\n    location: {in_zones: [ofice]}")
    message = (
        'wiki.yaml:10: rules[1].location.in_zones[0]: rule "Second": no zone is named "ofice";'
        ' did you mean "office"?'
    )
    assert refused(text, zone_names={"office"}) == message


def test_a_rule_knows_its_line() -> None:
    file = load_policy(POLICY, "wiki.yaml", PARSERS)
    assert (file.line_of_rule("First"), file.line_of_rule("Second"), file.line_of_rule(None)) == (3, 6, 1)


def test_an_error_in_a_case_table_has_its_place() -> None:
    with pytest.raises(ConfigError) as error:
        load_cases("- request: {}\n  expect: {access: allow, rule: r}\n", "wiki.cases.yaml")
    assert str(error.value) == "wiki.cases.yaml:1: [0].request.user: is missing"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file"):
        read_policy(str(tmp_path / "missing.yaml"), PARSERS)
