"""Whether the rows of the System Log are those that were written: none changed, missing, added or moved.

The chain alone shows a change by whoever cannot compute it anew. Whoever can write to the store can: so an
operator keeps a `Head` elsewhere now and then, and has the rows compared with it. Not shown, by anything
kept in the store: that the whole log was made anew since the last head that was kept elsewhere.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gateway.model.log_event import LogRow, SearchedBy
from gateway.system_log.catalog import EventType
from gateway.system_log.chain import FIRST_PREVIOUS_HASH, row_hash
from gateway.system_log.wire import MAX_TARGETS, as_named, timestamp

_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The row with this number has this hash. Number 0 is the beginning, before the first row."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"


BEGINNING: Final = Head(0, FIRST_PREVIOUS_HASH)


def parse_head(text: str) -> Head:
    """``NUMBER:HASH`` as it is printed. Raises ValueError."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError("a head is written NUMBER:HASH, the hash in 64 hexadecimal digits")
    return Head(int(match[1]), bytes.fromhex(match[2]))


class Problem(StrEnum):
    CHANGED = "changed"  # the event is not the one whose hash was kept
    MISSING = "missing"  # numbers are left out
    OUT_OF_ORDER = "out of order"  # a number comes again, or too late
    BROKEN_LINK = "broken link"  # it does not hold on to the row before it
    TRUNCATED = "truncated"  # the last rows are gone
    UNRECORDED_REMOVAL = "unrecorded removal"  # the first rows are gone, and no event tells of it
    NOT_AS_EXPECTED = "not as expected"  # differs from a head that was kept elsewhere


@dataclass(frozen=True, slots=True)
class Finding:
    number: int  # of the row
    problem: Problem
    detail: str

    def __str__(self) -> str:
        return f"row {self.number}: {self.problem}: {self.detail}"


class Verification:
    """Reads rows one after the other, in constant memory. ``start``: what the first row holds on to, which is
    the last row that was removed for its age, or `BEGINNING`. ``expected``: heads that were kept
    elsewhere."""

    def __init__(self, start: Head = BEGINNING, expected: Sequence[Head] = ()) -> None:
        self._start = start
        self._last = start
        self._expected = {head.number: head.hash for head in expected}
        self._removal_recorded = start.number == 0
        self.rows = 0

    @property
    def head(self) -> Head:
        """The last row that was read."""
        return self._last

    def read(self, rows: Iterable[LogRow]) -> Iterator[Finding]:
        """Findings of these rows. To be called again with those that follow."""
        for row in rows:
            self.rows += 1
            yield from self._row(row)
            if row.number > self._last.number:
                self._last = Head(row.number, row.hash)

    def beside(self, rows: Iterable[LogRow], searched_by: Mapping[int, SearchedBy]) -> Iterator[Finding]:
        """What rows are searched by in the store has to be what their events say: a row that no question
        finds any more is as good as removed. Changed events are found by `read`."""
        for row in rows:
            event, beside = _event_of(row), searched_by.get(row.number)
            if event is not None and (beside is None or not _is_found_by(event, beside)):
                yield Finding(row.number, Problem.CHANGED, "it is searched by what its event does not say")

    def end(self, head: Head) -> Iterator[Finding]:
        """Findings that show at the end. ``head``: the last row, by what the store says of itself."""
        if self._last.number < head.number:
            yield Finding(
                head.number, Problem.TRUNCATED, f"rows {self._last.number + 1} to {head.number} are gone"
            )
        elif self._last != head:
            yield Finding(self._last.number, Problem.NOT_AS_EXPECTED, f"the store's own head is {head}")
        if not self._removal_recorded:
            yield Finding(
                self._start.number,
                Problem.UNRECORDED_REMOVAL,
                "rows up to this one are gone, and no event tells of their removal",
            )
        for number, kept in sorted(self._expected.items()):
            # What was removed for its age can be compared with nothing, but for the last of it.
            if number > self._start.number or (number == self._start.number and kept != self._start.hash):
                yield Finding(number, Problem.NOT_AS_EXPECTED, "the row whose hash was kept is not there")

    def _row(self, row: LogRow) -> Iterator[Finding]:
        last = self._last
        if row.number <= last.number:
            yield Finding(row.number, Problem.OUT_OF_ORDER, f"comes after row {last.number}")
        elif row.number > last.number + 1:
            gap = f"rows {last.number + 1} to {row.number - 1} are left out before it"
            yield Finding(row.number, Problem.MISSING, gap)
        elif row.previous_hash != last.hash:
            yield Finding(row.number, Problem.BROKEN_LINK, f"does not hold on to row {last.number}")
        event = row.event_json.encode("utf-8", "surrogatepass")
        if row_hash(row.previous_hash, row.number, event) != row.hash:
            yield Finding(row.number, Problem.CHANGED, "the event is not the one that was written")
        else:
            yield from self._columns(row)
        kept = self._expected.pop(row.number, None)
        if kept is not None and kept != row.hash:
            yield Finding(row.number, Problem.NOT_AS_EXPECTED, "its hash is not the one that was kept")

    def _columns(self, row: LogRow) -> Iterator[Finding]:
        """What stands beside the event is searched by, and is no part of the hash: it has to agree."""
        event = _event_of(row)
        if event is None:
            yield Finding(row.number, Problem.CHANGED, "it holds no event")
            return
        if event.get("uuid") != row.uuid or event.get("published") != timestamp(row.published):
            yield Finding(row.number, Problem.CHANGED, "its columns are not those of its event")
        if not self._removal_recorded and event.get("eventType") == EventType.LOG_TRIMMED:
            context = event.get("debugContext")
            data = context.get("debugData") if isinstance(context, dict) else None
            removed = (data.get("lastNumber"), data.get("lastHash")) if isinstance(data, dict) else None
            self._removal_recorded = removed == (self._start.number, self._start.hash.hex())


def _event_of(row: LogRow) -> dict[str, Any] | None:
    """None where no JSON object stands there."""
    try:
        event = json.loads(row.event_json)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_found_by(event: dict[str, Any], beside: SearchedBy) -> bool:
    """False, too, for what is no event of ours."""
    try:
        targets = {target["id"] for target in event["target"] or ()}
        said = event["eventType"], event["actor"]["id"], event["severity"], event["outcome"]["result"]
    except (KeyError, TypeError):
        return False
    if said != (beside.event_type, as_named(beside.actor_id), beside.severity, beside.outcome):
        return False
    found_by = {as_named(target) for target in beside.targets}
    # An event shows so many targets at most, and is found by all.
    return targets == found_by or (len(event["target"] or ()) >= MAX_TARGETS and targets <= found_by)
