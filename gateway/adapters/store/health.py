"""What a store says of itself, for people and for monitoring."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import func, select, text

from gateway.adapters.store.copying import tables
from gateway.adapters.store.engine import file_uri
from gateway.adapters.store.refusals import first_line
from gateway.adapters.store.statements import Statements
from gateway.adapters.store.store import Store
from gateway.adapters.store.versions import version_of
from gateway.model.store_errors import StoreDamaged


@dataclass(frozen=True, slots=True)
class StoreStatus:
    url: str  # without its password
    engine: str  # SQLite 3.40.1 | PostgreSQL 15.18
    version: str
    size_bytes: int
    rows: Mapping[str, int]  # by table
    change_number: int
    log_number: int


def status(store: Store) -> StoreStatus:
    """Looks at every page of a SQLite file. Raises StoreDamaged where one is not in order."""
    if store.address.sqlite_file is not None:
        check_pages(store)
    with store.read() as view, store.connected() as connection:
        statements = Statements(connection, store.shown)
        if statements.postgresql:
            engine = f"PostgreSQL {statements.scalar(text('SHOW server_version'))}"
            size = statements.scalar(text("SELECT pg_database_size(current_database())"))
        else:
            engine = f"SQLite {sqlite3.sqlite_version}"
            size = statements.scalar(text("PRAGMA page_count")) * statements.scalar(text("PRAGMA page_size"))
        return StoreStatus(
            url=store.shown,
            engine=engine,
            version=version_of(connection) or "",
            size_bytes=int(size),
            rows={
                table.name: statements.scalar(select(func.count()).select_from(table)) for table in tables()
            },
            change_number=view.feed.head(),
            log_number=view.log.head()[0],
        )


def check_pages(store: Store) -> None:
    """SQLite's own check of a file. Raises StoreDamaged."""
    file = f"{file_uri(str(store.address.sqlite_file))}?mode=ro"
    try:
        with closing(sqlite3.connect(file, uri=True)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        answer = first_line(error)
    if answer != "ok":
        raise StoreDamaged(f"{store.shown}: is damaged: {answer}")
