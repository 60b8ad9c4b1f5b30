"""The IWA web apps that are registered."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.iwa import Iwa

_IWAS = Record(schema.iwas, Iwa)
_TABLE = schema.iwas


class Iwas:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, iwa: Iwa) -> None:
        """Raises AlreadyExists with ``iwas.name`` or ``iwas.key_id``."""
        self._statements.insert(_TABLE, _IWAS.values(iwa))

    def update(self, iwa: Iwa) -> bool:
        """Every field but the id. False: there is no such one. Raises AlreadyExists."""
        change = update(_TABLE).where(_TABLE.c.id == iwa.id).values(_IWAS.values(iwa))
        return self._statements.change(change) == 1

    def get(self, iwa_id: str, *, lock: bool = False) -> Iwa | None:
        """``lock``: nobody else changes it before this transaction ends."""
        return self._one(_TABLE.c.id == iwa_id, lock)

    def by_name(self, name: str, *, lock: bool = False) -> Iwa | None:
        return self._one(_TABLE.c.name == name, lock)

    def by_key_id(self, key_id: str, *, lock: bool = False) -> Iwa | None:
        return self._one(_TABLE.c.key_id == key_id, lock)

    def all(self) -> Sequence[Iwa]:
        """In the order of their ids: there are a handful."""
        return [_IWAS.read(row) for row in self._statements.all(_IWAS.select().order_by(_TABLE.c.id))]

    def make_primary(self, iwa_id: str) -> None:
        """This one, and no other."""
        self._statements.change(update(_TABLE).values(is_primary=_TABLE.c.id == iwa_id))

    def report(self, iwa_id: str, at: datetime, version: str, health: Mapping[str, object]) -> bool:
        """It has said how it is. Whether it was offline before."""
        change = update(_TABLE).where(_TABLE.c.id == iwa_id)
        said = {"last_seen": at, "version": version, "health": dict(health), "online": True}
        if self._statements.change(change.where(_TABLE.c.online.is_(False)).values(said)):
            return True
        self._statements.change(change.values(said))
        return False

    def mark_offline(self, not_seen_since: datetime) -> Sequence[Iwa]:
        """Those that were online, and have said nothing since then. Each is given back to one caller."""
        silent = _IWAS.select().where(
            _TABLE.c.online.is_(True), (_TABLE.c.last_seen < not_seen_since) | _TABLE.c.last_seen.is_(None)
        )
        found = [_IWAS.read(row) for row in self._statements.all(silent.with_for_update())]
        for iwa in found:
            self._statements.change(update(_TABLE).where(_TABLE.c.id == iwa.id).values(online=False))
        return found

    def delete(self, iwa_id: str) -> bool:
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == iwa_id)) == 1

    def _one(self, condition: ColumnElement[bool], lock: bool) -> Iwa | None:
        wanted = _IWAS.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _IWAS.read(row)
