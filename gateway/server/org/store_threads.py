"""The store for the event loop: its calls run in the store's threads, and few wait for one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from gateway.adapters.store import Store, View, Work
from gateway.adapters.store.store import THREADS
from gateway.model.store_errors import StoreUnavailable
from gateway.server.org.call import StoreDoor

# A call takes about a millisecond. Whoever comes when so many wait is told to come again.
MAX_WAITING: Final = 512

# Calls for strangers at a time: whatever they ask for, and even where the HSM that is to sign for them hangs,
# half of the store's threads are for administrators, and for what gateways have to be told.
STRANGERS_AT_ONCE: Final = THREADS // 2

_T = TypeVar("_T")


class StoreThreads:
    """A `StoreDoor`. ``store`` stays the caller's."""

    def __init__(self, store: Store, max_waiting: int = MAX_WAITING) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._waiting = 0

    async def change(self, use_case: Callable[[Work], _T]) -> _T:
        value, _ = await self.change_numbered(use_case)
        return value

    async def change_numbered(self, use_case: Callable[[Work], _T]) -> tuple[_T, int]:
        def call() -> tuple[_T, int]:
            with self._store.begin() as work:
                value = use_case(work)
            if work.committed is not None:
                return value, work.committed.change_number
            with self._store.read() as view:
                return value, view.feed.head()

        return await self._in_thread(call)

    async def read(self, query: Callable[[View], _T]) -> _T:
        def call() -> _T:
            with self._store.read() as view:
                return query(view)

        return await self._in_thread(call)

    async def run(self, function: Callable[[Store], _T]) -> _T:
        return await self._in_thread(lambda: function(self._store))

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        """Raises StoreUnavailable where too many wait already. Who is cancelled waits no longer; the function
        goes on to its end."""
        if self._waiting >= self._max_waiting:
            raise StoreUnavailable("too many calls wait for the store")
        self._waiting += 1
        running = asyncio.create_task(self._store.run(function), name="call of the store")
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Task[Any]") -> None:
        self._waiting -= 1
        if not running.cancelled():
            running.exception()  # told to whoever waits, if anybody still does


class FewAtOnce:
    """A `StoreDoor` with so many calls at a time; others wait for their turn, as long as their callers do."""

    def __init__(self, door: StoreDoor, limit: int = STRANGERS_AT_ONCE) -> None:
        self._door = door
        self._turns = asyncio.Semaphore(limit)

    async def change(self, use_case: Callable[[Work], _T]) -> _T:
        return await self._in_turn(lambda: self._door.change(use_case))

    async def change_numbered(self, use_case: Callable[[Work], _T]) -> tuple[_T, int]:
        return await self._in_turn(lambda: self._door.change_numbered(use_case))

    async def read(self, query: Callable[[View], _T]) -> _T:
        return await self._in_turn(lambda: self._door.read(query))

    async def run(self, function: Callable[[Store], _T]) -> _T:
        return await self._in_turn(lambda: self._door.run(function))

    async def _in_turn(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Who is cancelled leaves; the turn ends when the thread is free."""
        await self._turns.acquire()
        running = asyncio.create_task(call(), name="call of a stranger")
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: "asyncio.Task[Any]") -> None:
        self._turns.release()
        if not running.cancelled():
            running.exception()  # told to whoever waits, if anybody still does
