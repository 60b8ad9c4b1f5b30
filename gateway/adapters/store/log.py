"""The rows of the System Log. They are written at commit, in one order with every other transaction's."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from sqlalchemy import Select, delete, func, insert, select, tuple_

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.log_event import LogEvent, LogQuery, LogRow, SearchedBy
from gateway.system_log.chain import canonical, row_hash
from gateway.system_log.wire import to_okta

_ROWS = Record(schema.log, LogRow)
_TABLE = schema.log
_COLUMN = schema.log.c
_TARGETS = schema.log_targets


class Log:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._pending: list[LogEvent] = []

    def append_many(self, events: Iterable[LogEvent]) -> None:
        """They get their numbers and hashes when the transaction commits, in this order."""
        self._pending.extend(events)

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def write_pending(self, number: int, previous_hash: bytes) -> tuple[int, bytes]:
        """Chain what was appended to the row ``number`` with this hash. The last row's number and hash.
        The caller holds the lock of the heads."""
        rows = []
        targets: set[tuple[str, int]] = set()
        for event in self._pending:
            number += 1
            text = canonical(to_okta(event))
            digest = row_hash(previous_hash, number, text)
            rows.append(
                {
                    "number": number,
                    "uuid": event.uuid,
                    "published": event.published,
                    "event_type": event.event_type,
                    "actor_id": event.actor.id,
                    "severity": event.severity.value,
                    "outcome": event.outcome.value,
                    "event_json": text.decode("ascii"),
                    "previous_hash": previous_hash,
                    "hash": digest,
                }
            )
            targets.update((target.id, number) for target in event.targets)
            previous_hash = digest
        self._pending.clear()
        self._statements.change_many(insert(_TABLE), rows)
        self._statements.change_many(
            insert(_TARGETS), ({"target_id": target, "number": row} for target, row in sorted(targets))
        )
        return number, previous_hash

    def head(self) -> tuple[int, bytes]:
        """Number and hash of the newest row; 0 and 32 zero bytes while there was none."""
        row = self._statements.first(select(schema.heads.c.log_number, schema.heads.c.log_hash))
        assert row is not None  # the first migration puts it there
        return row[0], row[1]

    def first_number(self) -> int | None:
        """Of the oldest row that was not trimmed."""
        number: int | None = self._statements.scalar(select(func.min(_COLUMN.number)))
        return number

    def first_number_since(self, at: datetime) -> int | None:
        """The lowest number of a row that was published at this time or later; None: there is no such row.
        Rows may be written long after they were published, so it need not be the first of these."""
        # Of the bare column, engines walk all rows by their numbers until one fits; by the sum, they ask the
        # index of times.
        lowest = func.min(_COLUMN.number + 0)
        number: int | None = self._statements.scalar(select(lowest).where(_COLUMN.published >= at))
        return number

    def count(self) -> int:
        return int(self._statements.scalar(select(func.count()).select_from(_TABLE)))

    def get(self, number: int) -> LogRow | None:
        row = self._statements.first(_ROWS.select().where(_COLUMN.number == number))
        return None if row is None else _ROWS.read(row)

    def by_uuid(self, uuid: str) -> LogRow | None:
        row = self._statements.first(_ROWS.select().where(_COLUMN.uuid == uuid))
        return None if row is None else _ROWS.read(row)

    def rows(self, query: LogQuery | None = None) -> Iterator[LogRow]:
        """The rows that fit, streamed; without a query all, in the order of their numbers."""
        return map(_ROWS.read, self._statements.stream(_select(query or LogQuery(by_number=True))))

    def searched_by(self, first: int, last: int) -> Mapping[int, SearchedBy]:
        """Of the rows from ``first`` to ``last``, by their numbers."""
        targets: defaultdict[int, set[str]] = defaultdict(set)
        wanted = select(_TARGETS.c.number, _TARGETS.c.target_id)
        for number, target in self._statements.all(wanted.where(_TARGETS.c.number.between(first, last))):
            targets[number].add(target)
        columns = (_COLUMN.number, _COLUMN.event_type, _COLUMN.actor_id, _COLUMN.severity, _COLUMN.outcome)
        return {
            number: SearchedBy(kind, actor, severity, outcome, frozenset(targets[number]))
            for number, kind, actor, severity, outcome in self._statements.all(
                select(*columns).where(_COLUMN.number.between(first, last))
            )
        }

    def trim(self, before: datetime, limit: int) -> int:
        """Delete the oldest rows, from the first on, as long as they were published before this time,
        ``limit`` at most: the chain loses its beginning and never its middle. How many went."""
        oldest = select(_COLUMN.number, _COLUMN.published).order_by(_COLUMN.number).limit(limit).subquery()
        kept = self._statements.scalar(select(func.min(oldest.c.number)).where(oldest.c.published >= before))
        newest = self._statements.scalar(select(func.max(oldest.c.number)))
        if newest is None:
            return 0
        boundary = newest + 1 if kept is None else kept
        self._statements.change(delete(_TARGETS).where(_TARGETS.c.number < boundary))
        return self._statements.change(delete(_TABLE).where(_COLUMN.number < boundary))


def _select(query: LogQuery) -> Select[tuple[object, ...]]:
    wanted = _ROWS.select()
    if query.since is not None:
        wanted = wanted.where(_COLUMN.published >= query.since)
    if query.until is not None:
        wanted = wanted.where(_COLUMN.published < query.until)
    if query.after_number is not None:
        wanted = wanted.where(_COLUMN.number > query.after_number)
    if query.before_number is not None:
        wanted = wanted.where(_COLUMN.number < query.before_number)
    if query.event_types:
        wanted = wanted.where(_COLUMN.event_type.in_(sorted(query.event_types)))
    if query.actor_id is not None:
        wanted = wanted.where(_COLUMN.actor_id == query.actor_id)
    if query.target_id is not None:
        hits = select(_TARGETS.c.number).where(_TARGETS.c.target_id == query.target_id)
        wanted = wanted.where(_COLUMN.number.in_(hits))
    if query.severities:
        wanted = wanted.where(_COLUMN.severity.in_(sorted(query.severities)))
    if query.outcomes:
        wanted = wanted.where(_COLUMN.outcome.in_(sorted(query.outcomes)))
    if query.after is not None:
        place = tuple_(*query.after, types=(_COLUMN.published.type, _COLUMN.number.type))
        here = tuple_(_COLUMN.published, _COLUMN.number)
        wanted = wanted.where(here < place if query.descending else here > place)
    order = (_COLUMN.number,) if query.by_number else (_COLUMN.published, _COLUMN.number)
    wanted = wanted.order_by(*(column.desc() if query.descending else column for column in order))
    return wanted if query.limit is None else wanted.limit(query.limit)
