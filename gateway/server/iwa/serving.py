"""The process of the IWA web app: listens, reports itself, reads its files anew on SIGHUP, drains on
SIGTERM."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gateway.adapters.iwa_org_client import IwaOrgClient, tls_context
from gateway.adapters.iwa_registration import RegistrationFile, load_or_create_key
from gateway.adapters.memory import MemoryOneUseKeys, SystemClock, SystemRandomness
from gateway.adapters.systemd import Notifier
from gateway.enrollment.iwa_keys import key_id_of
from gateway.enrollment.reports import HealthValue
from gateway.model.iwa_settings import ChannelBindings, IwaSettings
from gateway.server.descriptors import raise_descriptor_limit
from gateway.server.iwa.app import InForce, IwaApp
from gateway.server.iwa.connections import Connections
from gateway.server.iwa.iwa_metrics import IwaMetrics
from gateway.server.iwa.reporting import Reporting
from gateway.server.iwa.server_certificate import ServerCertificate
from gateway.server.listening import listen, text
from gateway.server.log import LogWriter
from gateway.server.log_output import SharedOutput, new_output_lock
from gateway.server.metrics_listener import MetricsListener
from gateway.services.directory import Directory
from gateway.services.iwa import Iwa
from gateway.services.tickets import Tickets

_DRAIN_SECONDS: Final = 10.0
_LAST_LOOK_UP_SECONDS: Final = 30.0  # the longest that iwa.yaml allows
_GOODBYE_SECONDS: Final = 2.0
_LOG_FLUSH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class IwaPlan:
    """``read`` reads iwa.yaml; it, ``tickets`` and ``directory`` raise one of ``refusals`` for what cannot be
    used."""

    settings: IwaSettings
    read: Callable[[], IwaSettings]
    tickets: Callable[[IwaSettings], Tickets]
    directory: Callable[[IwaSettings], Directory]
    refusals: tuple[type[Exception], ...]
    notifier: Notifier


class IwaProcess:
    """Raises what a configuration can be refused for, before it listens anywhere."""

    def __init__(self, plan: IwaPlan, log: LogWriter) -> None:
        self._plan = plan
        self._log = log
        settings = plan.settings
        self._one_use_keys = MemoryOneUseKeys()
        key_id = key_id_of(load_or_create_key(settings.keys).public_key())
        self._registration = RegistrationFile(settings.keys, settings.org_url)
        self._in_force = self._made(settings, None)
        self._client = IwaOrgClient(settings.org_url, tls_context(settings.org_ca_file))
        self._metrics = IwaMetrics(
            lambda: len(self._connections), lambda: self._registration.current() is not None
        )
        self._app = IwaApp(lambda: self._in_force, self._registration.current, key_id, self._metrics, log)
        self._connections = Connections(self._app.server, settings.limits.connections)
        self._app.began, self._app.ended = self._connections.began, self._connections.ended
        self._reporting = Reporting(
            lambda: self._client, self._registration.current, self._health, self._metrics, log
        )
        self._listener = MetricsListener(self._metrics.page, self._not_ready, self._degraded)
        self._started = datetime.now(UTC)
        self._former: set[asyncio.Task[None]] = set()  # directories that are asked for the last time

    async def run(self) -> None:
        """Until a signal ends it. Raises OSError where an address cannot be had."""
        settings, certificate = self._in_force.settings, self._in_force.certificate
        signals = _Signals()
        if settings.metrics is not None:
            await self._listener.start(listen(settings.metrics, "listen.metrics", 1)[0][0])
        try:
            for address in settings.http:
                for group in listen(address, "listen.http", 1):
                    await self._connections.listen(group[0], None)
            for address in settings.https:
                assert certificate is not None, "https needs one"
                for group in listen(address, "listen.https", 1):
                    await self._connections.listen(group[0], certificate.context)
            self._say_started()
            await self._until_the_end(signals)
        finally:
            self._plan.notifier.stopping()
            self._connections.close()
            await self._reporting.say_goodbye(_GOODBYE_SECONDS)
            self._app.server.pre_shutdown()
            await self._app.server.shutdown(_DRAIN_SECONDS)
            await self._listener.stop()
            for leaving in self._former:
                leaving.cancel()
            await asyncio.gather(*self._former, return_exceptions=True)
            await self._in_force.directory.close()
            self._log.note("stopped")

    async def _until_the_end(self, signals: "_Signals") -> None:
        """What ends before a signal comes ended by a defect, which must not go unseen."""
        work: list[Coroutine[Any, Any, None]] = [
            self._reporting.run(),
            self._connections.sweep(),
            self._reload_when_wanted(signals),
            signals.wait_for_the_end(),
        ]
        running = [asyncio.ensure_future(each) for each in work]
        ended, others = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for one in ended:
            one.result()

    async def _reload_when_wanted(self, signals: "_Signals") -> None:
        while True:
            await signals.reads_anew.wait()
            signals.reads_anew.clear()
            self._plan.notifier.reloading()
            try:
                self._reload()
            finally:
                self._plan.notifier.ready()

    def _reload(self) -> None:
        """Some milliseconds of reading; what is under way goes on with what it began with."""
        before = self._in_force.settings
        try:
            settings = self._plan.read()
            made = self._made(settings, self._in_force.certificate)
            client = IwaOrgClient(settings.org_url, tls_context(settings.org_ca_file))
        except self._plan.refusals as error:
            self._log.note("reload_refused", detail=str(error))
            return
        leaving = asyncio.create_task(_close_later(self._in_force.directory), name="former directory")
        self._former.add(leaving)
        leaving.add_done_callback(self._former.discard)
        self._in_force, self._client = made, client
        self._connections.limit = settings.limits.connections
        self._note_certificate()
        self._log.note("reloaded", needs_restart=_fixed_at_start(before, settings))

    def _made(self, settings: IwaSettings, certificate: ServerCertificate | None) -> InForce:
        """``certificate``: what listens has it already, and is to show what its files hold now."""
        directory = self._plan.directory(settings)
        iwa = Iwa(
            settings,
            self._registration.current,
            self._plan.tickets(settings),
            directory,
            self._one_use_keys,
            SystemClock(),
            SystemRandomness(),
        )
        must_bind = settings.channel_bindings is ChannelBindings.REQUIRED
        if certificate is not None:
            certificate.reload(must_bind=must_bind)
        elif settings.https:
            assert settings.certificate is not None
            assert settings.private_key is not None, "which was checked"
            certificate = ServerCertificate(settings.certificate, settings.private_key, must_bind=must_bind)
        return InForce(settings, iwa, certificate, directory)

    def _say_started(self) -> None:
        settings = self._in_force.settings
        self._note_certificate()
        registration = self._registration.current()
        self._log.note(
            "started",
            http=[text(each) for each in settings.http],
            https=[text(each) for each in settings.https],
            url=settings.url,
            registered=registration is not None,
            problem=self._registration.problem,
            without_directory=[
                each.realm for each in settings.realms if settings.directory_of(each.realm) is None
            ],
            # Whoever comes first of such a realm says whose SIDs it has.
            without_domain_sid=[
                each.realm for each in settings.realms if len(settings.realms) > 1 and each.domain_sid is None
            ],
        )
        self._plan.notifier.ready()

    def _note_certificate(self) -> None:
        certificate = self._in_force.certificate
        if certificate is not None:
            self._metrics.certificate_not_after.set(certificate.not_after.timestamp())

    def _not_ready(self) -> list[str]:
        if self._registration.current() is not None:
            return []
        return [f"not registered: {self._registration.problem}"]

    def _degraded(self) -> list[str]:
        return [problem for problem in (self._reporting.problem, self._app.problem) if problem]

    def _health(self) -> Mapping[str, HealthValue]:
        certificate = self._in_force.certificate
        return {
            "status": "degraded" if self._app.problem else "ok",
            "problem": self._app.problem or None,
            "started": self._started.isoformat(timespec="seconds"),
            "connections": len(self._connections),
            **({} if certificate is None else {"certificate_ends": certificate.not_after.isoformat()}),
        }


async def run_iwa(plan: IwaPlan) -> None:
    """Until a signal ends it. Raises what ``plan`` can be refused for, and OSError."""
    raise_descriptor_limit()
    log = LogWriter(SharedOutput(new_output_lock()).write)
    process = IwaProcess(plan, log)
    log.start()
    try:
        await process.run()
    finally:
        log.stop(_LOG_FLUSH_SECONDS)


async def _close_later(directory: Directory) -> None:
    """When no request can be left that asks it."""
    try:
        await asyncio.sleep(_LAST_LOOK_UP_SECONDS)
    finally:
        await directory.close()


class _Signals:
    def __init__(self) -> None:
        self._ends, self.reads_anew = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ends.set)
        loop.add_signal_handler(signal.SIGHUP, self.reads_anew.set)

    async def wait_for_the_end(self) -> None:
        await self._ends.wait()


def _fixed_at_start(running: IwaSettings, wanted: IwaSettings) -> list[str]:
    """Keys whose new value counts only after a restart."""
    return [
        key
        for key, old, new in (
            ("listen.http", running.http, wanted.http),
            ("listen.https", running.https, wanted.https),
            ("listen.metrics", running.metrics, wanted.metrics),
            ("listen.certificate", running.certificate, wanted.certificate),
            ("listen.private_key", running.private_key, wanted.private_key),
            ("keys", running.keys, wanted.keys),
            ("org.url", running.org_url, wanted.org_url),
        )
        if old != new
    ]
