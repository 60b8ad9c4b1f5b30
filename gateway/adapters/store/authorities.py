"""The certification authorities of our own."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.issued import AuthorityKind, AuthorityRecord, AuthorityStatus

_AUTHORITIES = Record(schema.authorities, AuthorityRecord)
_TABLE = schema.authorities


class Authorities:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, authority: AuthorityRecord) -> None:
        """Raises AlreadyExists: ids, issuer hashes, and generations of a kind are unique."""
        self._statements.insert(_TABLE, _AUTHORITIES.values(authority))

    def update(self, authority: AuthorityRecord) -> bool:
        """Every field but the id. False: there is no such authority."""
        change = update(_TABLE).where(_TABLE.c.id == authority.id).values(_AUTHORITIES.values(authority))
        return self._statements.change(change) == 1

    def set_status(self, authority_id: str, status: AuthorityStatus) -> bool:
        change = update(_TABLE).where(_TABLE.c.id == authority_id).values(status=status)
        return self._statements.change(change) == 1

    def get(self, authority_id: str, *, lock: bool = False) -> AuthorityRecord | None:
        """``lock``: also keeps two CRLs from getting one number, say."""
        return self._one(_TABLE.c.id == authority_id, lock)

    def by_issuer_hash(self, issuer_hash: bytes) -> AuthorityRecord | None:
        return self._one(_TABLE.c.issuer_hash == issuer_hash, lock=False)

    def all(self, kind: AuthorityKind | None = None) -> Sequence[AuthorityRecord]:
        """Roots first, the newest generation of a kind last."""
        wanted = _AUTHORITIES.select().order_by(_TABLE.c.kind.desc(), _TABLE.c.generation)
        if kind is not None:
            wanted = wanted.where(_TABLE.c.kind == kind)
        return [_AUTHORITIES.read(row) for row in self._statements.all(wanted)]

    def _one(self, condition: ColumnElement[bool], lock: bool) -> AuthorityRecord | None:
        wanted = _AUTHORITIES.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _AUTHORITIES.read(row)
