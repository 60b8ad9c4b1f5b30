"""A whole gateway: supervisor, metrics, reloading and signals, from the start to the end of the process."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Never

from gateway.adapters.one_use_file import OneUseFileDamaged, load_one_use_table, save_one_use_table
from gateway.adapters.shared_memories import (
    create_marks_table,
    create_one_use_table,
    create_seen_requests_table,
)
from gateway.adapters.shared_table import SharedTable
from gateway.model.one_use import OneUseKeysFull
from gateway.model.settings import GatewaySettings
from gateway.server.configuration import Configuration
from gateway.server.listening import dealt, listen, text
from gateway.server.log import LogWriter
from gateway.server.log_output import SharedOutput, new_output_lock
from gateway.server.metrics_listener import MetricsListener
from gateway.server.reloading import Reloading
from gateway.server.supervisor import Held, Supervisor

_LOG_FLUSH_SECONDS: Final = 5.0
# How much of the one-use keys a power cut can take.
_SAVE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve. ``read`` reads the configuration anew and blocks; ``refusals`` are what it raises for
    one that cannot be used. ``command`` starts a worker."""

    configuration: Configuration
    read: Callable[[datetime], Configuration]
    refusals: tuple[type[Exception], ...]
    command: Sequence[str]
    workers: int


async def run_gateway(plan: Plan) -> None:
    """Until a signal ends it. Raises OSError where an address cannot be had, WorkerRefused and WorkerLost
    where the workers cannot do with the configuration."""
    settings = plan.configuration.material.settings
    log_lock = new_output_lock()
    log = LogWriter(SharedOutput(log_lock).write)
    signals = _Signals()
    sockets = _listen(settings, plan.workers)
    metrics_socket = _listen_for_metrics(settings)
    log.start()
    try:
        one_use_keys = _one_use_table(settings.keys_directory, log)
        held = Held(log_lock, one_use_keys, create_seen_requests_table(), create_marks_table())
        supervisor = Supervisor(
            plan.configuration,
            held,
            dealt(sockets, plan.workers),
            plan.command,
            str(Path(settings.keys_directory, "crl-cache")),
            log,
        )
        saving = _Saving(one_use_keys, settings.keys_directory, log)
        metrics = MetricsListener(supervisor.scrape, supervisor.not_ready)
        await supervisor.start()
        try:
            if metrics_socket is not None:
                await metrics.start(metrics_socket)
            log.note(
                "started",
                https=[text(address) for address in settings.listen_https],
                workers=plan.workers,
                **supervisor.features,
            )
            reloading = Reloading(
                plan.configuration,
                plan.read,
                supervisor.replace_configuration,
                plan.refusals,
                log,
                signals.reads_anew,
            )
            await _until_the_end(signals, supervisor.run(), reloading.run(), saving.run())
        finally:
            for group in sockets:
                for listening in group:
                    listening.close()
            await supervisor.drain(settings.limits.drain_timeout_seconds, signals.hurries)
            await metrics.stop()
            await saving.save()
            log.note("stopped")
    finally:
        log.stop(_LOG_FLUSH_SECONDS)


class _Signals:
    def __init__(self) -> None:
        self.ends, self.hurries, self.reads_anew = asyncio.Event(), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self.reads_anew.set)

    def _end(self) -> None:
        """The second time, at once."""
        (self.hurries if self.ends.is_set() else self.ends).set()


class _Saving:
    """Writes the one-use keys to disk now and then. A disk that has no room for them is told of once."""

    def __init__(self, table: SharedTable, directory: str, log: LogWriter) -> None:
        self._table = table
        self._directory = directory
        self._log = log
        self._saved_sha256 = b""
        self._problem = ""

    async def run(self) -> Never:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        problem = ""
        try:
            self._saved_sha256 = await asyncio.to_thread(
                save_one_use_table, self._table, self._directory, time.time(), self._saved_sha256
            )
        except OSError as error:
            problem = error.strerror or str(error)
        except OneUseKeysFull as busy:
            problem = str(busy)
        if problem and problem != self._problem:
            self._log.note("one_use_keys_not_saved", directory=self._directory, detail=problem)
        self._problem = problem


async def _until_the_end(signals: _Signals, *work: Coroutine[Any, Any, Never]) -> None:
    """Until a signal comes. What ends before that ended by a defect, which must not go unseen."""
    running = [asyncio.ensure_future(each) for each in work]
    ending = asyncio.create_task(signals.ends.wait(), name="signals")
    ended, _ = await asyncio.wait((*running, ending), return_when=asyncio.FIRST_COMPLETED)
    for task in (*running, ending):
        task.cancel()
    await asyncio.gather(*running, ending, return_exceptions=True)
    for one in ended:
        one.result()  # raises what ended it


def _listen(settings: GatewaySettings, workers: int) -> list[list[socket.socket]]:
    return [group for address in settings.listen_https for group in listen(address, "listen.https", workers)]


def _listen_for_metrics(settings: GatewaySettings) -> socket.socket | None:
    if settings.listen_metrics is None:
        return None
    return listen(settings.listen_metrics, "listen.metrics", 1)[0][0]


def _one_use_table(directory: str, log: LogWriter) -> SharedTable:
    try:
        return load_one_use_table(directory, time.time())
    except OneUseFileDamaged as damaged:
        log.note("one_use_keys_lost", detail=str(damaged))
        return create_one_use_table()
