"""`devicetrust serve`: the gateway in the foreground, until a signal ends it."""

import asyncio
import contextlib
import resource
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Never

import click
import uvloop

from gateway.adapters.file_watch import watch_files
from gateway.adapters.key_files import KeyFileRefused, load_or_create_keys
from gateway.adapters.plugins import load_condition_parsers
from gateway.config.errors import ConfigError
from gateway.config.load import ConfigErrors
from gateway.config.material import load_material
from gateway.model.settings import GatewaySettings
from gateway.policy.conditions import ConditionParsers
from gateway.server.hosts import NoCertificateFor
from gateway.server.log import LogWriter
from gateway.server.page_templates import PageTemplateRefused
from gateway.server.worker import Worker
from gateway.services.material import Material
from gateway.tls.contexts import ServerCertificateRefused

_LOG_FLUSH_SECONDS: Final = 5.0
# Where no watch tells of a change, it is found this much later.
_POLL_SECONDS: Final = 30.0
# What a new configuration can be refused for; the old one then stays.
REFUSALS: Final = (
    ConfigError,
    ConfigErrors,
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


Fingerprints = dict[str, tuple[int, ...] | None]


@click.command(epilog=_EPILOG)
@click.option(
    "-c", "--config", "config_path", required=True, type=click.Path(dir_okay=False), help="gateway.yaml"
)
@click.option("--workers", type=click.IntRange(1, 1), default=None, help="This version runs one.")
def serve(config_path: str, workers: int | None) -> None:
    """Run the gateway.

    Logs JSON lines to standard output. Files that the configuration names are watched: a change is taken over
    without dropping a connection.
    """
    parsers = load_condition_parsers()
    material = load_material(config_path, parsers, datetime.now(UTC))
    if workers is None and material.settings.workers != 1:
        click.echo(f"{config_path}: listen.workers: this version runs one worker", err=True)
    # Every connection is a descriptor, and the usual soft limit of 1,024 is soon reached by idle ones.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # not everywhere is all of the hard limit allowed
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_serve(config_path, parsers, material))


async def _serve(config_path: str, parsers: ConditionParsers, material: Material) -> None:
    settings = material.settings
    keys = load_or_create_keys(settings.keys_directory)
    log = LogWriter(_write_stdout)
    worker = Worker(material, keys, log, str(Path(settings.keys_directory) / "crl-cache"))
    log.start()
    loop = asyncio.get_running_loop()
    ends, reads_anew = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ends.set)
    loop.add_signal_handler(signal.SIGHUP, reads_anew.set)
    reloading = Reloading(config_path, parsers, material, worker, log, reads_anew)
    try:
        await worker.start()
        task = loop.create_task(reloading.run(), name="reloading")
        waiting = loop.create_task(ends.wait(), name="signals")
        # Whichever ends first: a signal, or a task that only a defect can end, which must not go unseen.
        running = (task, waiting, *worker.background)
        ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        waiting.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        for one in ended:
            one.result()  # raises what ended it
    finally:
        await worker.drain()
        log.stop(_LOG_FLUSH_SECONDS)


class Reloading:
    """Takes changed files over, whether a signal or the file system tells of them."""

    def __init__(
        self,
        config_path: str,
        parsers: ConditionParsers,
        running: Material,
        worker: Worker,
        log: LogWriter,
        wanted: asyncio.Event,
    ) -> None:
        self._config_path = config_path
        self._parsers = parsers
        self._started_with = running.settings
        self._files = running.files
        self._worker = worker
        self._log = log
        self._wanted = wanted
        self._seen = _fingerprints(running.files)  # before anything waits: a change meanwhile is seen

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            watched = self._files
            async with asyncio.TaskGroup() as group:  # a watch that ends by a defect ends this, too
                watching = group.create_task(
                    watch_files(sorted(watched), self._look, poll_seconds=_POLL_SECONDS), name="watch files"
                )
                while self._files == watched:
                    await self._wanted.wait()
                    self._wanted.clear()
                    await self._reload()
                watching.cancel()

    async def _look(self) -> None:
        found = await asyncio.to_thread(_fingerprints, self._files)
        if found != self._seen:
            self._seen = found
            self._wanted.set()

    async def _reload(self) -> None:
        # Taken before the files are read: one that changes meanwhile is read once more.
        before = await asyncio.to_thread(_fingerprints, self._files)
        try:
            material = await asyncio.to_thread(
                load_material, self._config_path, self._parsers, datetime.now(UTC)
            )
            self._worker.apply(material)
        except REFUSALS as error:
            self._log.note("reload_refused", detail=str(error))
            return
        self._files = material.files
        now = await asyncio.to_thread(_fingerprints, self._files)
        self._seen = {name: before.get(name, found) for name, found in now.items()}
        self._log.note("reloaded", needs_restart=_fixed_at_start(self._started_with, material.settings))


def _fingerprints(files: frozenset[str]) -> Fingerprints:
    """What tells one content of a file from another without reading it, and who may read and write it, for
    which a file can be refused; None where there is no file."""
    found: Fingerprints = {}
    for name in files:
        try:
            status = Path(name).stat()
        except OSError:
            found[name] = None
        else:
            found[name] = (
                status.st_mtime_ns,
                status.st_size,
                status.st_ino,
                status.st_mode,
                status.st_uid,
            )
    return found


def _fixed_at_start(running: GatewaySettings, wanted: GatewaySettings) -> list[str]:
    """Keys whose new value counts only after a restart."""
    return [
        key
        for key, old, new in (
            ("listen.https", running.listen_https, wanted.listen_https),
            ("listen.metrics", running.listen_metrics, wanted.listen_metrics),
            ("listen.proxy_protocol", running.proxy_protocol, wanted.proxy_protocol),
            ("listen.workers", running.workers, wanted.workers),
            ("keys", running.keys_directory, wanted.keys_directory),
            ("org.name", running.org_name, wanted.org_name),
        )
        if old != new
    ]


def _write_stdout(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()
