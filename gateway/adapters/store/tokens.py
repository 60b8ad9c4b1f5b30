"""Keys to the API. Only hashes of their secrets are known here."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import ApiToken

_TOKENS = Record(schema.api_tokens, ApiToken)
_TABLE = schema.api_tokens


class Tokens:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, token: ApiToken) -> None:
        self._statements.insert(_TABLE, _TOKENS.values(token))

    def get(self, token_id: str) -> ApiToken | None:
        return self._one(_TABLE.c.id == token_id)

    def by_secret_sha256(self, digest: bytes) -> ApiToken | None:
        """Also one that has expired or was revoked: see `ApiToken.usable`."""
        return self._one(_TABLE.c.secret_sha256 == digest)

    def all(self) -> Sequence[ApiToken]:
        """In the order in which they were made."""
        wanted = _TOKENS.select().order_by(_TABLE.c.created, _TABLE.c.id)
        return [_TOKENS.read(row) for row in self._statements.all(wanted)]

    def revoke(self, token_id: str, at: datetime) -> bool:
        """False: there is none, or it was revoked before."""
        change = update(_TABLE).where(_TABLE.c.id == token_id, _TABLE.c.revoked.is_(None)).values(revoked=at)
        return self._statements.change(change) == 1

    def mark_used(self, token_id: str, at: datetime) -> None:
        self._statements.change(update(_TABLE).where(_TABLE.c.id == token_id).values(last_used=at))

    def _one(self, condition: ColumnElement[bool]) -> ApiToken | None:
        row = self._statements.first(_TOKENS.select().where(condition))
        return None if row is None else _TOKENS.read(row)
