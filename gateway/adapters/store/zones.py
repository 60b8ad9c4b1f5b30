"""Network zones that were made at run time."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import StoredZone

_ZONES = Record(schema.zones, StoredZone)
_TABLE = schema.zones


class Zones:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, zone: StoredZone) -> None:
        """Add it, or overwrite the one with its id. Raises AlreadyExists with ``zones.name``."""
        self._statements.put(_TABLE, _ZONES.values(zone))

    def get(self, zone_id: str, *, lock: bool = False) -> StoredZone | None:
        return self._one(_TABLE.c.id == zone_id, lock)

    def by_name(self, name: str) -> StoredZone | None:
        return self._one(_TABLE.c.name == name, lock=False)

    def all(self) -> Sequence[StoredZone]:
        """By name."""
        return [_ZONES.read(row) for row in self._statements.all(_ZONES.select().order_by(_TABLE.c.name))]

    def delete(self, zone_id: str) -> bool:
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == zone_id)) == 1

    def _one(self, condition: ColumnElement[bool], lock: bool) -> StoredZone | None:
        wanted = _ZONES.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _ZONES.read(row)
