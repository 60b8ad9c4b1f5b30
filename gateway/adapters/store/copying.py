"""All that one store holds → another store, of either engine.

The change feed is not copied: it belongs to a store, not to what it holds. Instead the copy's numbers leap
ahead of both, and its one change says that everything is new. So a gateway that followed the target, or the
source, or a store that was lost after the backup was made, finds that the feed goes on beyond what it knows,
and takes the whole state.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, delete, func, insert, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.repositories import View
from gateway.adapters.store.statements import BATCH_ROWS, Statements
from gateway.adapters.store.store import Store
from gateway.adapters.store.work import Work
from gateway.model.changes import StatePart, state_changed
from gateway.model.store_errors import StoreDamaged, StoreError
from gateway.system_log.verification import Head, Verification

Progress = Callable[[str, int], None]  # table, rows of it so far

# More changes than any gateway has seen of a store that is lost.
_LEAP: Final = 1_000_000
_NOT_COPIED: Final = frozenset({schema.heads, schema.changes})
_PROGRESS_ROWS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows of each table are in the copy, and where its numbers go on."""

    rows: Mapping[str, int]
    change_number: int
    log_number: int


def tables() -> Sequence[Table]:
    """Those that are copied; a table comes after the tables that it refers to."""
    return [table for table in schema.metadata.sorted_tables if table not in _NOT_COPIED]


def holds_anything(view: View, statements: Statements) -> bool:
    """Whether anything was ever put into the store."""
    if view.feed.head() or view.log.head()[0]:
        return True
    return any(statements.first(select(table).limit(1)) is not None for table in tables())


def copy_store(
    source: Store, target: Store, *, replace: bool, progress: Progress, as_backup: bool = False
) -> Copied:
    """Copy a snapshot of the source, in one transaction of the target, then check the copy's counts and the
    chain of its log. Both have the newest version. ``as_backup``: nobody is going to follow the copy, so
    its number is that of the source. Raises StoreError: also where the target holds something and
    ``replace`` is not set."""
    with source.connected() as connection, target.begin() as work:
        to = work.statements
        if holds_anything(work, to):
            if not replace:
                raise StoreError(
                    f"{target.shown}: is not empty; to lose what it holds and replace it, add --force"
                )
            _clear(to)
        from_ = Statements(connection, source.shown)
        rows = {table.name: _copy_table(from_, to, table, progress) for table in tables()}
        change_number, log_number = _set_heads(from_, to, 0 if as_backup else _LEAP)
        if not as_backup:
            change_number += 1
            work.record(state_changed(StatePart.EVERYTHING))
        check_copy(work, rows, target.shown)
    return Copied(rows, change_number, log_number)


def check_copy(work: Work, rows: Mapping[str, int], shown_url: str) -> None:
    """Raises StoreDamaged where rows are missing or the log does not hold together."""
    for table in tables():
        found = work.statements.scalar(select(func.count()).select_from(table))
        if found != rows[table.name]:
            raise StoreDamaged(f"{shown_url}: {table.name} has {found} rows, not {rows[table.name]}")
    first = work.log.first_number()
    if first is None:
        return
    row = work.log.get(first)
    assert row is not None  # it was found in this transaction
    verification = Verification(Head(first - 1, row.previous_hash))
    for finding in verification.read(work.log.rows()):
        raise StoreDamaged(f"{shown_url}: the System Log does not hold together: {finding}")
    if verification.head != Head(*work.log.head()):
        raise StoreDamaged(f"{shown_url}: the System Log does not end where the store says")


def _clear(to: Statements) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        if table is not schema.heads:
            to.change(delete(table))


def _copy_table(from_: Statements, to: Statements, table: Table, progress: Progress) -> int:
    rows = 0
    names = [column.key for column in table.columns]
    batch: list[dict[str, Any]] = []
    for row in _ordered(from_, table):
        batch.append(dict(zip(names, row, strict=True)))
        if len(batch) == BATCH_ROWS:
            to.change_many(insert(table), batch)
            rows += len(batch)
            batch.clear()
            if rows % _PROGRESS_ROWS == 0:
                progress(table.name, rows)
    to.change_many(insert(table), batch)
    rows += len(batch)
    progress(table.name, rows)
    return rows


def _ordered(from_: Statements, table: Table) -> Iterator[Sequence[Any]]:
    """In the order of the primary key: the target's tables grow at their ends."""
    return from_.stream(select(table).order_by(*table.primary_key))


def _set_heads(from_: Statements, to: Statements, leap: int) -> tuple[int, int]:
    """The numbers of the last change and of the last log row that the copy has had."""
    heads = schema.heads.c
    wanted = select(heads.change_number, heads.log_number, heads.log_hash)
    row = from_.first(wanted)
    old = to.first(wanted)
    if row is None or old is None:
        raise StoreDamaged("the store has no heads: its numbers are lost")
    number = max(row[0], old[0]) + leap
    to.change(update(schema.heads).values(change_number=number, log_number=row[1], log_hash=row[2]))
    return number, row[1]
