"""The store: transactions over SQLite or PostgreSQL.

Synchronous: CLI commands call it as it is, and the org process in threads (`Store.run`). Everything raises
the exceptions of `gateway.model.store_errors` and no others of the engines.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, ParamSpec, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.store.address import StoreAddress, store_address
from gateway.adapters.store.engine import WRITING, Patience, create_private_file, open_engine
from gateway.adapters.store.refusals import first_line, refusal
from gateway.adapters.store.repositories import View
from gateway.adapters.store.statements import Statements
from gateway.adapters.store.versions import check_version, is_empty, migrate_connection
from gateway.adapters.store.work import Committed, Work
from gateway.model.store_errors import StoreUnavailable

T = TypeVar("T")
P = ParamSpec("P")

THREADS: Final = 8


def _now() -> datetime:
    return datetime.now(UTC)


class Store:
    """Opened by `Store.open`; may be used by many threads."""

    def __init__(self, address: StoreAddress, engine: Engine, clock: Callable[[], datetime]) -> None:
        self.address = address
        self.engine = engine
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._listeners: tuple[Callable[[Committed], None], ...] = ()
        # SQLite has one writer at a time and wakes those who wait by polling: threads queue here instead.
        self._writers = Lock()
        self._patience_seconds = Patience().lock_seconds

    @classmethod
    def open(
        cls, url: str, *, patience: Patience | None = None, clock: Callable[[], datetime] = _now
    ) -> "Store":
        """Open the store at ``sqlite:///path`` or ``postgresql://…``. A SQLite file that is not there is
        made, with all tables. Raises StoreUnavailable (with StoreDamaged), StoreTooOld and StoreTooNew."""
        address = store_address(url)
        if address.sqlite_file is not None:
            _make_file(address.sqlite_file, address.shown)
        store = cls.reach(address, patience=patience, clock=clock)
        try:
            with store.connected() as connection:
                new = address.sqlite_file is not None and is_empty(connection)
                if not new:
                    check_version(connection, address.shown)
            if new:
                store.migrate()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def reach(
        cls,
        address: StoreAddress,
        *,
        patience: Patience | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> "Store":
        """The store as it is, of whatever version: for migrations. Nothing is connected yet."""
        patience = patience or Patience()
        store = cls(address, open_engine(address, patience), clock)
        store._patience_seconds = patience.lock_seconds
        return store

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.address.shown

    @contextmanager
    def begin(self) -> Iterator[Work]:
        """One writing transaction. It is committed at the end of the block, and rolled back when the block
        raises. Where StoreUnavailable is raised by the commit itself, whether it took effect is unknown."""
        with self._turn(), self.connected(writing=True) as connection:
            work = Work(Statements(connection, self.shown), self._clock)
            yield work
            committed = work.seal()
            connection.commit()
            work.committed = committed
        if committed is not None:
            for listener in self._listeners:
                listener(committed)

    @contextmanager
    def read(self) -> Iterator[View]:
        """A consistent snapshot: everything as of the first statement."""
        with self.connected() as connection:
            yield View(Statements(connection, self.shown))

    @contextmanager
    def connected(self, *, writing: bool = False) -> Iterator[Connection]:
        """One connection in one transaction, rolled back at the end unless it was committed."""
        with self._explained(), self.engine.connect() as plain:
            if self.engine.dialect.name == "postgresql":
                connection = plain.execution_options(
                    isolation_level="READ COMMITTED" if writing else "REPEATABLE READ",
                    postgresql_readonly=not writing,
                )
            else:
                connection = plain.execution_options(**{WRITING: writing})
            yield connection

    async def run(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> T:
        """Call the function in one of the store's threads. It goes on there when the caller is cancelled."""
        call = partial(function, *arguments, **keywords)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def on_commit(self, callback: Callable[[Committed], None]) -> Callable[[], None]:
        """Called after each commit of this store that recorded something, in the thread that committed, until
        what is given back is called."""
        self._listeners = (*self._listeners, callback)

        def forget() -> None:
            self._listeners = tuple(listener for listener in self._listeners if listener is not callback)

        return forget

    def migrate(self) -> None:
        """Bring the tables to the newest version, in one transaction. Raises StoreTooNew."""
        with self.connected(writing=True) as connection:
            migrate_connection(connection, self.shown)
            connection.commit()

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self.address.sqlite_file is None:
            yield
            return
        if not self._writers.acquire(timeout=self._patience_seconds):
            raise StoreUnavailable(f"{self.shown}: is busy with other writers")
        try:
            yield
        finally:
            self._writers.release()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise refusal(error, self.shown) from error
        except psycopg.Error as error:
            raise StoreUnavailable(f"{self.shown}: {first_line(error)}") from error
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.shown}: {first_line(error)}") from error


def _make_file(file: Path, shown_url: str) -> None:
    """See that the file is there. Raises StoreUnavailable."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        create_private_file(str(file))
    except OSError as error:
        raise StoreUnavailable(f"{shown_url}: {error.strerror}") from error
