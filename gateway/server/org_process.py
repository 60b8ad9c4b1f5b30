"""The org as a process of its own: does what the supervisor says, over the control channel.

From the supervisor:

    start          → ready | refused    log lock, configuration, and the Unix socket that it listens on
    configuration                       a new one; where it cannot be used, the old one stays
    applied        {worker, number}     this worker has enforced all changes up to this number
    workers        {live: [worker…]}    those that have to enforce changes from now on
    ping           → pong               its event loop still turns
    metrics        → metrics | refused  the page, in memory that goes with the answer
    drain                               finish what runs, exit

To the supervisor, unasked:

    org_state      {number}             the whole truth at this change: the document, and the revoked serial
                                        numbers, each in memory that goes along
    changes        {changes: […]}       the single changes after it, in order
    store          {reachable, since, detail}

When the channel ends, the supervisor is gone: the org drains by itself, as on SIGTERM.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry, generate_latest

from gateway.adapters.held_files import HeldFiles, taken_from, unpack
from gateway.adapters.key_files import GatewayKeys, load_keys
from gateway.adapters.sealed_memory import memory_file, sealed
from gateway.adapters.shared_revocations import pack_revoked
from gateway.model.org_state import batches
from gateway.pki.serials import SerialSet
from gateway.server.configuration import LoadMaterial
from gateway.server.control import PROTOCOL, ControlChannel, ControlClosed, Message
from gateway.server.log import LogWriter
from gateway.server.log_output import SharedOutput
from gateway.server.worker_process import REFUSALS, LoaderFor
from gateway.services.material import Material

_LOG_FLUSH_SECONDS: Final = 5.0


class OrgVoice:
    """What the org tells the data plane. Nothing happens where the supervisor is gone."""

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel

    def state(self, number: int, document: bytes, revoked: Mapping[bytes, SerialSet]) -> None:
        """The whole truth at change ``number``: ``document`` as `gateway.model.org_state` reads it, and the
        revoked serial numbers of each own issuer, by its hash. Raises OSError where memory runs out."""
        with memory_file("org state") as file:
            file.write(document)
            described = sealed(file)
        serials = pack_revoked(revoked)
        self._send("org_state", (described.descriptor, serials.descriptor), number=number)

    def changes(self, changes: Sequence[Mapping[str, object]]) -> None:
        """Single changes ({number, kind, payload}), each with the number that follows the one before; the
        first follows the last state's or change's."""
        for batch in batches(changes):
            self._send("changes", changes=batch)

    def store(self, *, reachable: bool, since: datetime, detail: str = "") -> None:
        """Whether changes can be seen. To be told when that begins and ends, and at the start."""
        self._send("store", reachable=reachable, since=since.isoformat(), detail=detail)

    def _send(self, name: str, descriptors: Sequence[int] = (), **values: object) -> None:
        try:
            self._channel.send(name, descriptors, **values)
        except ControlClosed:
            return  # who receives finds out, too


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an org is made of."""

    material: Material
    keys: GatewayKeys
    voice: OrgVoice
    log: LogWriter


class Org(Protocol):
    """What runs in the process. It is made on the running loop."""

    @property
    def registry(self) -> CollectorRegistry: ...

    async def start(self, listening: socket.socket) -> None:
        """Take requests. Raises what a configuration can be refused for."""
        ...

    async def run(self) -> None:
        """What goes on by itself, until cancelled; ends otherwise only by a defect."""
        ...

    async def drain(self) -> None:
        """Take no request any more, and finish those that run."""
        ...

    def replace_configuration(self, material: Material) -> None: ...

    def applied(self, worker: int, number: int) -> None:
        """A worker of this gateway has enforced all changes up to this number, also on open connections."""
        ...

    def workers(self, live: frozenset[int]) -> None:
        """The workers of this gateway that enforce changes. One that is new among them has yet to say what
        it has applied."""
        ...


MakeOrg = Callable[[Surroundings], Org]


