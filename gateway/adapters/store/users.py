"""People, as rows."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements, Values
from gateway.model.org import User, UserStatus, login_key

_USERS = Record(schema.users, User)
_TABLE = schema.users


class Users:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, user: User) -> None:
        """Raises AlreadyExists with ``users.login_key``, ``users.directory_key`` or ``users.id``."""
        self._statements.insert(_TABLE, _values(user))

    def add_many(self, users: Iterable[User]) -> None:
        self._statements.change_many(insert(_TABLE), map(_values, users))

    def get(self, user_id: str, *, lock: bool = False) -> User | None:
        """``lock``: nobody else changes it before this transaction ends."""
        return self._one(_TABLE.c.id == user_id, lock)

    def by_login(self, login: str, *, lock: bool = False) -> User | None:
        """Compared without case, as the user of an assertion is."""
        return self._one(_TABLE.c.login_key == login_key(login), lock)

    def by_directory_key(self, key: str, *, lock: bool = False) -> User | None:
        return self._one(_TABLE.c.directory_key == key, lock)

    def by_ids(self, user_ids: Iterable[str]) -> dict[str, User]:
        """Those that exist, by their ids. At most some thousands at once."""
        rows = self._statements.all(_USERS.select().where(_TABLE.c.id.in_(list(user_ids))))
        return {user.id: user for user in map(_USERS.read, rows)}

    def update(self, user: User) -> bool:
        """Every field but the id. False: there is no such user. Raises AlreadyExists."""
        return (
            self._statements.change(update(_TABLE).where(_TABLE.c.id == user.id).values(_values(user))) == 1
        )

    def set_status(self, user_id: str, status: UserStatus, at: datetime) -> bool:
        """False: there is no such user, or it has the status already."""
        change = (
            update(_TABLE)
            .where(_TABLE.c.id == user_id, _TABLE.c.status != status)
            .values(status=status, status_changed=at, last_updated=at)
        )
        return self._statements.change(change) == 1

    def delete(self, user_id: str) -> bool:
        """Memberships and links to devices go along; certificates stay."""
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == user_id)) == 1

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 200,
        q: str | None = None,
        status: UserStatus | None = None,
    ) -> Sequence[User]:
        """Users in the order of their ids, those after the id ``after``. ``q`` begins, without regard to
        case, a login, an email address, a first or a last name."""
        wanted = _USERS.select().order_by(_TABLE.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(_TABLE.c.id > after)
        if status is not None:
            wanted = wanted.where(_TABLE.c.status == status)
        if q:
            wanted = wanted.where(
                or_(
                    _TABLE.c.login_key.startswith(login_key(q), autoescape=True),
                    *(
                        func.lower(column).startswith(q.lower(), autoescape=True)
                        for column in (_TABLE.c.email, _TABLE.c.first_name, _TABLE.c.last_name)
                    ),
                )
            )
        return [_USERS.read(row) for row in self._statements.all(wanted)]

    def all(self) -> Iterator[User]:
        """Streamed, in the order of their ids."""
        return map(_USERS.read, self._statements.stream(_USERS.select().order_by(_TABLE.c.id)))

    def inactive_login_keys(self) -> Iterator[str]:
        """Of everybody who is not ACTIVE, streamed."""
        wanted = select(_TABLE.c.login_key).where(_TABLE.c.status != UserStatus.ACTIVE)
        return (row[0] for row in self._statements.stream(wanted))

    def count(self) -> int:
        return int(self._statements.scalar(select(func.count()).select_from(_TABLE)))

    def _one(self, condition: ColumnElement[bool], lock: bool) -> User | None:
        wanted = _USERS.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _USERS.read(row)


def _values(user: User) -> Values:
    return {**_USERS.values(user), "login_key": user.login_key}
