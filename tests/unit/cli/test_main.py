"""The command line as someone types it: help, exit codes, and errors as sentences."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from support.gateway_yaml import COMPLETE, changed

from gateway import __version__
from gateway.adapters.key_files import KeyFileRefused
from gateway.adapters.plugins import PlugInError
from gateway.cli import main
from gateway.config.load import load_settings
from gateway.server.hosts import NoCertificateFor


def test_help_shows_every_verb_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert [verb for verb in main.VERBS if f"\n  {verb} " not in text] == []
    assert "devicetrust check -c gateway.yaml" in text


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Usage: devicetrust {verb}" in text
    if verb != "config":  # its example stands with its only command
        assert f"  devicetrust {verb}" in text


def test_help_imports_no_verb() -> None:
    """So that it answers at once: the first import of pydantic or OpenSSL costs more than all of help."""
    program = (
        "import sys; from gateway.cli.main import run; run(['--help']); "
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'yaml', 'cryptography', 'lxml')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"devicetrust, version {__version__}\n"


def test_without_a_verb_it_shows_its_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    assert "Commands:" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chekc"], "devicetrust: No such command 'chekc'.\nTry: devicetrust --help\n"),
        (["check", "--jsn"], "devicetrust check: No such option '--jsn'. Did you mean --json?\n"),
        (["config", "schema", "x"], "devicetrust config schema: Got unexpected extra argument (x)\n"),
    ],
    ids=["an unknown verb", "an unknown option", "an argument too many"],
)
def test_a_mistyped_command_is_answered_in_two_lines(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    error = capsys.readouterr().err
    assert (
        error.splitlines()[0].split(".")[0].split("(Possible")[0] == complaint.splitlines()[0].split(".")[0]
    )
    assert error.count("\n") == 2


def test_the_schema_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "gateway.yaml"


def test_every_configuration_error_is_one_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(changed(("8443", "0"), ("enabled: true", "enabled: maybe")))
    assert main.run(["check", "-c", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f'{path}:6: listen.https[0]: must have a port between 1 and 65535, not "0"',
        f"{path}:15: device_trust.enabled: must be true or false",
    ]


def test_a_missing_file_is_one_line_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["check", "-c", "/nowhere/gateway.yaml"]) == 2
    assert capsys.readouterr().err == "/nowhere/gateway.yaml: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("raised", "complaint", "code"),
    [
        (OSError(98, "Address already in use"), "devicetrust: Address already in use\n", 2),
        (PermissionError(13, "Permission denied", "/x"), "devicetrust: /x: Permission denied\n", 2),
        (click.ClickException("did not work"), "devicetrust: did not work\n", 1),
        (KeyFileRefused("/x", "is open", "close it"), "/x: is open; close it\n", 2),
        (
            NoCertificateFor("wiki.example.test"),
            "tls.certificates: no certificate covers wiki.example.test\n",
            2,
        ),
        (PlugInError("plug-in x: is not callable"), "plug-in x: is not callable\n", 2),
        (KeyboardInterrupt(), "devicetrust: interrupted\n", 130),
    ],
    ids=[
        "a port that is taken",
        "a file that must not be read",
        "a verb that gave up",
        "an open key",
        "a bad file",
        "a bad plug-in",
        "Ctrl-C",
    ],
)
def test_what_a_verb_raises_becomes_one_line(
    raised: BaseException,
    complaint: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def failing() -> None:
        raise raised

    monkeypatch.setattr(main.VerbGroup, "get_command", lambda *_: failing)
    assert main.run(["serve"]) == code
    assert capsys.readouterr().err.lstrip("\n") == complaint


def test_a_bug_passes_the_boundary_and_is_reported_in_two_lines_without_a_traceback(tmp_path: Path) -> None:
    program = (
        "import sys, click; from gateway.cli import main\n"
        "@click.command()\n"
        "def broken(): return {}['nothing']\n"
        "main.VerbGroup.get_command = lambda *_: broken\n"
        "sys.argv = ['devicetrust', 'serve']\n"
        "main.main()\n"
    )
    script = tmp_path / "broken.py"
    script.write_text(program)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "devicetrust: internal error: KeyError: 'nothing'",
        f"This is a bug at {script}:3 in broken; please report it.",
    ]


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m gateway.cli.main config schema | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")


def test_the_complete_file_of_the_tests_is_one_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(COMPLETE)
    assert load_settings(str(path)).org_name == "acme"