def run_org(
    descriptor: int,
    loader_for: LoaderFor,
    make: MakeOrg,
    run: Callable[[Coroutine[Any, Any, None]], object],
) -> None:
    """Until the supervisor or a signal ends it. ``run`` runs a coroutine on an event loop of its choice."""
    # Ctrl-C reaches all processes of a terminal. What becomes of it is for the supervisor to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run(_Process(loader_for, make).run(descriptor))


class _Process:
    def __init__(self, loader_for: LoaderFor, make: MakeOrg) -> None:
        self._loader_for = loader_for
        self._make = make
        self._load: LoadMaterial
        self._channel: ControlChannel
        self._org: Org
        self._log: LogWriter
        self._ends = asyncio.Event()
        # Later configurations must not be overtaken by earlier ones.
        self._configuring = asyncio.Lock()

    async def run(self, descriptor: int) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ends.set)
        self._channel = ControlChannel(socket.socket(fileno=descriptor))
        try:
            self._channel.send("hello", protocol=PROTOCOL)
            start = await self._channel.receive()
        except ControlClosed:
            return
        log_lock, files, listening = start.descriptors
        log = self._log = LogWriter(SharedOutput(log_lock).write)
        log.start()
        try:
            await self._begin(start, files, socket.socket(fileno=listening))
            async with asyncio.TaskGroup() as group:
                working = group.create_task(self._org.run(), name="org")
                receiving = group.create_task(self._receive(group), name="control channel")
                await self._ends.wait()
                await self._org.drain()
                working.cancel()
                await self._tell_metrics(Message("metrics"))
                receiving.cancel()
        except REFUSALS as refused:
            self._answer(start, "refused", detail=str(refused))
        finally:
            log.stop(_LOG_FLUSH_SECONDS)

    async def _begin(self, start: Message, files: int, listening: socket.socket) -> None:
        """Raises what a configuration can be refused for."""
        values = start.values
        self._load = self._loader_for(values["config_path"])

        def load() -> tuple[Material, GatewayKeys, HeldFiles]:
            held = unpack(files)
            with taken_from(held):
                return self._load(_read_at(values)), load_keys(values["keys_directory"]), held

        material, keys, held = await asyncio.to_thread(load)
        with taken_from(held):
            self._org = self._make(Surroundings(material, keys, OrgVoice(self._channel), self._log))
        await self._org.start(listening)
        self._answer(start, "ready")

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        """Do what comes, until the channel ends."""
        while True:
            try:
                message = await self._channel.receive()
            except ControlClosed:
                self._ends.set()
                return
            values = message.values
            match message.name:
                case "configuration":
                    group.create_task(self._configure(message), name="new configuration")
                case "applied":
                    self._org.applied(values["worker"], values["number"])
                case "workers":
                    self._org.workers(frozenset(values["live"]))
                case "ping":
                    self._answer(message, "pong")
                case "metrics":
                    group.create_task(self._tell_metrics(message), name="metrics")
                case "drain":
                    self._ends.set()

    async def _configure(self, message: Message) -> None:
        (files,) = message.descriptors

        def load() -> Material:
            with taken_from(unpack(files)):
                return self._load(_read_at(message.values))

        async with self._configuring:
            try:
                material = await asyncio.to_thread(load)
            except REFUSALS as refused:
                self._log.note("org_reload_refused", detail=str(refused))
            else:
                self._org.replace_configuration(material)

    async def _tell_metrics(self, message: Message) -> None:
        page = await asyncio.to_thread(generate_latest, self._org.registry)
        try:
            with memory_file("metrics") as file:
                file.write(page or b"\n")
                memory = sealed(file)
        except OSError as error:
            self._answer(message, "refused", detail=str(error))
            return
        self._answer(message, "metrics", (memory.descriptor,))

    def _answer(
        self, question: Message, name: str, descriptors: tuple[int, ...] = (), **values: object
    ) -> None:
        try:
            self._channel.send(name, descriptors, number=question.values.get("number"), **values)
        except ControlClosed:
            return  # who receives finds out, too


def _read_at(values: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(values["read_at"])
