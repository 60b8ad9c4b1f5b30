"""One writing transaction, and what happens at its end.

The single row of ``heads`` is locked as the last thing before the commit. Whoever holds it numbers its
changes and chains its log rows; the next one waits for the commit. So numbers have no gaps, and they become
visible in their order: a follower that has seen number n has seen everything before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.repositories import View
from gateway.adapters.store.statements import Statements
from gateway.model.changes import Change
from gateway.model.log_event import LogEvent
from gateway.model.store_errors import StoreDamaged

CHANGES_CHANNEL: Final = "devicetrust_changes"
APPLIED_CHANNEL: Final = "devicetrust_applied"
# A gateway whose machine stops while it holds the lock must not stop all others for long.
_HEADS_HELD_AT_MOST: Final = "2s"


@dataclass(frozen=True, slots=True)
class Committed:
    """The newest numbers after a commit that recorded changes or log events."""

    change_number: int
    log_number: int


class Work(View):
    """Repositories to write with. For one thread, and only within ``with store.begin()``."""

    def __init__(self, statements: Statements, clock: Callable[[], datetime]) -> None:
        super().__init__(statements)
        self.statements = statements
        self._clock = clock
        self._changes: list[Change] = []
        self.committed: Committed | None = None  # set once the commit is done, where something was recorded

    def record(self, change: Change) -> None:
        """The data plane has to know. The change gets its number when the transaction commits."""
        self._changes.append(change)

    def log_event(self, event: LogEvent) -> None:
        """The System Log has to hold it. It gets its place in the chain when the transaction commits."""
        self.log.append_many((event,))

    def is_alone(self, task: str) -> bool:
        """Whether no other gateway does this now, until the transaction ends. On SQLite there is one."""
        if not self.statements.postgresql:
            return True
        lock = func.pg_try_advisory_xact_lock(func.hashtext(f"devicetrust {task}"))
        return bool(self.statements.scalar(select(lock)))

    def announce_applied(self, words: str) -> None:
        """Tell every `FeedWatch` of the fleet at commit. On SQLite there is one gateway, which knows it."""
        if self.statements.postgresql:
            self.statements.first(select(func.pg_notify(APPLIED_CHANNEL, words)))

    def seal(self) -> Committed | None:
        """Number and chain what was recorded; the transaction must be committed right after. None: nothing
        was recorded."""
        if not self._changes and not self.log.pending:
            return None
        heads = schema.heads
        wanted = select(heads.c.change_number, heads.c.log_number, heads.c.log_hash).with_for_update()
        if self.statements.postgresql:
            wanted = wanted.add_columns(
                func.set_config("idle_in_transaction_session_timeout", _HEADS_HELD_AT_MOST, True)
            )
        row = self.statements.first(wanted)
        if row is None:
            raise StoreDamaged("the store has no heads: its numbers are lost")
        number = self.feed.write(self._changes, row[0], self._clock())
        log_number, log_hash = self.log.write_pending(row[1], row[2])
        self.statements.change(
            update(heads).values(change_number=number, log_number=log_number, log_hash=log_hash)
        )
        if self._changes and self.statements.postgresql:
            self.statements.first(select(func.pg_notify(CHANGES_CHANNEL, str(number))))
        return Committed(number, log_number)
