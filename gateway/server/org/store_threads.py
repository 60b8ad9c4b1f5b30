"""The store for the event loop: its calls wait in a few threads, and few calls wait for a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar

from gateway.model.store_errors import StoreUnavailable

# SQLite has one writer, and Python runs one thread at once: more would wait elsewhere.
THREADS: Final = 4
# A call takes about a millisecond. Whoever comes when so many wait is told to come again.
MAX_WAITING: Final = 512

_T = TypeVar("_T")


class Store(Protocol):
    def begin(self) -> AbstractContextManager[Any]: ...

    def read(self) -> AbstractContextManager[Any]: ...


class StoreThreads:
    """A `StoreDoor`. ``store`` stays the caller's."""

    def __init__(self, store: Store, threads: int = THREADS, max_waiting: int = MAX_WAITING) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(threads, "store")
        self._max_waiting = max_waiting
        self._waiting = 0

    async def change(self, use_case: Callable[[Any], _T]) -> _T:
        def call() -> _T:
            with self._store.begin() as work:
                return use_case(work)

        return await self.run(call)

    async def read(self, query: Callable[[Any], _T]) -> _T:
        def call() -> _T:
            with self._store.read() as view:
                return query(view)

        return await self.run(call)

    async def run(self, function: Callable[[], _T]) -> _T:
        """Run a function of the store's in a thread. Raises StoreUnavailable where too many wait already.

        Who is cancelled waits no longer; the function goes on to its end.
        """
        if self._waiting >= self._max_waiting:
            raise StoreUnavailable("too many calls wait for the store")
        self._waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, function)
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """When every call has ended."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    def _done(self, running: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not running.cancelled():
            running.exception()  # told to whoever waits, if anybody still does
