"""The verbs of devicetrust-agent on a Linux computer that is a directory: install, status, verify, uninstall,
and what goes wrong on the command line."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.agent_world import AgentWorld, refusal
from support.own_authority import OwnAuthority

from gateway.agent import this_computer
from gateway.agent.cli import run
from gateway.agent.commands import Finished
from gateway.agent.discovery import Discovery
from gateway.agent.platform import PlatformFailed
from gateway.agent.platforms.linux import LinuxPlatform
from gateway.agent.refusal import LocalRefusal
from gateway.agent.verbs import browser_setup, device, installation, status, user, verify

URL = "OrgUrl=https://sso.example.test"


class Systemd:
    """Remembers what it was told; no store of a browser is there."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []

    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = 30.0) -> Finished:
        self.told.append([str(each) for each in arguments])
        return Finished(0, b"", "")


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LinuxPlatform]:
    systemd = Systemd()

    def become(*, administrator: bool) -> LinuxPlatform:
        platform = LinuxPlatform(
            tmp_path / "home",
            {},
            systemd,
            root=tmp_path / "root",
            is_administrator=administrator,
            journal_socket=tmp_path / "journal",
        )
        for module in (device, installation, status, user, verify):
            monkeypatch.setattr(module, "this_platform", lambda: platform)
        return platform

    (tmp_path / "home").mkdir()
    (tmp_path / "root").mkdir()
    become(administrator=False)
    return become


