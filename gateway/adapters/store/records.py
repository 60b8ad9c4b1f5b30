"""How the rows of a table and the frozen values of `gateway.model` become each other."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Select, Table, select

T = TypeVar("T")


class Record(Generic[T]):
    """A table whose columns have the names of a dataclass's fields."""

    def __init__(self, table: Table, made: type[T]) -> None:
        self._made = made
        self._names = tuple(field.name for field in fields(cast(Any, made)))
        self._all_of = attrgetter(*self._names)
        self.columns: tuple[ColumnElement[Any], ...] = tuple(table.c[name] for name in self._names)

    def select(self) -> Select[Any]:
        return select(*self.columns)

    def read(self, row: Sequence[Any]) -> T:
        return self._made(*row)

    def values(self, record: T) -> dict[str, Any]:
        return dict(zip(self._names, self._all_of(record), strict=True))
