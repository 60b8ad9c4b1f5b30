"""A whole gateway: supervisor, metrics, reloading and signals, from the start to the end of the process."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Never

from gateway.adapters.one_use_file import OneUseFileDamaged, load_one_use_table
from gateway.adapters.shared_memories import (
    create_marks_table,
    create_one_use_table,
    create_seen_requests_table,
)
from gateway.adapters.shared_table import SharedTable
from gateway.adapters.systemd import GivenSocket, Notifier
from gateway.model.settings import Address
from gateway.server.configuration import Configuration
from gateway.server.descriptors import raise_descriptor_limit
from gateway.server.listening import dealt, listen, text
from gateway.server.log import LogWriter
from gateway.server.log_output import SharedOutput, new_output_lock
from gateway.server.metrics_listener import MetricsListener
from gateway.server.one_use_saving import OneUseSaving
from gateway.server.reloading import Reloading
from gateway.server.supervisor import Held, Supervisor
from gateway.server.take_over import Estate, Inheritance, Offer, ask
from gateway.server.ticket_keys import TICKET_SECRET_BYTES

_LOG_FLUSH_SECONDS: Final = 5.0
# FileDescriptorName of the socket that metrics are served on.
METRICS_NAME: Final = "metrics"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to serve. ``read`` reads the configuration anew and blocks; ``refusals`` are what it raises for
    one that cannot be used. ``command`` starts a worker. ``given`` are sockets that systemd opened: with any,
    those of ``listen.https`` are not. ``org_command`` starts the org process."""

    configuration: Configuration
    read: Callable[[datetime], Configuration]
    refusals: tuple[type[Exception], ...]
    command: Sequence[str]
    org_command: Sequence[str]
    workers: int
    given: Sequence[GivenSocket]
    notifier: Notifier
    take_over: bool


async def run_gateway(plan: Plan) -> None:
    """Until a signal ends it, or another one takes over. Raises OSError where an address cannot be had,
    TakeOverFailed, and WorkerRefused and WorkerLost where the workers cannot do with the configuration."""
    raise_descriptor_limit()
    settings = plan.configuration.material.settings
    signals = _Signals()
    inheritance = await ask(settings.keys_directory, take_over=plan.take_over)
    former = None if inheritance is None else inheritance.estate
    log_lock = new_output_lock() if former is None else former.log_lock
    log = LogWriter(SharedOutput(log_lock).write)
    log.start()
    try:
        estate = _estate(plan, former, log_lock, log)
        supervisor = Supervisor(
            plan.configuration,
            Held(log_lock, estate.one_use_keys, estate.seen_requests, estate.challenges),
            dealt(estate.https, plan.workers),
            plan.command,
            str(Path(settings.keys_directory, "crl-cache")),
            log,
            estate.ticket_secret,
            plan.org_command,
        )
        metrics = MetricsListener(supervisor.scrape, supervisor.not_ready, supervisor.degraded)
        try:
            # A probe is answered while CRLs load; by the one that still runs, where this one takes over.
            if estate.metrics is not None and inheritance is None:
                await metrics.start(estate.metrics)
            if await _started(supervisor, signals):
                await _serve(plan, supervisor, estate, inheritance, metrics, signals, log)
        finally:
            await metrics.stop()
    finally:
        log.stop(_LOG_FLUSH_SECONDS)


async def _started(supervisor: Supervisor, signals: "_Signals") -> bool:
    """False if a signal came first. Raises what `Supervisor.start` raises."""
    starting = asyncio.create_task(supervisor.start(), name="start")
    ending = asyncio.create_task(signals.ends.wait(), name="signals")
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


