"""The process above the workers: it holds what they share, keeps them running, and has no part in the data
path.

    start                   CRLs are read, workers are started; the first one that refuses ends it all
    replace_configuration   every worker prepares; when all have, all commit; where one refuses, nothing
    changes run                     a worker that ends is replaced; a new revocation index goes to all drain
    workers finish what runs, until a deadline

A worker is started with the configuration that is in force, from a copy: what the files hold by then is of no
account.
"""

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Never, Protocol

from gateway.adapters.crl_store import CrlStore
from gateway.adapters.memory import SystemClock
from gateway.adapters.sealed_memory import SealedMemory, memory_file, sealed
from gateway.adapters.shared_index import DescribedIndex, describe
from gateway.adapters.shared_table import SharedTable
from gateway.adapters.spool import RUN_RANDOM_BYTES, Spool
from gateway.model.events import CrlFailed
from gateway.model.spooling import SystemLogFull
from gateway.pki.revocation import RevocationIndex
from gateway.server.configuration import Configuration
from gateway.server.log import LogWriter
from gateway.server.org_supervision import OrgSupervision
from gateway.server.start_pauses import StartPauses
from gateway.server.supervisor_metrics import SupervisorMetrics
from gateway.server.ticket_keys import TICKET_SECRET_BYTES, TICKET_SECRET_SECONDS
from gateway.server.worker_link import WorkerLink, WorkerLost, WorkerRefused
from gateway.system_log.spooled import encode_event

# To read a configuration of thousands of apps on a machine that is busy.
_PREPARE_SECONDS: Final = 120.0
# What a worker does in a moment. One that needs longer than this hangs, and is replaced.
_ANSWER_SECONDS: Final = 30.0
_COUNT_SECONDS: Final = 5.0
# A worker's event loop turns within milliseconds, whatever it does.
_PING_SECONDS: Final = 5.0
# On top of the time that workers have to drain.
_END_SECONDS: Final = 5.0
_HURRY_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 5.0


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Held:
    """What outlives every worker, and is handed on when another supervisor takes over."""

    log_lock: int
    one_use_keys: SharedTable
    seen_requests: SharedTable
    challenges: SharedTable

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(table.descriptor for table in (self.one_use_keys, self.seen_requests, self.challenges))


@dataclass(slots=True)
class _Slot:
    """The place of one worker, with the sockets that it and its replacements listen on."""

    number: int
    sockets: Sequence[HasDescriptor]
    link: WorkerLink | None = None
    is_ready: bool = False
    pauses: StartPauses = field(default_factory=StartPauses)


