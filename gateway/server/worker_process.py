"""A worker as a process of its own: does what the supervisor says, over the control channel.

    start       → prepared | refused    the configuration, keys, shared tables and listening sockets
    revocation  → applied               an index, to be in force at once
    org_state, changes → org_applied    what the org says (`gateway.server.org_following`)
    listen      → ready                 take connections
    prepare     → prepared | refused    a new configuration; nothing changes yet
    commit      → committed | refused   the prepared one is in force
    abandon                             the prepared one is forgotten
    tickets                             a new secret for session tickets
    ping        → pong                  its event loop still turns
    metrics     → metrics | refused     the page, in memory that goes with the answer
    drain                               stop taking connections, finish what runs, say the last metrics, exit
    hurry                               the same, at once

Every question has a number, which its answer repeats. When the channel ends, the supervisor is gone: the
worker drains by itself, as on SIGTERM.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import generate_latest

from gateway.adapters.held_files import HeldFiles, taken_from, unpack
from gateway.adapters.key_files import GatewayKeys, load_keys
from gateway.adapters.one_use_file import save_one_use_table
from gateway.adapters.plugins import load_condition_parsers
from gateway.adapters.sealed_memory import SealedMemory, memory_file, sealed
from gateway.adapters.shared_index import MAX_DESCRIPTION_BYTES, open_index
from gateway.adapters.shared_memories import SharedChallengeMarks, SharedOneUseKeys, SharedSeenRequests
from gateway.adapters.shared_table import SharedTable
from gateway.adapters.spool import RUN_RANDOM_BYTES, Spool
from gateway.model.settings import GatewaySettings
from gateway.pki.revocation import RevocationIndex
from gateway.policy.conditions import ConditionParsers
from gateway.server.configuration import LoadMaterial
from gateway.server.control import PROTOCOL, ControlChannel, ControlClosed, Message
from gateway.server.heap import settle_heap
from gateway.server.hosts import NoCertificateFor
from gateway.server.log import LogWriter
from gateway.server.log_output import SharedOutput
from gateway.server.org_following import OrgFollowing, said_last
from gateway.server.page_templates import PageTemplateRefused
from gateway.server.worker import JoinFleet, Prepared, Shared, Worker
from gateway.services.material import Material
from gateway.services.org_material import OrgContent
from gateway.tls.contexts import ServerCertificateRefused

_LOG_FLUSH_SECONDS: Final = 5.0
# While a thread reads a configuration, the event loop gets its turn this soon. Python's default is five times
# it.
_SWITCH_SECONDS: Final = 0.001
# What the supervisor cannot find wrong with a configuration, as it makes no contexts of it.
REFUSALS: Final = (NoCertificateFor, ServerCertificateRefused, PageTemplateRefused, OSError)

# Path of gateway.yaml → what reads it.
LoaderFor = Callable[[str], LoadMaterial]


def run_worker(
    descriptor: int, loader_for: LoaderFor, run: Callable[[Coroutine[Any, Any, None]], object]
) -> None:
    """Until the supervisor or a signal ends it. ``run`` runs a coroutine on an event loop of its choice."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Ctrl-C reaches all processes of a terminal. What becomes of it is for the supervisor to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(_Process(loader_for).run(descriptor))


