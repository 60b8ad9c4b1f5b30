"""Names of users and devices that were deactivated and then deleted. They stay shut out until somebody is
made anew by the same name: an identity provider or another CA may vouch for them for years."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import delete, select

from gateway.adapters.store import schema
from gateway.adapters.store.statements import Statements
from gateway.model.org import NameKind

_TABLE = schema.deleted_names


class DeletedNames:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def keep(self, kind: NameKind, name: str, at: datetime) -> None:
        """``name`` as the data plane compares it: a login key, or what certificates call the device."""
        self._statements.put(_TABLE, {"kind": kind, "name": name, "deleted": at})

    def take_back(self, kind: NameKind, name: str) -> bool:
        """Whether it was one of them; it is none any more."""
        found = delete(_TABLE).where(_TABLE.c.kind == kind, _TABLE.c.name == name)
        return self._statements.change(found) == 1

    def holds(self, kind: NameKind, name: str) -> bool:
        wanted = select(_TABLE.c.name).where(_TABLE.c.kind == kind, _TABLE.c.name == name)
        return self._statements.first(wanted) is not None

    def of(self, kind: NameKind) -> Iterator[str]:
        """Streamed."""
        wanted = select(_TABLE.c.name).where(_TABLE.c.kind == kind)
        return (row[0] for row in self._statements.stream(wanted))
