"""`devicetrust serve`: the gateway in the foreground, until a signal ends it."""

import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
import uvloop

from gateway.adapters.file_watch import watch_files
from gateway.adapters.key_files import KeyFileRefused, load_or_create_keys
from gateway.adapters.material import Material, MaterialRefused, load_material
from gateway.adapters.plugins import load_condition_parsers
from gateway.config.errors import ConfigError
from gateway.config.load import ConfigErrors, load_settings
from gateway.config.policy_file import read_policy
from gateway.model.settings import GatewaySettings
from gateway.policy.conditions import ConditionParsers
from gateway.policy.rules import Policy
from gateway.server.hosts import NoCertificateFor
from gateway.server.log import LogWriter
from gateway.server.page_templates import PageTemplateRefused
from gateway.server.worker import Worker
from gateway.tls.contexts import ServerCertificateRefused

_LOG_FLUSH_SECONDS = 5.0
# What a new configuration can be refused for; the old one then stays.
_REFUSALS = (
    ConfigError,
    ConfigErrors,
    MaterialRefused,
    KeyFileRefused,
    NoCertificateFor,
    ServerCertificateRefused,
    PageTemplateRefused,
    OSError,
)

_EPILOG = """\b
Examples:
  devicetrust serve -c gateway.yaml
  kill -HUP PID     read the configuration anew; a bad one is refused, the old stays
  kill -TERM PID    finish what runs, then exit
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    material: Material
    policies: dict[str, Policy]


@click.command(epilog=_EPILOG)
@click.option(
    "-c", "--config", "config_path", required=True, type=click.Path(dir_okay=False), help="gateway.yaml"
)
def serve(config_path: str) -> None:
    """Run the gateway.

    Logs JSON lines to standard output. Files that the configuration names are watched: a change is taken over
    without dropping a connection.
    """
    parsers = load_condition_parsers()
    loaded = load(config_path, parsers)
    try:
        uvloop.run(_serve(config_path, parsers, loaded))
    except (NoCertificateFor, ServerCertificateRefused) as error:
        raise click.ClickException(f"{config_path}: {_sentence(error)}") from error


def load(config_path: str, parsers: ConditionParsers) -> Loaded:
    """Read the configuration and every file it names. Raises what `_REFUSALS` lists."""
    settings = load_settings(config_path)
    zone_names = {zone.name for zone in settings.zones}
    policies = {
        app.name: read_policy(
            app.policy_file, parsers, client_conditions=app.client_conditions, zone_names=zone_names
        ).policy
        for app in settings.apps
    }
    return Loaded(load_material(settings, datetime.now(UTC)), policies)


async def _serve(config_path: str, parsers: ConditionParsers, loaded: Loaded) -> None:
    settings = loaded.material.settings
    keys = load_or_create_keys(settings.keys_directory)
    log = LogWriter(_write_stdout)
    worker = Worker(
        loaded.material, loaded.policies, keys, log, str(Path(settings.keys_directory) / "crl-cache")
    )
    log.start()
    loop = asyncio.get_running_loop()
    ends, reads_anew = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ends.set)
    loop.add_signal_handler(signal.SIGHUP, reads_anew.set)
    await worker.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(
                    _reload(config_path, parsers, loaded.material, worker, log, reads_anew), name="reload"
                ),
            ]
            await ends.wait()
            for helper in helpers:
                helper.cancel()
    finally:
        await worker.drain()
        log.stop(_LOG_FLUSH_SECONDS)


async def _reload(
    config_path: str,
    parsers: ConditionParsers,
    material: Material,
    worker: Worker,
    log: LogWriter,
    reads_anew: asyncio.Event,
) -> None:
    """Take over changed files, whether a signal or the file system tells of them."""
    running = material.settings
    while True:
        async with asyncio.TaskGroup() as waiting:
            watcher = waiting.create_task(_wait_for_change(material.files, reads_anew), name="watch files")
            await reads_anew.wait()
            watcher.cancel()
        reads_anew.clear()
        try:
            loaded = await asyncio.to_thread(load, config_path, parsers)
            worker.apply(loaded.material, loaded.policies)
        except _REFUSALS as error:
            log.note("reload_refused", detail=_sentence(error))
            continue
        material = loaded.material
        log.note("reloaded", needs_restart=_fixed_at_start(running, material.settings))


async def _wait_for_change(files: frozenset[str], changed: asyncio.Event) -> None:
    async for _ in watch_files(files):
        changed.set()
        return


def _fixed_at_start(running: GatewaySettings, wanted: GatewaySettings) -> list[str]:
    """Keys whose new value counts only after a restart."""
    return [
        key
        for key, old, new in (
            ("listen.https", running.listen_https, wanted.listen_https),
            ("listen.metrics", running.listen_metrics, wanted.listen_metrics),
            ("listen.workers", running.workers, wanted.workers),
            ("keys", running.keys_directory, wanted.keys_directory),
            ("org.host", running.org_host, wanted.org_host),
        )
        if old != new
    ]


def _sentence(error: BaseException) -> str:
    if isinstance(error, NoCertificateFor):
        return f"tls.certificates: no certificate covers {error}"
    return str(error)


def _write_stdout(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
