"""Groups and who is in them. Nobody is listed in Everyone: everybody is in it."""

from collections.abc import Iterator, Sequence

from sqlalchemy import delete, func, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import Group, User

_GROUPS = Record(schema.groups, Group)
_USERS = Record(schema.users, User)
_TABLE = schema.groups
_MEMBERS = schema.group_members


class Groups:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, group: Group) -> None:
        """Raises AlreadyExists with ``groups.name`` or ``groups.id``."""
        self._statements.insert(_TABLE, _GROUPS.values(group))

    def get(self, group_id: str, *, lock: bool = False) -> Group | None:
        wanted = _GROUPS.select().where(_TABLE.c.id == group_id)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _GROUPS.read(row)

    def by_name(self, name: str) -> Group | None:
        row = self._statements.first(_GROUPS.select().where(_TABLE.c.name == name))
        return None if row is None else _GROUPS.read(row)

    def update(self, group: Group) -> bool:
        """Every field but the id. False: there is no such group. Raises AlreadyExists."""
        change = update(_TABLE).where(_TABLE.c.id == group.id).values(_GROUPS.values(group))
        return self._statements.change(change) == 1

    def delete(self, group_id: str) -> bool:
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == group_id)) == 1

    def page(self, *, after: str | None = None, limit: int = 200, q: str | None = None) -> Sequence[Group]:
        """Groups in the order of their ids. ``q`` begins a name, without regard to case."""
        wanted = _GROUPS.select().order_by(_TABLE.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(_TABLE.c.id > after)
        if q:
            wanted = wanted.where(func.lower(_TABLE.c.name).startswith(q.lower(), autoescape=True))
        return [_GROUPS.read(row) for row in self._statements.all(wanted)]

    def all(self) -> Iterator[Group]:
        return map(_GROUPS.read, self._statements.stream(_GROUPS.select().order_by(_TABLE.c.id)))

    def add_member(self, group_id: str, user_id: str) -> bool:
        """False: was in it already. Raises ReferenceMissing where there is no such group or user."""
        return self._statements.insert_unless_there(_MEMBERS, {"group_id": group_id, "user_id": user_id})

    def remove_member(self, group_id: str, user_id: str) -> bool:
        """False: was not in it."""
        gone = delete(_MEMBERS).where(_MEMBERS.c.group_id == group_id, _MEMBERS.c.user_id == user_id)
        return self._statements.change(gone) == 1

    def members(self, group_id: str, *, after: str | None = None, limit: int = 200) -> Sequence[User]:
        """The users listed in the group, in the order of their ids."""
        wanted = (
            select(*_USERS.columns)
            .join(_MEMBERS, _MEMBERS.c.user_id == schema.users.c.id)
            .where(_MEMBERS.c.group_id == group_id)
            .order_by(schema.users.c.id)
            .limit(limit)
        )
        if after is not None:
            wanted = wanted.where(schema.users.c.id > after)
        return [_USERS.read(row) for row in self._statements.all(wanted)]

    def of_user(self, user_id: str) -> Sequence[Group]:
        """The groups that list the user, by name."""
        wanted = (
            select(*_GROUPS.columns)
            .join(_MEMBERS, _MEMBERS.c.group_id == _TABLE.c.id)
            .where(_MEMBERS.c.user_id == user_id)
            .order_by(_TABLE.c.name)
        )
        return [_GROUPS.read(row) for row in self._statements.all(wanted)]
