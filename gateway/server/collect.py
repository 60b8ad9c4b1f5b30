"""Exchanges that need the whole request before they can answer: sign-on messages, challenges, refusals."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.server.http_connection import HttpConnection


class Collect:
    """Takes a body of at most ``limit`` bytes, all before one deadline, then runs ``then(body)`` as a task
    that answers.

    ``too_large(begun)`` is called instead when more comes; it answers or takes over. The task ends with the
    connection. With ``keep`` False the body is read and dropped: ``then`` and ``too_large`` get none of it.
    """

    def __init__(
        self,
        connection: HttpConnection,
        limit: int,
        then: Callable[[bytes], Awaitable[None]],
        too_large: Callable[[bytes], None],
        tasks: "set[asyncio.Task[None]]",
        *,
        keep: bool = True,
    ) -> None:
        self._connection = connection
        self._keep = keep
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
            begun = b"".join((*self._pieces, data)) if self._keep else b""
            self._pieces.clear()
            self._too_large(begun)
            return
        if self._keep:
            self._pieces.append(data)

    def body_end(self) -> None:
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
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connection.failed(error)

    def pause_writing(self) -> None:
        """What is written here is one page; it may wait in the transport."""

    def resume_writing(self) -> None:
        """See pause_writing."""
