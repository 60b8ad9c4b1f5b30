"""The change feed: what the data plane has to know, in one gapless order."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.changes import Change
from gateway.model.store_errors import FeedBroken

_CHANGES = Record(schema.changes, Change)
_TABLE = schema.changes


class Feed:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def head(self) -> int:
        """Number of the newest change; 0 while there was none."""
        number: int = self._statements.scalar(select(schema.heads.c.change_number))
        return number

    def changes_after(
        self, number: int, limit: int = 200, *, known: Change | None = None
    ) -> Sequence[Change]:
        """The next changes, in order. Raises FeedBroken where some of them were trimmed, or where the store
        has not come as far as ``number``: whoever asks must take the whole state anew.

        ``known`` is change ``number`` as it was read before. FeedBroken is raised, too, where the store now
        has another one of that number: a standby that had not got the last changes was promoted, or a backup
        was put in place, and numbers were given out anew.
        """
        first = number if known is None else number - 1
        wanted = (
            _CHANGES.select()
            .where(_TABLE.c.number > first)
            .order_by(_TABLE.c.number)
            .limit(limit + number - first)
        )
        found = [_CHANGES.read(row) for row in self._statements.all(wanted)]
        if known is not None:
            if not found or found[0] != known:
                raise FeedBroken(f"change {number} is in the store no longer, or is another one")
            del found[0]
        if found and found[0].number != number + 1:
            raise FeedBroken(f"change {number + 1} is in the store no longer; the next is {found[0].number}")
        if not found and (head := self.head()) != number:
            raise FeedBroken(f"change {number} was asked for, and the store is at {head}")
        return found

    def get(self, number: int) -> Change | None:
        """None: it was trimmed, or never was."""
        row = self._statements.first(_CHANGES.select().where(_TABLE.c.number == number))
        return None if row is None else _CHANGES.read(row)

    def oldest(self) -> Change | None:
        row = self._statements.first(_CHANGES.select().order_by(_TABLE.c.number).limit(1))
        return None if row is None else _CHANGES.read(row)

    def trim(self, up_to: int, before: datetime) -> int:
        """Delete changes up to this number (included) that are older than this time; but not the newest, by
        which a follower knows that it still follows the same feed. How many went."""
        gone = delete(_TABLE).where(
            _TABLE.c.number <= up_to,
            _TABLE.c.at < before,
            _TABLE.c.number < select(schema.heads.c.change_number).scalar_subquery(),
        )
        return self._statements.change(gone)

    def count(self) -> int:
        return int(self._statements.scalar(select(func.count()).select_from(_TABLE)))

    def write(self, changes: Sequence[Change], number: int, at: datetime) -> int:
        """Number the changes after ``number`` and insert them; the last number. The caller holds the lock of
        the heads."""
        self._statements.change_many(
            insert(_TABLE),
            (
                {"number": number + place, "at": at, "kind": change.kind, "payload": change.payload}
                for place, change in enumerate(changes, start=1)
            ),
        )
        return number + len(changes)
