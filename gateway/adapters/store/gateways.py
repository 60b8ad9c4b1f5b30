"""The gateways of the fleet, and how far each of their workers has come in the change feed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import GatewayRecord, WorkerRecord

_GATEWAYS = Record(schema.gateways, GatewayRecord)
_WORKERS = Record(schema.gateway_workers, WorkerRecord)
_GATEWAY = schema.gateways
_WORKER = schema.gateway_workers


class Gateways:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def report(self, gateway: GatewayRecord) -> None:
        """Add it, or overwrite what it said before."""
        self._statements.put(_GATEWAY, _GATEWAYS.values(gateway))

    def mark_seen(self, gateway_id: str, at: datetime) -> bool:
        """False: it has not reported itself, or was removed."""
        change = update(_GATEWAY).where(_GATEWAY.c.id == gateway_id).values(seen_at=at)
        return self._statements.change(change) == 1

    def get(self, gateway_id: str) -> GatewayRecord | None:
        row = self._statements.first(_GATEWAYS.select().where(_GATEWAY.c.id == gateway_id))
        return None if row is None else _GATEWAYS.read(row)

    def all(self) -> Sequence[GatewayRecord]:
        """By name."""
        wanted = _GATEWAYS.select().order_by(_GATEWAY.c.name, _GATEWAY.c.id)
        return [_GATEWAYS.read(row) for row in self._statements.all(wanted)]

    def remove(self, gateway_id: str, started_at: datetime | None = None) -> bool:
        """With its workers. ``started_at``: only if it is the one that started then."""
        gone = delete(_GATEWAY).where(_GATEWAY.c.id == gateway_id)
        if started_at is not None:
            gone = gone.where(_GATEWAY.c.started_at == started_at)
        return self._statements.change(gone) == 1

    def report_worker(self, worker: WorkerRecord) -> None:
        """Raises ReferenceMissing where its gateway has not reported itself."""
        self._statements.put(_WORKER, _WORKERS.values(worker))

    def workers(self, gateway_id: str | None = None) -> Sequence[WorkerRecord]:
        """Of one gateway or of all, by gateway and worker."""
        wanted = _WORKERS.select().order_by(_WORKER.c.gateway_id, _WORKER.c.worker)
        if gateway_id is not None:
            wanted = wanted.where(_WORKER.c.gateway_id == gateway_id)
        return [_WORKERS.read(row) for row in self._statements.all(wanted)]

    def keep_workers(self, gateway_id: str, live: Sequence[int]) -> int:
        """Forget the gateway's workers that are not among these. How many went."""
        gone = delete(_WORKER).where(_WORKER.c.gateway_id == gateway_id, _WORKER.c.worker.not_in(live))
        return self._statements.change(gone)

    def lowest_applied(self, seen_since: datetime) -> int | None:
        """What every worker that was seen since then has applied. None: no worker was."""
        wanted = select(func.min(_WORKER.c.applied_number)).where(_WORKER.c.seen_at >= seen_since)
        number: int | None = self._statements.scalar(wanted)
        return number