class Supervisor:
    """Made on the running loop. ``command`` starts a worker, ``org_command`` the org process, which is not
    wanted where there is no store; ``crl_cache_directory`` as in `CrlStore`."""

    def __init__(
        self,
        configuration: Configuration,
        held: Held,
        sockets: Sequence[Sequence[HasDescriptor]],
        command: Sequence[str],
        crl_cache_directory: str | None,
        log: LogWriter,
        ticket_secret: bytes,
        org_command: Sequence[str] = (),
    ) -> None:
        self._in_force = configuration
        self._held = held
        self._command = command
        self._log = log
        self._clock = SystemClock()
        self._slots = [_Slot(number, own) for number, own in enumerate(sockets, start=1)]
        self.metrics = SupervisorMetrics()
        self.ticket_secret = ticket_secret
        self._is_started = False
        self._draining = asyncio.Event()
        # Workers are started and configurations replaced one after the other, so that none starts with what
        # is about to be replaced.
        self._turn = asyncio.Lock()
        self._described: tuple[DescribedIndex, SealedMemory] | None = None
        self._not_passed_on: RevocationIndex | None = None
        self._crls = CrlStore(
            configuration.material.authorities, crl_cache_directory, self._clock, self._index_changed, self
        )
        self._spool: Spool | None = None
        self._org: OrgSupervision | None = None
        if configuration.material.settings.store_url is not None and org_command:
            self._org = OrgSupervision(
                org_command,
                held.log_lock,
                lambda: self._in_force,
                self.metrics.process_has_ended,
                self.metrics.changed_to,
                self.metrics.store_reachable,
                log,
            )

    async def start(self) -> None:
        """Raises WorkerRefused, WorkerLost, OSError, when all that was begun has ended."""
        if self._org is not None:
            self._org.link.start()
        loading = asyncio.create_task(self._crls.load(), name="first load of the CRLs")
        starting = [asyncio.create_task(self._start(slot, loading)) for slot in self._slots]
        try:
            await asyncio.gather(loading, *starting)
        except BaseException:
            for task in (loading, *starting):
                task.cancel()
            await asyncio.gather(loading, *starting, return_exceptions=True)
            await self._end_all()
            raise
        self._is_started = True
        self._report()

    @property
    def features(self) -> dict[str, object]:
        """What the workers found of OpenSSL, for the log."""
        link = self._slots[0].link
        return {} if link is None else dict(link.features)

    async def run(self) -> Never:
        """Until cancelled; ends otherwise only by a defect."""
        async with asyncio.TaskGroup() as group:
            for slot in self._slots:
                group.create_task(self._keep(slot), name=f"worker {slot.number}")
                group.create_task(self._watch(slot), name=f"watch over worker {slot.number}")
            group.create_task(self._crls.run(), name="CRLs")
            group.create_task(self._renew_ticket_secret(), name="ticket keys")
            if self._org is not None:
                group.create_task(self._org.link.run(), name="org")
            await self._tick()
        raise AssertionError("none of them returns")

    async def replace_configuration(self, configuration: Configuration) -> None:
        """Raises WorkerRefused; nothing has changed then, in any worker."""
        async with self._turn:
            links = self._ready()
            prepared = await asyncio.gather(
                *(self._prepared(link, configuration) for link in links), return_exceptions=True
            )
            for outcome in prepared:
                if isinstance(outcome, BaseException):
                    for link in links:
                        link.tell("abandon")
                    raise outcome
            if links and not any(prepared):
                raise WorkerRefused("every worker ended while it prepared the configuration")
            self._in_force = configuration
            await asyncio.gather(*(self._commit(link) for link in links))
        if self._org is not None:
            self._org.link.replace_configuration(configuration)
        self._crls.replace_authorities(configuration.material.authorities)
        self._report()
        self.metrics.changed()

    async def scrape(self) -> bytes:
        """The metrics of all workers, past and present."""
        counting = [self._count(link) for link in self._ready()]
        if self._org is not None:
            counting.append(self._org.link.count())
        await asyncio.gather(*counting)
        counted = [slot.link.counted for slot in self._slots if slot.link is not None]
        if self._org is not None:
            counted.append(self._org.link.counted)
        return self.metrics.page(counted, len(self._ready()))

    def not_ready(self) -> list[str]:
        """Why sign-ons cannot all be judged now."""
        if self._draining.is_set():
            return ["draining"]
        if not self._is_started:
            return ["starting: CRLs are loaded, workers are started"]
        if not self._ready():
            return ["no worker runs"]
        if self._not_passed_on is not None:
            return ["new revocations are not passed on to the workers"]
        unloaded = [] if self._org is None else self._org.not_ready()
        return unloaded + [
            f"{state.authority}: {state.location}: {state.detail or 'the CRL is stale'}"
            for state in self._crls.freshness(self._clock.now())
            if not state.fresh
        ]

    def degraded(self) -> list[str]:
        """What should not stay so, though sign-ons are judged as ever."""
        return [] if self._org is None else self._org.degraded()

    async def drain(self, hurry: asyncio.Event) -> None:
        """Have all workers finish what runs, within the time that the configuration gives; at once when
        ``hurry`` is set. `run` may go on meanwhile: it then replaces no worker, and still tells all of
        revocations."""
        self._draining.set()
        seconds = self._in_force.material.settings.limits.drain_timeout_seconds
        links = [slot.link for slot in self._slots if slot.link is not None]
        for link in links:
            link.tell("drain")
        ending = [
            asyncio.create_task(link.ended(), name=f"end of worker {link.process_id}") for link in links
        ]
        hurrying = asyncio.create_task(hurry.wait(), name="hurry")
        everyone = asyncio.gather(*ending)
        await asyncio.wait(
            (everyone, hurrying), timeout=seconds + _END_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        hurrying.cancel()
        if not everyone.done():
            for link in links:
                link.tell("hurry")
            await asyncio.wait((everyone,), timeout=_HURRY_SECONDS)
        everyone.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._org is not None:  # the last: workers finished requests to it, and were told of revocations
            await self._org.link.stop(hurry)
        await self._end_all()

    # Reports of the CRL store.

    def crl_loaded(
        self, authority: str, location: str, crl_number: int | None, entries: int, next_update: datetime
    ) -> None:
        self._log.note(
            "crl_loaded",
            authority=authority,
            location=location,
            crl_number=crl_number,
            entries=entries,
            next_update=next_update,
        )

    def crl_failed(self, authority: str, location: str, detail: str) -> None:
        self._log.note("crl_failed", authority=authority, location=location, detail=detail)
        if self._org is not None:
            self._keep_for_system_log(CrlFailed(self._clock.now(), authority, location, detail))

    def _keep_for_system_log(self, failed: CrlFailed) -> None:
        """In a spool of its own, beside those of the workers. One that is full is told of by them."""
        settings = self._in_force.material.settings
        try:
            if self._spool is None:
                limit, now_ns = settings.system_log.spool_limit_bytes, time.time_ns()
                self._spool = Spool(
                    settings.keys_directory, 0, limit, now_ns=now_ns, random=os.urandom(RUN_RANDOM_BYTES)
                )
            self._spool.look()
            self._spool.append((encode_event(failed),))
        except (SystemLogFull, OSError) as problem:
            self._log.note("system_log_event_lost", detail=str(problem))

    def _index_changed(self, index: RevocationIndex) -> None:
        is_first_attempt = self._not_passed_on is None
        self._not_passed_on = index
        try:
            described = describe(index)
            with memory_file("revocation index") as file:
                file.write(described.description)
                self._described = described, sealed(file)
        except OSError as error:  # no memory or descriptors for now: tried again with every tick
            if not self._is_started:
                raise
            if is_first_attempt:
                self._log.note("revocations_not_passed_on", detail=error.strerror)
            return
        self._not_passed_on = None
        for slot in self._slots:
            if slot.link is not None and slot.link.takes_indexes:
                self._send_index(slot.link)
        self._report()
        self.metrics.changed()

    def _send_index(self, link: WorkerLink) -> None:
        if self._described is not None:
            described, memory = self._described
            link.tell("revocation", (memory.descriptor, *described.descriptors))

    def _report(self) -> None:
        material = self._in_force.material
        self.metrics.certificates(material.certificates, self._clock.now())
        self.metrics.crls(material.authorities, self._crls.index)

    # One worker.

    async def _start(self, slot: _Slot, crls: "asyncio.Task[None] | None" = None) -> None:
        """Raises WorkerRefused, WorkerLost, OSError. What was begun has ended then."""
        slot.pauses.started()
        hears = {} if self._org is None else {"org_applied": self._org.worker_hears(slot.number)}
        link = slot.link = await WorkerLink.spawn(self._command, hears)
        try:
            settings = self._in_force.material.settings
            answer = await link.ask(
                "start",
                (
                    self._held.log_lock,
                    self._in_force.packed.descriptor,
                    *self._held.descriptors,
                    *(listening.fileno() for listening in slot.sockets),
                ),
                seconds=_PREPARE_SECONDS,
                config_path=settings.source,
                read_at=self._in_force.read_at.isoformat(),
                keys_directory=settings.keys_directory,
                ticket_secret=self.ticket_secret.hex(),
                slot=slot.number,
            )
            link.features = answer.values["features"]
            if crls is not None:
                await asyncio.shield(crls)
            link.takes_indexes = True
            if self._described is not None:
                described, memory = self._described
                await link.ask(
                    "revocation",
                    (memory.descriptor, *described.descriptors),
                    seconds=_ANSWER_SECONDS,
                )
            if self._org is not None:
                if not self._is_started:
                    await self._org.first_state()
                await self._org.worker_begins(slot.number, link)
            await link.ask("listen", seconds=_ANSWER_SECONDS)
        except BaseException:
            slot.link = None
            self._worker_ended(slot)
            await link.end_now()
            raise
        slot.is_ready = True

    async def _keep(self, slot: _Slot) -> None:
        """Replace the worker of a slot whenever it ends, until all are to end."""
        while True:
            link = slot.link
            assert link is not None, "it was started"
            status = await link.ended()
            slot.is_ready = False
            slot.link = None
            self._worker_ended(slot)
            self.metrics.process_has_ended(link.counted)
            self._log.note("worker_exited", worker=slot.number, process=link.process_id, exit_status=status)
            while not slot.is_ready:
                await asyncio.sleep(slot.pauses.next_seconds())
                try:
                    async with self._turn:
                        if self._draining.is_set():
                            return
                        await self._start(slot)
                except (WorkerRefused, WorkerLost, OSError) as problem:
                    self._log.note("worker_not_started", worker=slot.number, detail=str(problem))
            self.metrics.worker_was_replaced()
            self._log.note("worker_started", worker=slot.number, process=self._process_of(slot))

    def _worker_ended(self, slot: _Slot) -> None:
        if self._org is not None:
            self._org.worker_ended(slot.number)

    async def _watch(self, slot: _Slot) -> Never:
        """End a worker that runs and does nothing any more; `_keep` replaces it."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            link = slot.link
            if link is not None and slot.is_ready and await link.hangs(_PING_SECONDS):
                self._log.note("worker_hangs", worker=slot.number, process=link.process_id)
                await link.end_now()

    async def _prepared(self, link: WorkerLink, configuration: Configuration) -> bool:
        """Raises WorkerRefused. False for one that is lost meanwhile: it is replaced, and starts with what is
        in force then."""
        try:
            await link.ask(
                "prepare",
                (configuration.packed.descriptor,),
                seconds=_PREPARE_SECONDS,
                read_at=configuration.read_at.isoformat(),
            )
        except WorkerLost:
            await link.end_now()
            return False
        return True

    async def _commit(self, link: WorkerLink) -> None:
        """Where a worker cannot, it is replaced: no two configurations may be in force."""
        try:
            await link.ask("commit", seconds=_ANSWER_SECONDS)
        except (WorkerLost, WorkerRefused):
            await link.end_now()

    async def _count(self, link: WorkerLink) -> None:
        try:
            await link.count(_COUNT_SECONDS)
        except (WorkerLost, WorkerRefused):  # what it told before still counts
            return

    @staticmethod
    def _process_of(slot: _Slot) -> int | None:
        return None if slot.link is None else slot.link.process_id

    def _ready(self) -> list[WorkerLink]:
        return [slot.link for slot in self._slots if slot.link is not None and slot.is_ready]

    async def _end_all(self) -> None:
        links: Iterable[WorkerLink] = [slot.link for slot in self._slots if slot.link is not None]
        await asyncio.gather(*(link.end_now() for link in links))
        if self._org is not None:
            await self._org.link.end_now()

    # What happens by itself.

    async def _renew_ticket_secret(self) -> Never:
        while True:
            await asyncio.sleep(TICKET_SECRET_SECONDS)
            self.ticket_secret = os.urandom(TICKET_SECRET_BYTES)
            for slot in self._slots:
                if slot.link is not None:  # also one that starts: it was told the former secret already
                    slot.link.tell("tickets", secret=self.ticket_secret.hex())

    async def _tick(self) -> Never:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.metrics.count_expiring(self._clock.now())
            if self._not_passed_on is not None:
                self._index_changed(self._not_passed_on)
