"""The CRLs as they were published last."""

from collections.abc import Sequence

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.issued import PublishedCrl

_CRLS = Record(schema.crls, PublishedCrl)
_TABLE = schema.crls


class Crls:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, crl: PublishedCrl) -> None:
        """In place of the one before of the same authority and shard."""
        self._statements.put(_TABLE, _CRLS.values(crl))

    def get(self, authority_id: str, shard: int) -> PublishedCrl | None:
        wanted = _CRLS.select().where(_TABLE.c.authority_id == authority_id, _TABLE.c.shard == shard)
        row = self._statements.first(wanted)
        return None if row is None else _CRLS.read(row)

    def of_authority(self, authority_id: str) -> Sequence[PublishedCrl]:
        wanted = _CRLS.select().where(_TABLE.c.authority_id == authority_id).order_by(_TABLE.c.shard)
        return [_CRLS.read(row) for row in self._statements.all(wanted)]
