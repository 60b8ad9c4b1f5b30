"""How far the spools of sign-on events were read into the System Log.

The position is advanced in the transaction that inserts the events, so that each event is there once.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select

from gateway.adapters.store import schema
from gateway.adapters.store.statements import Statements

_TABLE = schema.spool_positions


@dataclass(frozen=True, slots=True)
class SpoolPosition:
    """Everything before this offset (bytes) of this segment is in the log."""

    segment: int
    offset: int


class Spools:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def position(self, spool_id: str) -> SpoolPosition | None:
        """None: nothing was read of it yet."""
        wanted = select(_TABLE.c.segment, _TABLE.c.offset).where(_TABLE.c.spool_id == spool_id)
        row = self._statements.first(wanted)
        return None if row is None else SpoolPosition(*row)

    def advance(self, spool_id: str, segment: int, offset: int) -> None:
        self._statements.put(_TABLE, {"spool_id": spool_id, "segment": segment, "offset": offset})

    def forget(self, spool_id: str) -> bool:
        return self._statements.change(delete(_TABLE).where(_TABLE.c.spool_id == spool_id)) == 1
