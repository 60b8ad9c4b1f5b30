"""What the README shows: its configuration loads, its commands are there, its names are those of the code."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gateway.agent.cli import devicetrust_agent
from gateway.cli.main import devicetrust
from gateway.config.iwa_load import load_iwa_settings
from gateway.config.load import load_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "gateway").rglob("*.py"))
COMMANDS = [
    line.removeprefix("$ ").partition("  #")[0].removeprefix("TOKEN=$(").removesuffix(")")
    for line in README.splitlines()
    if re.match(r"\$ (TOKEN=\$\()?(sudo )?devicetrust(-agent)? ", line)
]


def test_the_configuration_of_five_minutes_loads(tmp_path: Path) -> None:
    text = re.search(r"## Five minutes.*?```yaml\n(.*?)```", README, re.DOTALL)
    assert text is not None
    (tmp_path / "gateway.yaml").write_text(text[1])
    settings = load_settings(str(tmp_path / "gateway.yaml"))
    assert settings.store_url == f"sqlite:///{tmp_path}/devicetrust.db"
    assert [authority.builtin for authority in settings.authorities] == [True]


def test_the_configuration_of_the_iwa_web_app_loads(tmp_path: Path) -> None:
    text = re.search(r"## Enrollment.*?```yaml\n(.*?)```", README, re.DOTALL)
    assert text is not None
    (tmp_path / "iwa.yaml").write_text(text[1])
    assert load_iwa_settings(str(tmp_path / "iwa.yaml")).name == "hq-1"


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_and_each_of_its_options_is_there(line: str) -> None:
    name, *words = shlex.split(line.removeprefix("sudo "))
    command: click.Command = {"devicetrust": devicetrust, "devicetrust-agent": devicetrust_agent}[name]
    context = click.Context(command)
    while isinstance(command, click.Group) and not words[0].startswith("--"):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= options


def test_every_line_of_the_log_and_no_other_is_named() -> None:
    section = README[README.index("## Watching it") : README.index("## Conditions of your own")]
    table = section[section.index("| of | lines |") : section.index("A defect of")]
    named = set(re.findall(r"`([a-z_]+)`", table))
    noted = set(re.findall(r"\bnote\(\s*\"([a-z_]+)\"", CODE))
    assert noted <= named
    assert {name for name in named if f'"{name}"' not in CODE} == set()


def test_every_metric_that_is_named_exists() -> None:
    named = {name.removeprefix("devicetrust_") for name in re.findall(r"`(devicetrust_[a-z_]+)", README)}
    assert len(named) > 10
    assert {name for name in named if not re.search(rf"\"(devicetrust_)?{name}(_total)?\"", CODE)} == set()
