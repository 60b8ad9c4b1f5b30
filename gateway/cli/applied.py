"""Waiting, in a command, until a change is in force at every worker of every gateway."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from gateway.adapters.store.store import Store

# A gateway reports itself more often than this. One that does not is down, or cut off.
SEEN_WITHIN: Final = timedelta(seconds=15)
_POLL_SECONDS: Final = 0.02

wait_option = click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    help="How long to wait until every gateway has applied it; 0: not at all.",
)


@dataclass(frozen=True, slots=True)
class AppliedEverywhere:
    """``missing`` are sentences about workers that have not applied the change, or gateways not heard of."""

    seconds: float
    workers: int
    missing: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 3),
            "workers": self.workers,
            "missing": list(self.missing),
        }

    @property
    def sentence(self) -> str:
        if self.missing:
            return f"not yet applied by: {'; '.join(self.missing)}"
        if not self.workers:
            return "no gateway is running; it counts from the next start on"
        return f"applied by {self.workers} worker{'s' * (self.workers > 1)} in {self.seconds:.3f} s"


def wait_until_applied(store: Store, number: int, seconds: float) -> AppliedEverywhere:
    """Until every worker has applied change ``number``, or the time is over."""
    begin = time.monotonic()
    while True:
        workers, missing = _reached(store, number)
        passed = time.monotonic() - begin
        if not missing or passed >= seconds:
            return AppliedEverywhere(passed, workers, missing)
        time.sleep(_POLL_SECONDS)


def _reached(store: Store, number: int) -> tuple[int, tuple[str, ...]]:
    now = datetime.now(UTC)
    with store.read() as view:
        gateways = {gateway.id: gateway for gateway in view.gateways.all()}
        workers = view.gateways.workers()
    missing = [
        f"gateway {gateway.name}, last seen {gateway.seen_at:%Y-%m-%d %H:%M:%S} UTC"
        for gateway in gateways.values()
        if now - gateway.seen_at > SEEN_WITHIN
    ]
    live = [
        worker
        for worker in workers
        if worker.gateway_id in gateways and now - gateways[worker.gateway_id].seen_at <= SEEN_WITHIN
    ]
    missing += [
        f"worker {worker.worker} of gateway {gateways[worker.gateway_id].name}"
        for worker in live
        if worker.applied_number < number
    ]
    return len(live), tuple(missing)
