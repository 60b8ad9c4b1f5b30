"""Connections to SQLite and PostgreSQL, such that what is acknowledged lasts and no call hangs."""

import os
import sqlite3
from collections.abc import Generator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
from psycopg.types.json import set_json_dumps
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool
from typing_extensions import override

from gateway.adapters.postgresql import SESSION_SETTINGS, connection_parameters
from gateway.adapters.store.address import StoreAddress
from gateway.adapters.store.columns import json_text

V = TypeVar("V")

POOL_CONNECTIONS: Final = 8  # kept open, of one process
EXTRA_CONNECTIONS: Final = 8  # beyond these, while they are needed
WRITING: Final = "devicetrust_writing"  # execution option: the transaction is going to write


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the store may keep us waiting, in seconds. ``answer_seconds``: for a server that is there and
    says nothing, such as one that was stopped; longer than ``statement_seconds``, which the server keeps."""

    connect_seconds: float = 5.0
    lock_seconds: float = 10.0
    statement_seconds: float | None = 15.0  # None: as long as it takes, for migrations
    answer_seconds: float | None = 20.0

    @property
    def for_long_statements(self) -> "Patience":
        return Patience(self.connect_seconds, self.lock_seconds, None, None)


def open_engine(address: StoreAddress, patience: Patience) -> Engine:
    """An engine; nothing is connected yet."""
    if address.sqlite_file is not None:
        return _sqlite_engine(str(address.sqlite_file), patience)
    assert address.conninfo is not None
    return _postgresql_engine(address.conninfo, patience)


def _sqlite_engine(file: str, patience: Patience) -> Engine:
    engine = create_engine(
        "sqlite://",
        # The file was made by whoever opened the store: one that is gone is not made anew, empty.
        creator=lambda: _sqlite_connection(file, patience),
        poolclass=QueuePool,
        pool_size=POOL_CONNECTIONS,
        max_overflow=EXTRA_CONNECTIONS,
        pool_timeout=patience.lock_seconds,
        json_serializer=json_text,
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        """A writer takes the lock at once: one that reads first might find that it must not write."""
        writing = connection.get_execution_options().get(WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _sqlite_connection(file: str, patience: Patience) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{file_uri(file)}?mode=rw",
        uri=True,
        timeout=patience.lock_seconds,
        isolation_level=None,  # transactions are begun by the listener above, not by the driver
        check_same_thread=False,  # the pool gives a connection to one thread at a time
        cached_statements=256,
    )
    # FULL: a commit is on the disk before it is acknowledged. The cache is in KiB, for each connection.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-8192"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def file_uri(file: str) -> str:
    """As SQLite takes it: only these three characters mean something else in a path."""
    return "file:" + file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _postgresql_engine(conninfo: str, patience: Patience) -> Engine:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgresql_connection(conninfo, patience),
        pool_size=POOL_CONNECTIONS,
        max_overflow=EXTRA_CONNECTIONS,
        pool_timeout=patience.lock_seconds,
        pool_pre_ping=True,  # a server that was started anew is found by the first call after it
        hide_parameters=True,
    )

    # The driver would send many rows as a pipeline, and a server that got one does not count how long it
    # then idles in the transaction: a gateway that is cut off would keep its locks. One statement it is.
    engine.dialect.use_insertmanyvalues_wo_returning = True

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(_session_settings(patience))
        cursor.close()
        connection.commit()

    return engine


def postgresql_connection(conninfo: str, patience: Patience) -> psycopg.Connection[Any]:
    """One connection of its own. Raises psycopg.Error."""
    parameters: dict[str, Any] = dict(connection_parameters(conninfo, patience.connect_seconds))
    connection = _BoundedConnection.connect(conninfo, **parameters)
    set_json_dumps(json_text, connection)
    connection.answer_seconds = patience.answer_seconds
    return connection


def _session_settings(patience: Patience) -> str:
    """One statement."""
    statement = round((patience.statement_seconds or 0) * 1000)
    # A gateway that is cut off in the middle of a transaction must not hold its locks for longer than others
    # wait for them. Migrations and copies are alone, and take their time.
    idle = 60_000 if patience.statement_seconds is None else round(patience.lock_seconds * 500)
    return (
        f"SELECT set_config('statement_timeout', '{statement}', false),"
        f" set_config('lock_timeout', '{round(patience.lock_seconds * 1000)}', false),"
        f" set_config('idle_in_transaction_session_timeout', '{idle}', false),"
        f" {SESSION_SETTINGS}"
    )


class _BoundedConnection(psycopg.Connection[Any]):
    """Gives a server up that does not answer: TCP alone would wait as long as its kernel is there."""

    answer_seconds: float | None = None

    @override
    def wait(self, gen: Generator[Any, Any, V], interval: float = 0.1, timeout: float | None = None) -> V:
        if timeout is not None:  # the driver's own, for its few words at the end of a connection
            return super().wait(gen, interval=interval, timeout=timeout)
        if self.answer_seconds is None:
            return super().wait(gen, interval=interval)
        return super().wait(self._until(gen, monotonic() + self.answer_seconds), interval=interval)

    def _until(self, generator: Generator[Any, Any, V], deadline: float) -> Generator[Any, Any, V]:
        try:
            wanted = next(generator)
            while True:
                ready = yield wanted
                if not ready and monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = generator.send(ready)
        except StopIteration as finished:
            value: V = finished.value
            return value


def create_private_file(path: str) -> bool:
    """Make an empty file that only its owner may read. False: there is one already. Raises OSError."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True
