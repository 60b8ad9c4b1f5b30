"""devicetrust policy: what it prints, to where, and with which exit code."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.adapters import plugins
from gateway.cli.policy import policy

POLICY = """\
name: Trusted Windows only
default: deny
rules:
  - name: Trusted Windows
    platforms: [windows]
    device_trust: trusted
    access: allow
  - name: Office
    location: {in_zones: [office]}
    platforms: [other_desktop]
    access: {allow: {prompt_for_factor: {every: 30m}}}
"""
GOOD = """\
- request:
    {user: ana, groups: [], ip: 10.0.0.1, client: web_browser, platform: windows, device_trust: trusted}
  expect: {access: allow, rule: Trusted Windows}
- request:
    {user: ana, groups: [], ip: 10.0.0.1, client: web_browser, platform: other_desktop, device_trust: trusted}
  expect: {access: allow, rule: Office}
"""
ZONE = "--zone=office=10.0.0.0/8"


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "wiki.yaml").write_text(POLICY)
    (tmp_path / "wiki.cases.yaml").write_text(GOOD)
    return str(tmp_path / "wiki.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(policy, arguments)


def test_cases_that_pass_exit_with_0(path: str) -> None:
    result = run("test", path, ZONE)
    assert (result.exit_code, result.output) == (0, "2 cases passed, 0 failed\n")


def test_a_directory_stands_for_its_policies(path: str) -> None:
    assert run("test", str(Path(path).parent), ZONE).output == "2 cases passed, 0 failed\n"


def test_cases_that_fail_exit_with_1_and_say_where_and_what(path: str) -> None:
    cases = Path(path).with_name("wiki.cases.yaml")
    cases.write_text(
        GOOD.replace("rule: Office}", "rule: Office, prompt_for_factor: none}").replace("allow", "deny", 1)
    )
    result = run("test", path, ZONE)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{cases}:1: ana on web_browser, windows, trusted:"
        " expected deny by Trusted Windows, got allow by Trusted Windows",
        f"{cases}:4: ana on web_browser, other_desktop, trusted:"
        " expected allow by Office, got allow by Office, factor prompt none but got every 30m",
        "0 cases passed, 2 failed",
    ]


def test_the_result_of_cases_as_json(path: str) -> None:
    result = run("test", path, ZONE, "--json")
    value = json.loads(result.output)
    assert (value["passed"], value["failed"]) == (2, 0)
    assert value["cases"][1]["decision"]["prompt_for_factor"] == "every 30m"
    assert value["cases"][1]["case"].endswith("wiki.cases.yaml:4")


def test_lint_findings_exit_with_1_and_come_with_line_and_remedy(path: str) -> None:
    result = run("lint", path)
    assert result.exit_code == 1
    first, remedy, last = result.output.splitlines()
    assert first.startswith(f'{path}:8: warning: spoofed-user-agent: rule "Office": an untrusted device that')
    assert remedy.startswith("    require device_trust here")
    assert last == "1 findings"


def test_a_clean_policy_exits_with_0(path: str) -> None:
    Path(path).write_text(POLICY[: POLICY.index("  - name: Office")])
    result = run("lint", path)
    assert (result.exit_code, result.output) == (0, "0 findings\n")


def test_lint_knows_the_zones_that_it_is_given(path: str) -> None:
    result = run("lint", path, "--zone", "lab=192.0.2.0/24", "--json")
    findings = json.loads(result.output)["findings"]
    assert (result.exit_code, findings[0]["code"], findings[0]["line"]) == (1, "unknown-zone", 8)


def test_explain_says_both_answers_while_the_device_is_unknown(path: str) -> None:
    result = run("explain", path, "--user", "ana", "--ip", "192.0.2.1", "--platform", "windows", ZONE)
    assert result.exit_code == 0
    assert result.output.splitlines()[-3:] == [
        "=> with a trusted device: allow (RULE Trusted Windows)",
        "=> without one: deny (DEFAULT_RULE)",
        "=> the device is asked for its certificate",
    ]


@pytest.mark.parametrize(
    ("user_agent", "platform"),
    [("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "windows"), ("", "other_desktop")],
    ids=["a User-Agent", "a missing one"],
)
def test_explain_reads_a_user_agent(path: str, user_agent: str, platform: str) -> None:
    result = run(
        "explain", path, "--user=ana", "--group=IT", "--ip=10.0.0.1", f"--user-agent={user_agent}",
        "--device-trust=not_trusted", "--json", ZONE,
    )  # fmt: skip
    value = json.loads(result.output)
    assert (value["request"]["platform"], value["request"]["groups"]) == (platform, ["IT"])
    assert value["decision"]["access"] == ("deny" if platform == "windows" else "allow")


EXPLAIN = ("explain", "--user=ana", "--ip=10.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("test", "no/such.yaml"), "no/such.yaml: cannot be read: No such file or directory", id="no file"
        ),
        pytest.param(
            ("lint", "{path}", "--zone=office"), '--zone: "office" is not NAME=CIDR', id="a zone of nothing"
        ),
        pytest.param(
            ("lint", "{path}", "--zones-from=no.yaml"), "no.yaml: cannot be read", id="no gateway.yaml"
        ),
        pytest.param((*EXPLAIN, "{path}"), "one of --platform and --user-agent is needed", id="no claims"),
        pytest.param(
            (*EXPLAIN, "{path}", "--user-agent=x", "--platform=ios"),
            "--user-agent: leave out --client",
            id="both",
        ),
        pytest.param(
            ("explain", "{path}", "--user=ana", "--ip=x\x1b[2J", "--platform=ios"),
            '--ip: "x\\x1b[2J" is not an IP address',
            id="an address that is none",
        ),
        pytest.param(
            ("lint", "{path}", "--client-conditions"), "trusted cannot be combined", id="with clients"
        ),
    ],
)
def test_what_is_unusable_exits_with_2_and_one_line(
    arguments: tuple[str, ...], message: str, path: str
) -> None:
    result = run(*(argument.replace("{path}", path) for argument in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_empty_directory_is_unusable(tmp_path: Path) -> None:
    result = run("test", str(tmp_path))
    assert (result.exit_code, "no policy (*.yaml)" in result.stderr) == (2, True)


def test_a_plug_in_that_does_not_load_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    result = run("lint", path)
    assert (result.exit_code, "not registered: people" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["test", "lint", "explain"])
def test_help_has_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"devicetrust policy {command} " in result.output
