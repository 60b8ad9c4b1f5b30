"""The metrics of the supervisor's own, and the page of all processes together."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import Counter, Gauge, generate_latest

from gateway.pki.authority import Authority
from gateway.pki.revocation import HeldCrl, RevocationIndex
from gateway.server.metrics import Metrics
from gateway.server.scrape import Families, merge, of_the_gone, parse, render
from gateway.tls.contexts import ServerCertificate


class SupervisorMetrics:
    def __init__(self) -> None:
        self._own = Metrics()
        registry = self._own.registry
        self._workers = Gauge("devicetrust_workers", "Worker processes that run.", registry=registry)
        self._restarts = Counter(
            "devicetrust_worker_restarts_total",
            "Workers that took the place of one that had ended.",
            registry=registry,
        )
        self._changes = 0
        self._org_number: int | None = None
        self._says_store = False
        self._store = Gauge(
            "devicetrust_store_reachable", "1 while the org sees the changes in the store.", registry=None
        )
        self._gone: Families = {}

    def page(self, workers: Iterable[Families], running: int) -> bytes:
        self._workers.set(running)
        return render(merge((parse(generate_latest(self._own.registry)), self._gone, *workers)))

    def process_has_ended(self, counted: Families) -> None:
        """What it counted goes on counting, so that no sum ever falls."""
        self._gone = merge((self._gone, of_the_gone(counted)))

    def worker_was_replaced(self) -> None:
        self._restarts.inc()

    def changed(self) -> None:
        """Of something that comes from files. With a store, its own number counts."""
        self._changes += 1
        if self._org_number is None:
            self._own.change_number.set(self._changes)

    def changed_to(self, number: int) -> None:
        """The org has said all up to this change in the store."""
        self._org_number = number
        self._own.change_number.set(number)

    def store_reachable(self, reachable: bool) -> None:
        """Not on the page before it is known."""
        if not self._says_store:
            self._says_store = True
            self._own.registry.register(self._store)
        self._store.set(reachable)

    def certificates(self, certificates: Iterable[ServerCertificate], now: datetime) -> None:
        self._own.certificates(certificates)
        self._own.count_expiring(now)

    def count_expiring(self, now: datetime) -> None:
        self._own.count_expiring(now)

    def crls(self, authorities: Iterable[Authority], index: RevocationIndex) -> None:
        report: dict[str, tuple[int, datetime | None]] = {}
        for authority in authorities:
            held = [crl for c in authority.certificates for crl in index.held_for(c.issuer_hash)]
            earliest = min((crl.next_update for crl in held), default=None)
            report[authority.name] = sum(map(_entries, held)), earliest
        self._own.crls(report)


def _entries(crl: HeldCrl) -> int:
    return len(crl.full.revoked) + (0 if crl.delta is None else len(crl.delta.revoked))
