"""`devicetrust serve`: the gateway in the foreground, until a signal ends it."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Final

import click

from gateway.adapters.allocator import limit_arenas
from gateway.adapters.key_copies import keys_fingerprint
from gateway.adapters.key_files import KeyFileRefused, load_keys
from gateway.adapters.processors import usable_processors
from gateway.adapters.systemd import Notifier, given_sockets
from gateway.cli.loading import loader_for
from gateway.config.errors import ConfigError
from gateway.config.load import ConfigErrors
from gateway.model.settings import GatewaySettings
from gateway.server.configuration import ConfigurationReader
from gateway.server.gateway_identity import gateway_id
from gateway.server.page_templates import PageTemplateRefused
from gateway.server.serving import Plan, run_gateway

# What a new configuration can be refused for; the old one then stays.
REFUSALS: Final = (ConfigError, ConfigErrors, KeyFileRefused, PageTemplateRefused, OSError)
_WORKER: Final = (sys.executable, "-P", "-m", "gateway.cli.worker")
_ORG: Final = (sys.executable, "-P", "-m", "gateway.cli.org")

_EPILOG = """\b
Examples:
  devicetrust serve -c gateway.yaml
  kill -HUP PID     read the configuration anew; a bad one is refused, the old stays
  devicetrust serve -c gateway.yaml --take-over     in place of the one that runs
  kill -TERM PID    finish what runs, then exit; a second time: exit at once
"""


@click.command(epilog=_EPILOG)
@click.option(
    "-c", "--config", "config_path", required=True, type=click.Path(dir_okay=False), help="gateway.yaml"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=None,
    help="Worker processes, instead of listen.workers.",
)
@click.option("--take-over", is_flag=True, help="Take the place of the gateway that runs with these keys.")
def serve(config_path: str, workers: int | None, take_over: bool) -> None:
    """Run the gateway.

    Logs JSON lines to standard output. Files that the configuration names are watched: a change is taken over
    without dropping a connection.
    """
    reader = ConfigurationReader(loader_for(config_path))
    configuration = reader.read(datetime.now(UTC))
    _check_keys(configuration.material.settings)
    plan = Plan(
        configuration=configuration,
        read=reader.read,
        refusals=REFUSALS,
        command=_WORKER,
        org_command=_ORG,
        given=given_sockets(os.environ),
        notifier=Notifier(os.environ),
        take_over=take_over,
        workers=workers or configuration.material.settings.workers or usable_processors(),
    )
    limit_arenas()
    asyncio.run(run_gateway(plan))


def _check_keys(settings: GatewaySettings) -> None:
    """Raises OtherKeys."""
    if settings.store_url is None or not settings.is_in_fleet:
        return
    # Only where it is needed: the driver of PostgreSQL takes memory and time.
    from gateway.adapters.fleet_keys import check_fleet_keys

    keys = load_keys(settings.keys_directory)
    check_fleet_keys(
        settings.store_url, gateway_id(settings), keys_fingerprint(keys), settings.keys_directory
    )
