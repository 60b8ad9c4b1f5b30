"""Keys that may be used once in a whole fleet, and requests that answers refer to.

Keys are digests that the caller makes; what they were made of is not kept.
"""

from datetime import datetime

from sqlalchemy import Table, delete, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.statements import Statements

_USED = schema.one_use
_REQUESTS = schema.seen_requests


class OneUse:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def claim(self, key: bytes, until: datetime, now: datetime) -> bool:
        """True for exactly one of all who claim the key before ``until``, however many do so at once."""
        if self._statements.insert_unless_there(_USED, {"key": key, "until": until}):
            return True
        again = update(_USED).where(_USED.c.key == key, _USED.c.until <= now).values(until=until)
        return self._statements.change(again) == 1

    def give_back(self, key: bytes) -> None:
        """It was claimed for something that came to nothing: it may be claimed again."""
        self._statements.change(delete(_USED).where(_USED.c.key == key))

    def remember_request(self, key: bytes, app: str, until: datetime) -> None:
        self._statements.put(_REQUESTS, {"key": key, "app": app, "until": until})

    def request_app(self, key: bytes, now: datetime) -> str | None:
        """The app whose request it is; None: unknown, or too long ago."""
        wanted = select(_REQUESTS.c.app).where(_REQUESTS.c.key == key, _REQUESTS.c.until > now)
        app: str | None = self._statements.scalar(wanted)
        return app

    def forget_expired(self, now: datetime, limit: int = 10_000) -> int:
        """Make room, a bounded amount at a time. How many keys and requests went."""
        return self._forget(_USED, now, limit) + self._forget(_REQUESTS, now, limit)

    def _forget(self, table: Table, now: datetime, limit: int) -> int:
        expired = select(table.c.key).where(table.c.until <= now).limit(limit)
        return self._statements.change(delete(table).where(table.c.key.in_(expired)))
