"""Programs of the system that the agent runs: one small port, so that every command line can be looked at in
tests, also those of systems that the tests do not run on."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.agent.platform import PlatformFailed

SECONDS: Final = 30.0
MAX_OUTPUT_CHARACTERS: Final = 4_194_304


@dataclass(frozen=True, slots=True)
class Finished:
    status: int
    output: bytes
    errors: str

    @property
    def complaint(self) -> str:
        """The last line that it wrote about its failure; "" where it wrote none."""
        text = self.errors.strip() or self.output.decode(errors="replace").strip()
        return text.splitlines()[-1][:300] if text else ""


class Commands(Protocol):
    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = SECONDS) -> Finished:
        """Run a program to its end, with ``given`` as its standard input, and without a shell. Secrets belong
        into files or into ``given``: all users of a computer see arguments. Raises PlatformFailed where the
        program is not installed or does not end in time; a status that is not 0 is the caller's to judge."""
        ...


class SystemCommands:
    """The programs of this computer, with messages in English."""

    def __init__(self, packages: dict[str, str] | None = None) -> None:
        """``packages``: program → the package that has it, for the remedy."""
        self._packages = packages or {}

    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = SECONDS) -> Finished:
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs, and no shell
                list(arguments),
                input=given,
                capture_output=True,
                timeout=seconds,
                check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError:
            package = self._packages.get(arguments[0])
            raise PlatformFailed(
                f"the program {arguments[0]} is not installed",
                remedy="" if package is None else f"install the package {package}",
            ) from None
        except subprocess.TimeoutExpired:
            raise PlatformFailed(f"{arguments[0]} did not end within {seconds:g} s", transient=True) from None
        except OSError as error:
            raise PlatformFailed(f"{arguments[0]}: {error.strerror or error}") from error
        return Finished(
            done.returncode,
            done.stdout[:MAX_OUTPUT_CHARACTERS],
            done.stderr.decode(errors="replace")[:65_536],
        )
