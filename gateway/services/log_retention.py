"""Removes the oldest events of the System Log, such that the rest can still be verified.

The chain loses its beginning and never its middle. The first row that is left holds on to the last one that
went, and an event of the same transaction names that one: who removes rows without a word leaves none.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol

from gateway.model.log_event import LogEvent, LogQuery, LogRow
from gateway.system_log.administration import log_trimmed
from gateway.system_log.catalog import Occasion
from gateway.system_log.verification import Head

# Some 20 ms in one transaction, for which sign-on events wait in the spool.
TRIM_ROWS: Final = 5_000


class TrimmedLog(Protocol):
    def trim(self, before: datetime, limit: int) -> int: ...

    def rows(self, query: LogQuery | None = None) -> Iterable[LogRow]: ...

    def head(self) -> tuple[int, bytes]: ...

    def append_many(self, events: Iterable[LogEvent]) -> None: ...


def trim_log(log: TrimmedLog, retention: timedelta, occasion: Occasion, limit: int = TRIM_ROWS) -> int:
    """Remove at most ``limit`` rows that are older than ``retention``; how many went."""
    gone = log.trim(occasion.at - retention, limit)
    if gone:
        last = beginning(log)
        log.append_many([log_trimmed(occasion, last.number, last.hash, gone)])
    return gone


class ReadLog(Protocol):
    def rows(self, query: LogQuery | None = None) -> Iterable[LogRow]: ...

    def head(self) -> tuple[int, bytes]: ...


def beginning(log: ReadLog) -> Head:
    """What the first row that is there holds on to: the last one that was removed, or nothing."""
    for first in log.rows(LogQuery(by_number=True, limit=1)):
        return Head(first.number - 1, first.previous_hash)
    return Head(*log.head())
