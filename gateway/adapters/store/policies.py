"""The sign-on policies of the apps."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import StoredPolicy

_POLICIES = Record(schema.policies, StoredPolicy)
_TABLE = schema.policies


class Policies:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, policy: StoredPolicy) -> None:
        """Add it, or overwrite the one with its id. Raises AlreadyExists: an app has one policy."""
        self._statements.put(_TABLE, _POLICIES.values(policy))

    def get(self, policy_id: str, *, lock: bool = False) -> StoredPolicy | None:
        return self._one(_TABLE.c.id == policy_id, lock)

    def of_app(self, app: str, *, lock: bool = False) -> StoredPolicy | None:
        return self._one(_TABLE.c.app == app, lock)

    def all(self) -> Sequence[StoredPolicy]:
        """By priority, then by app."""
        wanted = _POLICIES.select().order_by(_TABLE.c.priority, _TABLE.c.app)
        return [_POLICIES.read(row) for row in self._statements.all(wanted)]

    def delete(self, policy_id: str) -> bool:
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == policy_id)) == 1

    def _one(self, condition: ColumnElement[bool], lock: bool) -> StoredPolicy | None:
        wanted = _POLICIES.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _POLICIES.read(row)
