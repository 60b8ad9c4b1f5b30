"""One gateway takes the place of another on the same machine, without a connection refused: for a new version
of the program, or another number of workers.

The running one listens on a Unix socket in its keys directory (`Offer`). The new one asks there (`ask`), is
given the listening sockets, the tables that workers share, and the secret of session tickets, and starts its
workers. For a moment both serve. When the new one is ready it says so (`Inheritance.complete`), and the old
one drains and exits. If the new one ends before that, the old one goes on as if nothing had been.

Only the same user, or root, is answered.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.adapters.shared_table import SharedTable
from gateway.server.control import MAX_DESCRIPTORS, ControlChannel, ControlClosed, Message
from gateway.server.log import LogWriter
from gateway.server.short_path import short_path

SOCKET_NAME: Final = "take-over"
_ASK_SECONDS: Final = 10.0
# The new one reads its configuration and CRLs, and starts its workers.
_READY_SECONDS: Final = 600.0
_CREDENTIALS: Final = struct.Struct("3i")


class TakeOverFailed(Exception):
    """A gateway runs with these keys, and this one cannot, or was not told to, take its place."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What is handed over. ``https`` are the sockets of each address. ``given``: they came from systemd, and
    are not those of ``listen.https``."""

    https: Sequence[Sequence[socket.socket]]
    metrics: socket.socket | None
    log_lock: int
    one_use_keys: SharedTable
    seen_requests: SharedTable
    challenges: SharedTable
    ticket_secret: bytes
    given: bool = False


@dataclass(slots=True)
class Inheritance:
    estate: Estate
    _channel: ControlChannel
    _directory: str
    process_id: int

    def complete(self) -> None:
        """The old one may go. Raises TakeOverFailed where it has waited too long and goes on: two gateways
        would then serve for good, and each with a configuration of its own."""
        try:
            self._channel.send("complete")
        except ControlClosed:  # it ended meanwhile, or it offers anew
            connected = _connect(self._directory)
            if connected is not None:
                connected.close()
                raise TakeOverFailed(
                    f"the gateway that runs (process {self.process_id}) does not wait any longer; start again"
                ) from None


class Offer:
    """``estate`` is asked when somebody asks; ``completed`` is called when another has taken over."""

    def __init__(
        self,
        keys_directory: str,
        estate: Callable[[], Estate],
        completed: Callable[[], None],
        log: LogWriter,
    ) -> None:
        self._directory = keys_directory
        self._estate = estate
        self._completed = completed
        self._log = log
        self._socket: socket.socket | None = None
        self._inode = 0
        self.has_handed_over = False

    async def run(self) -> None:
        """Until cancelled, or until another has taken over. Where no socket can be made, in a directory that
        is mounted read-only, the log says so and nobody can take over."""
        try:
            listening = self._socket = self._listen()
        except OSError as error:
            self._log.note("take_over_not_offered", directory=self._directory, detail=error.strerror)
            await asyncio.Event().wait()
            return
        loop = asyncio.get_running_loop()
        try:
            while True:
                connected, _ = await loop.sock_accept(listening)
                if _peer(connected)[1] not in (os.geteuid(), 0):
                    connected.close()
                elif await self._hand_over(ControlChannel(connected)):
                    self.has_handed_over = True
                    self._completed()
                    return
        finally:
            self._close()

    async def _hand_over(self, channel: ControlChannel) -> bool:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                question = await channel.receive()
            if question.name != "take over":
                return False
            estate = self._estate()
            metrics = [] if estate.metrics is None else [estate.metrics]
            channel.send(
                "estate",
                (
                    estate.log_lock,
                    *(t.descriptor for t in (estate.one_use_keys, estate.seen_requests, estate.challenges)),
                ),
                groups=[len(group) for group in (metrics, *estate.https)],
                ticket_secret=estate.ticket_secret.hex(),
                given=estate.given,
            )
            sockets = [one.fileno() for group in (metrics, *estate.https) for one in group]
            for first in range(0, len(sockets), MAX_DESCRIPTORS):
                channel.send("sockets", sockets[first : first + MAX_DESCRIPTORS])
            async with asyncio.timeout(_READY_SECONDS):
                answer = await channel.receive()
        except (ControlClosed, TimeoutError):
            return False
        finally:
            channel.close()
        return answer.name == "complete"

    def _listen(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX)
        with short_path(self._directory) as place:
            unfinished = Path(place, f".{SOCKET_NAME}.{secrets.token_hex(8)}")
            listening.bind(str(unfinished))
            unfinished.chmod(0o600)
            listening.listen(1)
            listening.setblocking(False)
            self._inode = unfinished.stat().st_ino
            unfinished.rename(Path(place, SOCKET_NAME))
        return listening

    def _close(self) -> None:
        """The name goes with it, unless the one that took over has put its own there."""
        if self._socket is not None:
            self._socket.close()
        path = Path(self._directory, SOCKET_NAME)
        with contextlib.suppress(OSError):
            if path.stat().st_ino == self._inode:
                path.unlink()


async def ask(keys_directory: str, *, take_over: bool) -> Inheritance | None:
    """What the running gateway hands over; None if none runs. Raises TakeOverFailed, also where one runs and
    ``take_over`` is False."""
    connected = await asyncio.to_thread(_connect, keys_directory)
    if connected is None:
        return None
    process_id, user_id = _peer(connected)
    if not take_over or user_id not in (os.geteuid(), 0):
        connected.close()
        raise TakeOverFailed(
            f"{keys_directory}: a gateway runs with these keys (process {process_id}); "
            "start with --take-over to take its place, or give this one keys of its own"
        )
    channel = ControlChannel(connected)
    try:
        channel.send("take over")
        async with asyncio.timeout(_ASK_SECONDS):
            answer = await channel.receive()
            sockets: list[int] = []
            while len(sockets) < sum(answer.values["groups"]):
                sockets += (await channel.receive()).descriptors
    except (ControlClosed, TimeoutError):
        channel.close()
        raise TakeOverFailed(f"the gateway that runs (process {process_id}) hands nothing over") from None
    return Inheritance(_estate(answer, sockets), channel, keys_directory, process_id)


def _estate(message: Message, sockets: Sequence[int]) -> Estate:
    log_lock, one_use_keys, seen_requests, challenges = message.descriptors
    opened = iter([socket.socket(fileno=descriptor) for descriptor in sockets])
    metrics, *https = ([next(opened) for _ in range(size)] for size in message.values["groups"])
    return Estate(
        https=https,
        metrics=metrics[0] if metrics else None,
        log_lock=log_lock,
        one_use_keys=SharedTable.open(one_use_keys),
        seen_requests=SharedTable.open(seen_requests),
        challenges=SharedTable.open(challenges),
        ticket_secret=bytes.fromhex(message.values["ticket_secret"]),
        given=message.values["given"],
    )


def _connect(keys_directory: str) -> socket.socket | None:
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(_ASK_SECONDS)
        with short_path(keys_directory) as place:
            connected.connect(f"{place}/{SOCKET_NAME}")
    except (FileNotFoundError, ConnectionRefusedError):  # none, or one that was killed left its name
        connected.close()
        return None
    except OSError as error:
        connected.close()
        raise TakeOverFailed(f"{keys_directory}/{SOCKET_NAME}: {error.strerror or error}") from error
    return connected


def _peer(connected: socket.socket) -> tuple[int, int]:
    """(process, user) at the other end, as the kernel says."""
    process_id, user_id, _ = _CREDENTIALS.unpack(
        connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return process_id, user_id
