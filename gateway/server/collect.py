"""Exchanges that need the whole request before they can answer: sign-on messages, challenges, refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.model.http import Headers
from gateway.server.exchange import Requester

# Bodies that one worker holds at the same time: some thousand sign-ons of 50 KB, or 256 senders of 1 MiB who
# never finish. What comes past it is answered 503.
MAX_HELD_BYTES: Final = 268_435_456


class HeldBodies:
    """How many bytes of unfinished bodies a worker holds, and how many it may."""

    __slots__ = ("_limit", "bytes_held")

    def __init__(self, limit: int = MAX_HELD_BYTES) -> None:
        self._limit = limit
        self.bytes_held = 0

    def take(self, size: int) -> bool:
        """False, and nothing taken, where there is no room."""
        if self.bytes_held + size > self._limit:
            return False
        self.bytes_held += size
        return True

    def give_back(self, size: int) -> None:
        self.bytes_held -= size


class Collect:
    """Takes a body of at most ``limit`` bytes, all before one deadline, then runs ``then(body)`` as a task
    that answers.

    ``too_large(begun)`` is called instead when more comes; it answers or takes over. The task ends with the
    connection. ``no_room()`` is called instead when ``held`` is full; it answers.
    """

    def __init__(
        self,
        connection: Requester,
        limit: int,
        then: Callable[[bytes], Awaitable[None]],
        too_large: Callable[[bytes], None],
        no_room: Callable[[], None],
        tasks: "set[asyncio.Task[None]]",
        held: HeldBodies,
    ) -> None:
        self._connection = connection
        self._no_room = no_room
        self._held = held
        self._held_bytes = 0
        self._limit = limit
        self._then = then
        self._too_large = too_large
        self._tasks = tasks
        self._pieces: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._over = False
        connection.take_over(self)
        connection.body_expected(in_one_time=True)

    def body(self, data: bytes) -> None:
        if self._over:
            return
        self._size += len(data)
        if self._size > self._limit:
            self._over = True
            begun = b"".join((*self._pieces, data))
            self._let_go()
            self._too_large(begun)
        else:
            self._hold(data)

    def body_end(self, trailers: Headers = ()) -> None:
        if self._over:
            return
        self._over = True
        body = b"".join(self._pieces)
        self._pieces.clear()

        async def run() -> None:
            await self._then(body)

        self._task = asyncio.get_running_loop().create_task(run(), name="collected request")
        self._tasks.add(self._task)
        self._task.add_done_callback(self._ended)

    def cancelled(self) -> None:
        self._over = True
        if self._task is None:
            self._let_go()
        else:
            self._task.cancel()

    def _hold(self, data: bytes) -> None:
        if not self._held.take(len(data)):
            self._over = True
            self._let_go()
            self._no_room()
            return
        self._held_bytes += len(data)
        self._pieces.append(data)

    def _let_go(self) -> None:
        self._pieces.clear()
        self._held.give_back(self._held_bytes)
        self._held_bytes = 0

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._let_go()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connection.failed(error)

    def pause_writing(self) -> None:
        """What is written here is one page; it may wait in the transport."""

    def resume_writing(self) -> None:
        """See pause_writing."""


class Discard:
    """Reads a body of at most ``limit`` bytes and drops it, all before one deadline; then calls ``then()``,
    or ``too_large()`` where more comes. Both answer at once."""

    __slots__ = ("_left", "_over", "_then", "_too_large")

    def __init__(
        self,
        connection: Requester,
        limit: int,
        then: Callable[[], None],
        too_large: Callable[[], None],
    ) -> None:
        self._left = limit
        self._then = then
        self._too_large = too_large
        self._over = False
        connection.take_over(self)
        connection.body_expected(in_one_time=True)

    def body(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self._over:
            self._over = True
            self._too_large()

    def body_end(self, trailers: Headers = ()) -> None:
        if not self._over:
            self._over = True
            self._then()

    def cancelled(self) -> None:
        self._over = True

    def pause_writing(self) -> None:
        """What is written here is one page; it may wait in the transport."""

    def resume_writing(self) -> None:
        """See pause_writing."""
