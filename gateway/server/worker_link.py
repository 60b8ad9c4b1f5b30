"""One running worker, or the org process, as the supervisor sees it: a process and the channel to it."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

from gateway.adapters.sealed_memory import NotSealed, SealedMemory
from gateway.server.control import PROTOCOL, ControlChannel, ControlClosed, Message
from gateway.server.scrape import Families, parse

# A page of 10,000 apps with some status codes each has some 30 MB.
_MAX_PAGE_BYTES: Final = 256 * 1024 * 1024
_HELLO_SECONDS: Final = 60.0


class WorkerRefused(Exception):
    """A worker cannot do what it was asked for; the text says why. It goes on with what it has."""


class WorkerLost(Exception):
    """A worker has gone, or does not answer in time, or speaks another language."""


Hear = Callable[[Message], None]


class WorkerLink:
    """Made by `spawn`. ``counted`` are the metrics that it told last."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: ControlChannel, hears: Mapping[str, Hear]
    ) -> None:
        self._process = process
        self._channel = channel
        self._hears = hears
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self.counted: Families = {}
        self.takes_indexes = False
        self.features: Mapping[str, Any] = {}
        self._receiving: asyncio.Task[None]

    @classmethod
    async def spawn(cls, command: Sequence[str], hears: Mapping[str, Hear] | None = None) -> Self:
        """Start one and wait until it speaks. ``hears`` takes what it says unasked, by the message's name,
        and owns the descriptors that come with it. Raises WorkerLost, and OSError where no process is to be
        had."""
        own, other = socket.socketpair()
        with other:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(other.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(other.fileno(),),
            )
        link = cls(process, ControlChannel(own), hears or {})
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = await link._channel.receive()
            if (hello.name, hello.values.get("protocol")) != ("hello", PROTOCOL):
                raise WorkerLost("the worker is of another version")
        except (ControlClosed, TimeoutError):
            status = await link.end_now()
            raise WorkerLost(f"the worker did not begin (exit status {status})") from None
        except BaseException:
            await link.end_now()
            raise
        link._receiving = asyncio.create_task(link._receive(), name=f"worker {process.pid}")
        return link

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def messages_waiting(self) -> int:
        """Those that it has not read yet; `MAX_WAITING` of them end the channel."""
        return self._channel.frames_waiting

    def tell(self, name: str, descriptors: Sequence[int] = (), **values: object) -> None:
        """Something that has no answer. Nothing happens where the worker is gone: `ended` tells of that."""
        with contextlib.suppress(ControlClosed):
            self._channel.send(name, descriptors, **values)

    async def ask(
        self, name: str, descriptors: Sequence[int] = (), *, seconds: float, **values: object
    ) -> Message:
        """The answer. Raises WorkerRefused and WorkerLost."""
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._channel.send(name, descriptors, number=number, **values)
            async with asyncio.timeout(seconds):
                message = await answer
        except ControlClosed as gone:
            raise WorkerLost("the worker has ended") from gone
        except TimeoutError as late:
            raise WorkerLost(f"the worker does not answer {name} within {seconds:g} s") from late
        finally:
            del self._waiting[number]
        if message.name == "refused":
            raise WorkerRefused(message.values["detail"])
        return message

    async def hangs(self, seconds: float) -> bool:
        """True where its event loop does not turn: it runs, and answers not even that, twice. One missed
        answer may be a machine that stood still."""
        for _ in range(2):
            try:
                await self.ask("ping", seconds=seconds)
            except WorkerLost:
                if self._process.returncode is not None:
                    return False
            else:
                return False
        return True

    async def count(self, seconds: float) -> None:
        """Have it tell its metrics. Raises WorkerLost, and WorkerRefused where it has no memory or descriptor
        for them."""
        self._take_page(await self.ask("metrics", seconds=seconds))

    async def ended(self) -> int:
        """Its exit status (negative for a signal), when it has one, and all that it told was received."""
        status = await self._process.wait()
        await asyncio.wait((self._receiving,))  # which goes on when whoever waits here is cancelled
        return status

    def kill(self) -> None:
        if self._process.returncode is None:
            # Its own method would ask for the exit status first, and take it from who waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def end_now(self) -> int:
        self.kill()
        status = await self._process.wait()
        self._channel.close()
        return status

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._channel.receive()
            except ControlClosed:
                break
            hear = self._hears.get(message.name)
            if hear is not None:
                hear(message)
                continue
            waiting = self._waiting.get(message.values.get("number") or 0)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
            elif message.name == "metrics":  # the last ones, unasked
                self._take_page(message)
            else:
                message.close_descriptors()
        self._channel.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ControlClosed())

    def _take_page(self, message: Message) -> None:
        for descriptor in message.descriptors:
            try:
                memory = SealedMemory.mapped(descriptor, _MAX_PAGE_BYTES)
            except (NotSealed, OSError):
                os.close(descriptor)
            else:
                self.counted = parse(memory[:])
