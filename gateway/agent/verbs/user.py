"""`devicetrust-agent --user`: one run for the person who runs it."""

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from gateway.agent.cli import EXIT_OK, EXIT_PASSES, EXIT_REFUSED
from gateway.agent.schedule import Ending, is_due
from gateway.agent.settings import settings_of
from gateway.agent.this_computer import this_platform
from gateway.agent.trace import NoTrace, PrintedTrace
from gateway.agent.vault import Vault

# A code has about 100 characters.
MAX_CODE_CHARACTERS: Final = 1_024

if TYPE_CHECKING:
    from gateway.agent.outcome import Outcome


def run_user(*, force: bool, code: str | None, scheduled: bool, debug: bool) -> int:
    """The exit code. Raises SettingsRefused, AlreadyRunning, VaultFailed, PlatformFailed, Refused."""
    platform = this_platform()
    settings = settings_of(platform.settings())
    vault = Vault(platform.data_directory)
    if scheduled and not is_due(vault.state().next_run, datetime.now(UTC)):
        return EXIT_OK
    # Only now: what asks servers takes longer to load than to find out, each half hour, that nothing is due.
    from gateway.agent.assembly import assembled_run
    from gateway.agent.outcome import RunOptions

    if code == "-":
        code = sys.stdin.readline(MAX_CODE_CHARACTERS).strip()
    trace = PrintedTrace(click.echo) if debug else NoTrace()
    with vault.locked(), assembled_run(settings, platform, os.environ, trace, click.echo) as run:
        outcome = run.run(RunOptions(force=force, code=code))
    return _told(outcome, debug=debug)


def _told(outcome: "Outcome", *, debug: bool) -> int:
    if outcome.refusal is None:
        click.echo(outcome.sentence)
        return EXIT_OK
    refusal = outcome.refusal
    step = f" at step {refusal.step}" if refusal.step is not None else ""
    click.echo(f"devicetrust-agent: refused{step}: {refusal.code}: {refusal.message}", err=True)
    if refusal.remedy:
        click.echo(refusal.remedy, err=True)
    if debug:
        for name, value in (("detail", refusal.detail), ("reference id", refusal.reference_id)):
            if value:
                click.echo(f"{name}: {value}", err=True)
    return EXIT_PASSES if outcome.ending is Ending.PASSES else EXIT_REFUSED
