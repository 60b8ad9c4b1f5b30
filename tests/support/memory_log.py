"""A System Log in memory that answers queries as the store does."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from gateway.model.log_event import LogEvent, LogQuery, LogRow
from gateway.system_log.chain import FIRST_PREVIOUS_HASH, canonical, row_hash
from gateway.system_log.wire import to_okta


class MemoryLog:
    """``held`` are the rows, in the order of their numbers."""

    def __init__(self, events: Iterable[LogEvent] = ()) -> None:
        self.held: list[LogRow] = []
        self._events: dict[int, LogEvent] = {}
        self.read = 0
        self.append_many(events)

    def append_many(self, events: Iterable[LogEvent]) -> None:
        for event in events:
            number, previous = self.head()
            text = canonical(to_okta(event))
            self.held.append(
                LogRow(
                    number + 1,
                    event.uuid,
                    event.published,
                    text.decode(),
                    previous,
                    row_hash(previous, number + 1, text),
                )
            )
            self._events[number + 1] = event

    def head(self) -> tuple[int, bytes]:
        return (self.held[-1].number, self.held[-1].hash) if self.held else (0, FIRST_PREVIOUS_HASH)

    def first_number_since(self, at: datetime) -> int | None:
        return min((row.number for row in self.held if row.published >= at), default=None)

    def rows(self, query: LogQuery | None = None) -> Iterator[LogRow]:
        query = query or LogQuery(by_number=True)
        rows: Sequence[LogRow] = [row for row in self.held if self._fits(row, query)]
        rows = sorted(
            rows, key=lambda row: (row.number,) if query.by_number else _place(row), reverse=query.descending
        )
        for row in rows[: query.limit]:
            self.read += 1
            yield row

    def _fits(self, row: LogRow, query: LogQuery) -> bool:
        event = self._events[row.number]
        return (
            (query.since is None or row.published >= query.since)
            and (query.until is None or row.published < query.until)
            and (query.after_number is None or row.number > query.after_number)
            and (query.before_number is None or row.number < query.before_number)
            and (query.after is None or self._is_behind(row, query))
            and (not query.event_types or event.event_type in query.event_types)
            and (query.actor_id is None or event.actor.id == query.actor_id)
            and (query.target_id is None or query.target_id in {target.id for target in event.targets})
            and (not query.severities or event.severity in query.severities)
            and (not query.outcomes or event.outcome in query.outcomes)
        )

    @staticmethod
    def _is_behind(row: LogRow, query: LogQuery) -> bool:
        assert query.after is not None
        return _place(row) < query.after if query.descending else _place(row) > query.after


def _place(row: LogRow) -> tuple[datetime, int]:
    return (row.published, row.number)
