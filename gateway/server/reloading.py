"""Taking changed files over, whether a signal or the file system tells of them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Never

from gateway.adapters.file_watch import watch_files
from gateway.adapters.systemd import Notifier
from gateway.model.settings import GatewaySettings
from gateway.server.configuration import Configuration
from gateway.server.log import LogWriter
from gateway.server.worker_link import WorkerRefused

# Where no watch tells of a change, it is found this much later.
_POLL_SECONDS: Final = 30.0

Fingerprints = dict[str, tuple[int, ...] | None]


class Reloading:
    """``read`` reads everything from disk and blocks; ``put_in_force`` raises WorkerRefused. ``refusals`` are
    what ``read`` raises for a configuration that cannot be used: the old one then stays."""

    def __init__(
        self,
        running: Configuration,
        read: Callable[[datetime], Configuration],
        put_in_force: Callable[[Configuration], Awaitable[None]],
        refusals: tuple[type[Exception], ...],
        log: LogWriter,
        wanted: asyncio.Event,
        notifier: Notifier,
    ) -> None:
        self._started_with = running.material.settings
        self._files = running.material.files
        self._read = read
        self._put_in_force = put_in_force
        self._refusals: tuple[type[Exception], ...] = (*refusals, WorkerRefused)
        self._log = log
        self._wanted = wanted
        self._notifier = notifier
        self._seen = _fingerprints(self._files)  # before anything waits: a change meanwhile is seen

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
        self._notifier.reloading()
        try:
            await self._take_over()
        finally:
            self._notifier.ready()

    async def _take_over(self) -> None:
        # Taken before the files are read: one that changes meanwhile is read once more.
        before = await asyncio.to_thread(_fingerprints, self._files)
        try:
            configuration = await asyncio.to_thread(self._read, datetime.now(UTC))
            await self._put_in_force(configuration)
        except self._refusals as error:
            self._log.note("reload_refused", detail=str(error))
            return
        self._files = configuration.material.files
        now = await asyncio.to_thread(_fingerprints, self._files)
        self._seen = {name: before.get(name, found) for name, found in now.items()}
        self._log.note(
            "reloaded", needs_restart=_fixed_at_start(self._started_with, configuration.material.settings)
        )


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
            ("listen.http", running.listen_http, wanted.listen_http),
            ("listen.metrics", running.listen_metrics, wanted.listen_metrics),
            ("listen.workers", running.workers, wanted.workers),
            ("listen.proxy_protocol", running.proxy_protocol, wanted.proxy_protocol),
            ("keys", running.keys_directory, wanted.keys_directory),
            ("org.name", running.org_name, wanted.org_name),
            ("store", running.store_url, wanted.store_url),
            ("fleet", running.fleet, wanted.fleet),
        )
        if old != new
    ]
