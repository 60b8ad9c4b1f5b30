"""`devicetrust-agent doctor`: why this computer is not trusted, and what to do about it."""

import json
import os
from pathlib import Path

import click

from gateway.agent.doctor.walk import doctor_checks
from gateway.agent.settings import settings_of
from gateway.agent.this_computer import this_platform
from gateway.model.checkup import as_json, exit_code, report

_EPILOG = """\b
Examples:
  devicetrust-agent doctor
  devicetrust-agent doctor --json
\b
Exit code: 0 nothing failed (there may be warnings), 1 something did, 2 the settings cannot be used."""


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json_wanted", is_flag=True, help="As one JSON object.")
def doctor(as_json_wanted: bool) -> int:
    """Find out why this computer is not trusted, and what to do about it.

    Looks at settings, proxy, clock, IWA web app, tickets, certificate, browsers and the way to the mTLS host,
    shows the certificate in a trial handshake, and asks the org what would apply. Run it as the person who is
    not trusted. Changes nothing.
    """
    platform = this_platform()
    settings = settings_of(platform.settings())
    checks = doctor_checks(settings, platform, os.environ, home=Path.home())
    if as_json_wanted:
        click.echo(json.dumps(as_json(checks), indent=2, ensure_ascii=False))
    else:
        for line in report(checks):
            click.echo(line)
    return exit_code(checks)
