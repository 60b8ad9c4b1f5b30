"""systemd itself reads the agent's units, and finds nothing wrong with them."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.needed_parts import needs_program

from gateway.agent.artefacts.systemd import system_units, user_units
from gateway.agent.platform import Schedule

pytestmark = [pytest.mark.real, needs_program("systemd-analyze")]
# A program that is there: a unit without one is refused.
SCHEDULE = Schedule(Path(sys.executable))


@pytest.mark.parametrize(
    ("whose", "units"), [("--user", user_units(SCHEDULE)), ("--system", system_units(SCHEDULE))]
)
def test_units_are_understood_as_they_stand(whose: str, units: dict[str, str], tmp_path: Path) -> None:
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in units]
    command = ["systemd-analyze", whose, "--man=no", "--recursive-errors=no", "verify", *files]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_device_part_is_confined(tmp_path: Path) -> None:
    for name, text in system_units(SCHEDULE).items():
        (tmp_path / name).write_text(text)
    service = str(tmp_path / "devicetrust-device.service")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=30", service]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
