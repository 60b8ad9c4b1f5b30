"""A token of SoftHSM in a directory of its own. The library reads where it is once in a process."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "correct-pin"


@dataclass(frozen=True)
class SoftHsm:
    directory: Path
    label: str

    @property
    def configuration(self) -> Path:
        """What the variable SOFTHSM2_CONF has to name for whoever uses the token."""
        return self.directory / "softhsm2.conf"

    @property
    def pin_file(self) -> Path:
        return self.directory / "pin"

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.configuration)}


def make_token(directory: Path, label: str = "trust") -> SoftHsm:
    """An initialized token, and a file with its PIN."""
    token = SoftHsm(directory, label)
    (directory / "tokens").mkdir(parents=True)
    token.configuration.write_text(f"directories.tokendir = {directory}/tokens\nlog.level = ERROR\n")
    made = subprocess.run(
        [
            *("softhsm2-util", "--init-token", "--free", "--label", label),
            *("--pin", PIN, "--so-pin", "so-pin"),
        ],
        capture_output=True,
        env={**os.environ, **token.environment},
        check=False,
    )
    assert made.returncode == 0, made.stderr
    token.pin_file.touch(0o600)
    token.pin_file.write_text(f"{PIN}\n")
    return token
