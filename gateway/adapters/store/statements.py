"""Statements of one transaction; what fails is said in the words of `gateway.model.store_errors`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Executable, Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import Delete, Insert, Update

from gateway.adapters.store.refusals import refusal

STREAM_ROWS: Final = 2_000  # rows that a stream holds in memory
BATCH_ROWS: Final = 2_000  # rows of one insert of many

Values = Mapping[str, Any]


class Statements:
    """Not for several threads at once, like the connection below it."""

    def __init__(self, connection: Connection, shown_url: str) -> None:
        self.connection = connection
        self.postgresql = connection.dialect.name == "postgresql"
        self._shown_url = shown_url

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raises StoreError for what the engine raises within."""
        try:
            yield
        except SQLAlchemyError as error:
            raise refusal(error, self._shown_url) from error

    def first(self, statement: Executable) -> Sequence[Any] | None:
        with self.explained():
            return self.connection.execute(statement).first()

    def all(self, statement: Executable) -> Sequence[Sequence[Any]]:
        with self.explained():
            return self.connection.execute(statement).all()

    def scalar(self, statement: Executable) -> Any:
        with self.explained():
            return self.connection.execute(statement).scalar()

    def stream(self, statement: Executable) -> Iterator[Sequence[Any]]:
        """Rows as they are asked for, `STREAM_ROWS` at a time; only within the transaction."""
        with self.explained():
            result = self.connection.execute(statement, execution_options={"yield_per": STREAM_ROWS})
        try:
            while True:
                with self.explained():
                    rows = result.fetchmany(STREAM_ROWS)
                if not rows:
                    return
                yield from rows
        finally:
            result.close()

    def change(self, statement: Insert | Update | Delete) -> int:
        """How many rows were written."""
        with self.explained():
            return self.connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount

    def insert(self, table: Table, values: Values) -> None:
        """One row. Values that come beside the statement need no new statement for each row."""
        with self.explained():
            self.connection.execute(insert(table), values)

    def change_many(self, statement: Insert | Update | Delete, rows: Iterable[Values]) -> None:
        """One statement for many rows, `BATCH_ROWS` at a time."""
        rest = iter(rows)
        while batch := list(islice(rest, BATCH_ROWS)):
            with self.explained():
                self.connection.execute(statement, batch)

    def insert_unless_there(self, table: Table, values: Values) -> bool:
        """Whether the row was new; one with the same primary key stays as it is."""
        if self.postgresql:
            return self.change(postgresql.insert(table).values(values).on_conflict_do_nothing()) == 1
        return self.change(sqlite.insert(table).values(values).on_conflict_do_nothing()) == 1

    def put(self, table: Table, values: Values) -> None:
        """Insert the row, or overwrite the one with the same primary key."""
        key = [column.key for column in table.primary_key]
        rest = {name: value for name, value in values.items() if name not in key}
        columns = list(table.primary_key)
        if self.postgresql:
            self.change(
                postgresql.insert(table)
                .values(values)
                .on_conflict_do_update(index_elements=columns, set_=rest)
            )
        else:
            self.change(
                sqlite.insert(table).values(values).on_conflict_do_update(index_elements=columns, set_=rest)
            )