def test_install_keeps_the_settings_and_wakes_the_agent(
    computer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    computer(administrator=True)
    assert run(["install", URL, "SkipBrowserSetup=true", "--no-run"]) == 0
    conf = tmp_path / "root/etc/devicetrust/agent.conf"
    assert conf.read_text() == f"{URL}\nSkipBrowserSetup=true\n"
    assert (tmp_path / "root/etc/systemd/system/devicetrust-device.socket").exists()
    assert run(["install", "SkipBrowserSetup=", "HttpProxy=proxy:3128", "--no-run"]) == 0
    assert conf.read_text() == f"{URL}\nHttpProxy=proxy:3128\n"
    assert run(["verify", "--installation"]) == 0
    assert "set up for https://sso.example.test" in capsys.readouterr().out
    assert run(["uninstall"]) == 0
    assert not conf.exists()
    assert not (tmp_path / "root/etc/systemd/system/devicetrust-device.socket").exists()


def test_an_administrator_is_warned_of_a_program_that_others_can_change(
    computer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The computer's part runs it as root."""
    computer(administrator=True)
    program = tmp_path / "venv/bin/devicetrust-agent"
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.setattr(installation, "_executable", lambda: program)
    assert run(["install", URL, "--no-run"]) == 0
    assert "warning" not in capsys.readouterr().err
    program.parent.chmod(0o777)
    assert run(["install", "--no-run"]) == 0
    assert f"warning: {program.parent} can be changed by others than root" in capsys.readouterr().err


def test_the_first_run_is_tried_and_does_not_undo_the_installation(
    computer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def off_the_network(*_: object, **__: object) -> int:
        raise refusal(LocalRefusal.UNREACHABLE)

    monkeypatch.setattr(user, "run_user", off_the_network)
    assert run(["install", URL]) == 0
    said = capsys.readouterr()
    assert "UNREACHABLE" in said.err
    computer(administrator=True)
    monkeypatch.setattr(device, "run_device", off_the_network)
    monkeypatch.setattr(browser_setup, "set_up_browsers_for_all", off_the_network)
    assert run(["install", URL]) == 0
    said = capsys.readouterr()
    assert "on trial" in said.out
    assert len(said.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("setting", "set_up"), [("SkipBrowserSetup=false", True), ("SkipBrowserSetup=true", False)]
)
def test_an_administrator_sets_browsers_up_for_everybody_unless_that_is_skipped(
    setting: str, set_up: bool, computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = AgentWorld(tmp_path / "world").org.discovery()

    class Org:
        def __init__(self, *_: object) -> None: ...

        def discovery(self) -> Discovery:
            return told

    computer(administrator=True)
    monkeypatch.setattr(browser_setup, "OrgClient", Org)
    monkeypatch.setattr(device, "run_device", lambda *_, **__: 0)
    assert run(["install", URL, setting]) == 0
    policy = tmp_path / "root/etc/chromium/policies/managed/zz-devicetrust.json"
    assert policy.exists() is set_up
    if set_up:
        assert told.mtls_domain in policy.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "give one of --user and --device, or a command"),
        (["--user", "--device"], 2, "give one of --user and --device"),
        (["--device", "--forceRenewal"], 2, "--force-renewal, --code and --scheduled go with --user"),
        (["--user", "--socket", "/x"], 2, "--socket goes with --device"),
        (["--user", "status"], 2, "--user and --device stand alone"),
        (["--users"], 2, "No such option"),
        (["renew"], 2, "No such command 'renew'"),
        (["--user"], 2, "OrgUrl is missing"),
        (["--device"], 2, "OrgUrl is missing"),
        (["verify"], 2, "OrgUrl is missing"),
        (["install"], 2, "OrgUrl is missing"),
        (["install", "OrgUrl"], 2, "'OrgUrl' is not NAME=VALUE"),
        (["install", "OrgUrl=http://x"], 2, "install: OrgUrl: has to begin with https://"),
        (["install", "OkatUrl=https://x"], 2, "'OkatUrl' is no setting; OrgUrl is meant?"),
        (["install", "SkipBrowserSetup=true"], 2, "install: OrgUrl is missing"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_lines_at_most(
    computer, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize("verb", [[], ["install"], ["uninstall"], ["status"], ["verify"]])
def test_every_verb_has_help_with_an_example(capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    assert run([*verb, "--help"]) == 0
    assert f"devicetrust-agent {' '.join(verb)}".strip() in capsys.readouterr().out


@pytest.fixture
def enrolled(computer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgentWorld:
    """A computer with a certificate of today, and its settings."""
    world = AgentWorld(tmp_path)
    world.org.authority = OwnAuthority(now=datetime.now(UTC).replace(microsecond=0))
    world.run()
    platform = computer(administrator=False)
    platform.save_settings({"OrgUrl": "https://sso.example.test"})
    world.computer.settings = platform.settings  # type: ignore[method-assign]
    for module in (user, status, verify):
        monkeypatch.setattr(module, "this_platform", lambda: world.computer)
    return world


def test_status_tells_the_certificate_and_the_runs(
    enrolled: AgentWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status"]) == 0
    out = capsys.readouterr().out
    certificate = enrolled.org.issued[0]
    for line in (
        "organization  https://sso.example.test",
        f"certificate   {certificate.serial_number:x}, by MTLS Certificate Authority",
        "user          alice@example.test",
        "device        urn:device:ws-42",
        f"good until    {certificate.not_after:%Y-%m-%d}, renewed from",
        "key           file",
        "installed in  /home/alice/.pki/nssdb",
        "last run      ",
        "next look     ",
    ):
        assert line in out
    assert run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["good"] is True
    assert told["certificate"]["thumbprint"] == certificate.thumbprint
    assert told["refusal"] is None


def test_status_tells_the_last_refusal_and_its_remedy(
    enrolled: AgentWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled.org.refusing["certificate"] = refusal(LocalRefusal.ANSWER_INVALID, transient=False)
    enrolled.run(force=True)
    assert run(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["refusal"]["code"], told["refusal"]["step"]) == ("ANSWER_INVALID", 4)
    assert told["failures"] == 1
    assert run(["status"]) == 0
    assert "refusal       ANSWER_INVALID" in capsys.readouterr().out


def test_verify_has_an_exit_code_for_detection_rules(
    enrolled: AgentWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify"]) == 0
    assert "is good until" in capsys.readouterr().out
    stores = dict(enrolled.computer.stores)
    enrolled.computer.stores = {}
    assert run(["verify", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["troubles"] == [
        "no store of a browser has the certificate with its key"
    ]
    enrolled.computer.stores = stores
    [name] = enrolled.keys
    (enrolled.computer.data_directory / "keys" / f"{name}.key").unlink()
    assert run(["verify"]) == 1
    assert "the private key is gone" in capsys.readouterr().err


def test_a_run_that_is_not_due_asks_nobody(enrolled: AgentWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--user", "--scheduled"]) == 0
    assert capsys.readouterr() == ("", "")
    state = enrolled.vault.state()
    enrolled.vault.save_state(replace(state, next_run=datetime.now(UTC) - timedelta(minutes=1)))
    assert run(["--user", "--scheduled"]) == 0  # sso.example.test does not exist, and the certificate is good
    assert "sso.example.test cannot be reached; the certificate is good until" in capsys.readouterr().out


def test_a_code_is_read_from_standard_input(enrolled: AgentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it does not stand in the list of processes."""
    seen = []
    monkeypatch.setattr("sys.stdin", io.StringIO("dte_secret\nmore\n"))
    monkeypatch.setattr("gateway.agent.run.Run.run", lambda _, options: seen.append(options.code) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(["--user", "--code", "-"])
    assert seen == ["dte_secret"]


def test_settings_that_are_open_to_doubt_stop_a_run(
    enrolled: AgentWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    (enrolled.computer.data_directory / "state.json").chmod(0o666)
    assert run(["--user"]) == 2
    assert "state.json: is open to others; run: chmod 600" in capsys.readouterr().err


def test_a_system_that_the_agent_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "plan9")
    with pytest.raises(PlatformFailed, match="does not run on plan9"):
        this_computer.this_platform()


def test_a_console_that_lacks_a_character_ends_no_command() -> None:
    """Code pages of Windows, and locales of old: `→` and `…` are in none of them."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway.agent.cli", "--help"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "dte_\\u2026" in done.stdout
