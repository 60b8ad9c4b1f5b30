"""The store of the org process: opened when it can be, however long that takes. Until then every call is told
that it is not available."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from gateway.adapters.store import Store, View, Work
from gateway.model.store_errors import StoreError, StoreUnavailable
from gateway.server.org.store_threads import StoreThreads

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 3.0

_T = TypeVar("_T")


class OpeningStore:
    """A `StoreDoor`. ``problem`` is told why the store cannot be opened, each time it is tried in vain."""

    def __init__(self, url: str, problem: Callable[[str], None]) -> None:
        self._url = url
        self._tell = problem
        self._problem = "the store is being opened"
        self._door: StoreThreads | None = None

    async def open(self) -> Store:
        """The store, when it is there; tried again and again. To be called once."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                store = await asyncio.to_thread(Store.open, self._url)
            except StoreError as problem:
                self._problem = str(problem)
                self._tell(self._problem)
            else:
                self._door = StoreThreads(store)
                return store
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def change(self, use_case: Callable[[Work], _T]) -> _T:
        return await self._opened().change(use_case)

    async def change_numbered(self, use_case: Callable[[Work], _T]) -> tuple[_T, int]:
        return await self._opened().change_numbered(use_case)

    async def read(self, query: Callable[[View], _T]) -> _T:
        return await self._opened().read(query)

    async def run(self, function: Callable[[Store], _T]) -> _T:
        return await self._opened().run(function)

    def _opened(self) -> StoreThreads:
        if self._door is None:
            raise StoreUnavailable(self._problem)
        return self._door
