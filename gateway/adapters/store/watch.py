"""Waking up when other processes have committed: by polling SQLite, by LISTEN on PostgreSQL.

A wake-up is a hint, never the news itself: whoever is woken reads the feed from the last number that it
knows. So a hint that was lost with a connection costs time and no change, and the watch gives one of its own
whenever it is connected anew.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event as ThreadEvent
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from gateway.adapters.postgresql import SESSION_SETTINGS, connection_parameters
from gateway.adapters.store.engine import Patience, file_uri
from gateway.adapters.store.refusals import first_line
from gateway.adapters.store.store import Store
from gateway.adapters.store.work import APPLIED_CHANNEL, CHANGES_CHANNEL
from gateway.model.store_errors import StoreUnavailable

POLL_SECONDS: Final = 0.02
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 3.0
# A connection over which nothing came for so long is asked whether it still is one.
_SILENCE_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 5.0


class FeedWatch:
    """``async with FeedWatch(store) as watch``. For one task that waits."""

    def __init__(self, store: Store, on_applied: Callable[[str], None] | None = None) -> None:
        """``on_applied`` is called on the loop with what `Work.announce_applied` said, on any gateway."""
        self._store = store
        self._on_applied = on_applied
        self._woken = asyncio.Event()
        self._problem: StoreUnavailable | None = None
        self._stop_thread = ThreadEvent()
        self._thread: Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._forget = self._store.on_commit(lambda _: self._from_thread(self._wake))
        address = self._store.address
        if address.sqlite_file is not None:
            self._thread = Thread(
                target=self._poll, args=(address.sqlite_file,), name="store watch", daemon=True
            )
            self._thread.start()
        elif address.conninfo is not None:
            self._task = asyncio.create_task(self._listen(address.conninfo), name="store watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._forget is not None:
            self._forget()
        self._stop_thread.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def wait(self, seconds: float) -> bool:
        """Return when something may have been committed since the last call (True), or after this time.
        Raises StoreUnavailable, at once, while the watch cannot tell."""
        woken = True
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            woken = False
        self._woken.clear()
        if self._problem is not None:
            self._woken.set()
            raise self._problem
        return woken

    def _wake(self) -> None:
        self._woken.set()

    def _well(self) -> None:
        self._problem = None
        self._wake()

    def _ill(self, problem: StoreUnavailable) -> None:
        self._problem = problem
        self._wake()

    def _from_thread(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop was closed meanwhile
            self._loop.call_soon_threadsafe(function, *arguments)

    def _poll(self, file: Path) -> None:
        """In a thread of its own: SQLite may wait for the disk."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop_thread.is_set():
            try:
                connection = sqlite3.connect(f"{file_uri(str(file))}?mode=ro", uri=True, isolation_level=None)
                try:
                    version = _data_version(connection)
                    self._from_thread(self._well)
                    pause = _FIRST_PAUSE_SECONDS
                    while not self._stop_thread.wait(POLL_SECONDS):
                        if version != (version := _data_version(connection)):
                            self._from_thread(self._wake)
                finally:
                    connection.close()
            except sqlite3.Error as error:
                self._from_thread(self._ill, self._said(error))
                self._stop_thread.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _listen(self, conninfo: str) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with asyncio.timeout(2 * Patience().connect_seconds):
                    connection = await _connect(conninfo)
                try:
                    self._well()
                    pause = _FIRST_PAUSE_SECONDS
                    while True:
                        await self._hear(connection)
                finally:
                    connection.pgconn.finish()
            except (psycopg.Error, TimeoutError) as error:
                self._ill(self._said(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _hear(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Pass on what comes, until there is silence; then see whether the server is still there."""
        async for notice in connection.notifies(timeout=_SILENCE_SECONDS):
            if notice.channel == CHANGES_CHANNEL:
                self._wake()
            elif self._on_applied is not None:
                self._on_applied(notice.payload)
        async with asyncio.timeout(_ANSWER_SECONDS):
            await connection.execute("SELECT 1")

    def _said(self, error: BaseException) -> StoreUnavailable:
        return StoreUnavailable(f"{self._store.shown}: {first_line(error) or 'does not answer'}")


def _data_version(connection: sqlite3.Connection) -> int:
    """Another number than before when any other connection has committed."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


async def _connect(conninfo: str) -> psycopg.AsyncConnection[Any]:
    parameters: dict[str, Any] = dict(connection_parameters(conninfo, Patience().connect_seconds))
    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, **parameters)
    try:
        await connection.execute(f"SELECT {SESSION_SETTINGS}".encode())
        for channel in (CHANGES_CHANNEL, APPLIED_CHANNEL):
            await connection.execute(f"LISTEN {channel}".encode())
    except BaseException:
        connection.pgconn.finish()
        raise
    return connection