class _Process:
    def __init__(self, loader_for: LoaderFor) -> None:
        self._loader_for = loader_for
        self._load: LoadMaterial
        self._channel: ControlChannel
        self._worker: Worker
        self._sockets: list[socket.socket] = []
        self._prepared: Prepared | None = None
        self._index = RevocationIndex()
        # A later index must not be overtaken by an earlier one.
        self._indexing = asyncio.Lock()
        self._following: OrgFollowing
        self._ends = asyncio.Event()
        self._one_use_keys: SharedTable
        self._orphaned = False

    async def run(self, descriptor: int) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ends.set)
        self._channel = ControlChannel(socket.socket(fileno=descriptor))
        try:
            self._channel.send("hello", protocol=PROTOCOL)
            start = await self._channel.receive()
        except ControlClosed:
            return
        log_lock, *given = start.descriptors
        log = LogWriter(SharedOutput(log_lock).write)
        log.start()
        try:
            await self._begin(start, given, log)
            async with asyncio.TaskGroup() as group:
                receiving = group.create_task(self._receive(group), name="control channel")
                following = group.create_task(self._following.run(), name="org")
                await self._ends.wait()
                await self._worker.drain()
                following.cancel()
                await self._tell_metrics(Message("metrics"))
                receiving.cancel()
            if self._orphaned:  # nobody else is left to do it
                save_one_use_table(self._one_use_keys, start.values["keys_directory"], time.time())
        except REFUSALS as refused:
            self._answer(start, "refused", detail=str(refused))
        finally:
            log.stop(_LOG_FLUSH_SECONDS)

    async def _begin(self, start: Message, given: list[int], log: LogWriter) -> None:
        """Raises what a configuration can be refused for."""
        values = start.values
        files, one_use_keys, seen_requests, challenges, *sockets = given
        self._sockets = [socket.socket(fileno=descriptor) for descriptor in sockets]
        self._load = self._loader_for(values["config_path"])

        def load() -> tuple[Material, GatewayKeys, HeldFiles, ConditionParsers, Spool | None]:
            held = unpack(files)
            with taken_from(held):
                material, keys = self._load(_read_at(values)), load_keys(values["keys_directory"])
            return material, keys, held, load_condition_parsers(), _spool(material.settings, values)

        material, keys, held, parsers, spool = await asyncio.to_thread(load)
        said: OrgContent | None = None
        if material.settings.store_url is not None:
            said = await asyncio.to_thread(said_last, values["keys_directory"], log)
        self._one_use_keys = SharedTable.open(one_use_keys)
        marks_of_all = SharedChallengeMarks(SharedTable.open(challenges))
        keys_of_all, seen_by_all = (
            SharedOneUseKeys(self._one_use_keys),
            SharedSeenRequests(SharedTable.open(seen_requests)),
        )
        shared = Shared(
            keys,
            keys_of_all,
            seen_by_all,
            marks_of_all,
            bytes.fromhex(values["ticket_secret"]),
            spool,
            _join_fleet(material.settings, keys_of_all, seen_by_all, marks_of_all),
            values["slot"],
        )
        with taken_from(held):
            self._worker = Worker(material, shared, log, parsers)
            if said is not None:
                self._worker.in_force.remember(said)
        self._following = OrgFollowing(self._worker.in_force, self._org_applied)
        settle_heap()
        self._answer(start, "prepared", features=self._worker.features)

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        """Do what comes, until the channel ends."""
        while True:
            try:
                message = await self._channel.receive()
            except ControlClosed:
                self._orphaned = not self._ends.is_set()
                self._ends.set()
                return
            match message.name:
                case "listen":
                    await self._worker.start(self._sockets)
                    for task in self._worker.background:
                        group.create_task(_until_it_ends(task), name=f"watch over {task.get_name()}")
                    self._answer(message, "ready")
                case "revocation":
                    group.create_task(self._take_index(message), name="revocation index")
                case "org_state" | "changes":
                    self._following.take(message)
                case "prepare":
                    group.create_task(self._prepare(message), name="new configuration")
                case "commit":
                    self._commit(message)
                case "abandon":
                    self._prepared = None
                case "tickets":
                    self._worker.replace_ticket_secret(bytes.fromhex(message.values["secret"]))
                case "ping":
                    self._answer(message, "pong")
                case "metrics":
                    group.create_task(self._tell_metrics(message), name="metrics")
                case "drain":
                    self._ends.set()
                case "hurry":
                    self._worker.hurry()
                    self._ends.set()

    async def _take_index(self, message: Message) -> None:
        description, *descriptors = message.descriptors

        def opened() -> RevocationIndex:
            memory = SealedMemory.mapped(description, MAX_DESCRIPTION_BYTES)
            return open_index(memory[:], descriptors, self._index)

        async with self._indexing:
            self._index = await asyncio.to_thread(opened)
            self._worker.in_force.revoked(self._index)
        self._answer(message, "applied")

    async def _prepare(self, message: Message) -> None:
        (files,) = message.descriptors

        def prepared() -> Prepared:
            with taken_from(unpack(files)):
                return self._worker.prepare(self._load(_read_at(message.values)))

        try:
            self._prepared = await asyncio.to_thread(prepared)
        except REFUSALS as refused:
            self._answer(message, "refused", detail=str(refused))
        else:
            self._answer(message, "prepared")

    def _commit(self, message: Message) -> None:
        prepared, self._prepared = self._prepared, None
        assert prepared is not None, "the supervisor commits what was prepared"
        self._worker.commit(prepared)
        self._answer(message, "committed")

    async def _tell_metrics(self, message: Message) -> None:
        page = await asyncio.to_thread(generate_latest, self._worker.registry)
        try:
            with memory_file("metrics") as file:
                file.write(page)
                memory = sealed(file)
        except OSError as error:
            self._answer(message, "refused", detail=str(error))
            return
        self._answer(message, "metrics", (memory.descriptor,))

    def _org_applied(self, change: int | None, refused: str) -> None:
        try:
            self._channel.send("org_applied", change=change, refused=refused)
        except ControlClosed:
            return  # who receives finds out, too

    def _answer(
        self, question: Message, name: str, descriptors: tuple[int, ...] = (), **values: object
    ) -> None:
        try:
            self._channel.send(name, descriptors, number=question.values.get("number"), **values)
        except ControlClosed:
            return  # who receives finds out, too


def _spool(settings: GatewaySettings, values: Mapping[str, Any]) -> Spool | None:
    """None where there is no store for what is spooled. Raises OSError."""
    if settings.store_url is None:
        return None
    return Spool(
        values["keys_directory"],
        values["slot"],
        settings.system_log.spool_limit_bytes,
        now_ns=time.time_ns(),
        random=os.urandom(RUN_RANDOM_BYTES),
    )


def _join_fleet(
    settings: GatewaySettings,
    one_use_keys: SharedOneUseKeys,
    seen_requests: SharedSeenRequests,
    challenge_marks: SharedChallengeMarks,
) -> JoinFleet | None:
    url = settings.store_url
    if url is None or not settings.is_in_fleet:
        return None
    # Only where it is needed: the driver of PostgreSQL takes 10 MB of each worker.
    from gateway.server.fleet_memories import FleetMemories

    shared = one_use_keys, seen_requests, challenge_marks
    return lambda count, log: FleetMemories(url, settings.fleet, *shared, count, log)


def _read_at(values: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(values["read_at"])


async def _until_it_ends(task: asyncio.Task[None]) -> None:
    await task