async def _serve(
    plan: Plan,
    supervisor: Supervisor,
    estate: Estate,
    inheritance: Inheritance | None,
    metrics: MetricsListener,
    signals: "_Signals",
    log: LogWriter,
) -> None:
    """With workers that run, until the end."""
    settings = plan.configuration.material.settings
    saving = OneUseSaving(estate.one_use_keys, settings.keys_directory, log)
    offer = Offer(
        settings.keys_directory,
        lambda: replace(estate, ticket_secret=supervisor.ticket_secret),
        signals.ends.set,
        log,
    )
    reloading = Reloading(
        plan.configuration,
        plan.read,
        supervisor.replace_configuration,
        plan.refusals,
        log,
        signals.reads_anew,
        plan.notifier,
    )
    supervising = asyncio.create_task(supervisor.run(), name="supervisor")
    try:
        if estate.metrics is not None and inheritance is not None:
            await metrics.start(estate.metrics)
        log.note(
            "started",
            https=[_text(group[0]) for group in estate.https],
            workers=plan.workers,
            took_over_from=None if inheritance is None else inheritance.process_id,
            **supervisor.features,
        )
        if inheritance is not None:
            inheritance.complete()
        plan.notifier.ready()
        await _until_the_end(signals, supervising, reloading.run(), saving.run(), offer.run())
    finally:
        saved: asyncio.Task[None] | None = None
        if not offer.has_handed_over:  # else another one is the service now, answers and saves
            plan.notifier.stopping()
            # One that is started before this one is drained finds them, too.
            saved = asyncio.create_task(saving.save(), name="one-use keys")
        for group in estate.https:
            for listening in group:
                listening.close()
        if offer.has_handed_over:
            await metrics.stop()
        await supervisor.drain(signals.hurries)
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        if saved is not None:
            await saved
            await saving.save()
        log.note("stopped")


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


async def _until_the_end(
    signals: _Signals, supervising: "asyncio.Task[Never]", *work: Coroutine[Any, Any, None]
) -> None:
    """Until a signal comes. What ends before that ended by a defect, which must not go unseen. ``work`` ends
    with it, supervising goes on."""
    running = [asyncio.ensure_future(each) for each in work]
    ending = asyncio.create_task(signals.ends.wait(), name="signals")
    ended, _ = await asyncio.wait((supervising, *running, ending), return_when=asyncio.FIRST_COMPLETED)
    for task in (*running, ending):
        task.cancel()
    await asyncio.gather(*running, ending, return_exceptions=True)
    for one in ended:
        one.result()  # raises what ended it


def _estate(plan: Plan, former: Estate | None, log_lock: int, log: LogWriter) -> Estate:
    """What this gateway listens on and holds: what it is given, what it inherits, and what is left to
    make."""
    settings = plan.configuration.material.settings
    https: Sequence[Sequence[socket.socket]]
    given = [[one.listening] for one in plan.given if one.name != METRICS_NAME]
    if given:
        https = given
    elif former is not None and former.given:
        https = former.https
    else:
        inherited = [] if former is None else [one for group in former.https for one in group]
        https = [
            group
            for address in settings.listen_https
            for group in listen(address, "listen.https", plan.workers, inherited)
        ]
    metrics = next((one.listening for one in plan.given if one.name == METRICS_NAME), None)
    if metrics is None and settings.listen_metrics is not None:
        inherited = [] if former is None or former.metrics is None else [former.metrics]
        metrics = listen(settings.listen_metrics, "listen.metrics", 1, inherited)[0][0]
    if former is not None:
        return replace(former, https=https, metrics=metrics, given=bool(given) or former.given)
    return Estate(
        https=https,
        metrics=metrics,
        log_lock=log_lock,
        one_use_keys=_one_use_table(settings.keys_directory, log),
        seen_requests=create_seen_requests_table(),
        challenges=create_marks_table(),
        ticket_secret=os.urandom(TICKET_SECRET_BYTES),
        given=bool(given),
    )


def _text(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return text(Address(host, port))


def _one_use_table(directory: str, log: LogWriter) -> SharedTable:
    try:
        return load_one_use_table(directory, time.time())
    except OneUseFileDamaged as damaged:
        log.note("one_use_keys_lost", detail=str(damaged))
        return create_one_use_table()
