"""The metrics of one worker (contract: Metrics), counted from events and reports."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from gateway import __version__
from gateway.model.events import (
    ChallengeAbandoned,
    ChallengeAnswered,
    ChallengeBegun,
    Event,
    MessageAccepted,
    MessageRefused,
    RequestServed,
    SignOnDecided,
    TicketRefused,
)
from gateway.server.request_series import RequestSeries
from gateway.tls.contexts import ServerCertificate

_HANDSHAKE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_WITHIN_DAYS: Final = (7, 30)


class Metrics:
    def __init__(self) -> None:
        # When a series began is of no use here, and would double the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no annotation for it
        registry = self.registry = CollectorRegistry()
        prefix = "devicetrust_"

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(prefix + name, help_text, labels, registry=registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(prefix + name, help_text, labels, registry=registry)

        self._handshakes = counter("handshakes_total", "TLS handshakes, by outcome.", "role", "result")
        self._handshake_seconds = Histogram(
            prefix + "handshake_seconds",
            "From the accepted connection to the finished handshake.",
            ("role",),
            buckets=_HANDSHAKE_BUCKETS,
            registry=registry,
        )
        self._challenges = counter(
            "challenges_total", "Challenges begun, answered and abandoned.", "app", "verdict", "reason"
        )
        self._decisions = counter("decisions_total", "Sign-on decisions.", "app", "access", "reason")
        self._messages = counter("messages_total", "Federation messages.", "app", "protocol", "result")
        self._requests = RequestSeries(prefix)
        registry.register(self._requests)
        self._upstream_errors = counter("upstream_errors_total", "Failures of apps.", "app", "kind")
        self.upstreams_out = gauge(
            "upstreams_out", "Addresses of apps that failed and are passed over for a while.", "app"
        )
        self._handshake_series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._connections = gauge("connections", "Open connections.", "role")
        self._connection_series: dict[str, Gauge] = {}
        self._shed = counter("connections_shed_total", "New connections closed for a bound.", "reason")
        self.closed_by_revocation = counter(
            "connections_closed_by_revocation_total", "Connections closed because their device lost trust."
        )
        self.revocation_seconds = Histogram(
            prefix + "revocation_seconds",
            "From a change of the revocation index to the last connection closed by it.",
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1),
            registry=registry,
        )
        self._revoked_certificates = gauge(
            "revoked_certificates", "Entries of the revocation index.", "authority"
        )
        self._crl_next_update = gauge(
            "crl_next_update_timestamp_seconds", "When the earliest CRL of an authority ends.", "authority"
        )
        self.spool_bytes = gauge("system_log_spool_bytes", "Sign-on events on their way to the store.")
        self.spool_limit_bytes = gauge(
            "system_log_spool_limit_bytes", "At this size sign-ons are refused, or go on unlogged."
        )
        self._one_use_claims = counter(
            "one_use_claims_total",
            "Claims of assertions and tickets in a fleet: who said whether it was the first.",
            "where",
            "result",
        )
        self.unlogged = counter(
            "system_log_unlogged_total", "Events of sign-ons that went lost because the spool was full."
        )
        self._certificate_ends: list[datetime] = []
        self._expiring = gauge("certificates_expiring", "Server certificates that end soon.", "within")
        self.change_number = gauge(
            "change_number", "The last change in the store that is known here; without a store, how many."
        )
        gauge("build_info", "The version that runs.", "version").labels(__version__).set(1)

    def handshake(self, role: str, result: str, seconds: float) -> None:
        # Finding a series by its labels costs more than counting. There are as many as roles and results.
        counted = self._handshake_series.get((role, result))
        if counted is None:
            counted = self._handshakes.labels(role, result), self._handshake_seconds.labels(role)
            self._handshake_series[role, result] = counted
        counted[0].inc()
        if result == "ok":
            counted[1].observe(seconds)

    def connection(self, role: str, change: int) -> None:
        """A connection was opened (1) or closed (-1)."""
        gauge = self._connection_series.get(role)
        if gauge is None:
            gauge = self._connection_series[role] = self._connections.labels(role)
        gauge.inc(change)

    def shed(self, reason: str) -> None:
        self._shed.labels(reason).inc()

    def certificates(self, certificates: Iterable[ServerCertificate]) -> None:
        self._certificate_ends = [c.chain[0].not_valid_after_utc for c in certificates]

    def count_expiring(self, now: datetime) -> None:
        """To be called now and then: certificates come near their end without anything happening."""
        for days in _WITHIN_DAYS:
            soon = sum((end - now).total_seconds() < days * 86_400 for end in self._certificate_ends)
            self._expiring.labels(f"{days}d").set(soon)

    def crls(self, held: Mapping[str, tuple[int, datetime | None]]) -> None:
        """Authority → (revoked certificates, earliest nextUpdate or None). One that is gone, or holds
        no CRL any more, leaves no value behind that an alarm would go by."""
        self._revoked_certificates.clear()
        self._crl_next_update.clear()
        for authority, (revoked, next_update) in held.items():
            self._revoked_certificates.labels(authority).set(revoked)
            if next_update is not None:
                self._crl_next_update.labels(authority).set(next_update.timestamp())

    def one_use_claim(self, where: str, result: str) -> None:
        self._one_use_claims.labels(where, result).inc()

    def spooled(self, used_bytes: int, limit_bytes: int) -> None:
        self.spool_bytes.set(used_bytes)
        self.spool_limit_bytes.set(limit_bytes)

    def count(self, event: Event) -> None:
        match event:
            case RequestServed():
                self._requests.count(event.app, event.status, event.seconds)
                if event.upstream_error is not None:
                    self._upstream_errors.labels(event.app, event.upstream_error).inc()
            case SignOnDecided():
                self._decisions.labels(event.app, event.access, event.reason).inc()
            case MessageAccepted():
                self._messages.labels(event.app, event.protocol, "accepted").inc()
            case MessageRefused():
                self._messages.labels(event.app, event.protocol, event.reason).inc()
            case ChallengeBegun():
                self._challenges.labels(event.app, "begun", "").inc()
            case ChallengeAnswered():
                self._challenges.labels(event.app, event.verdict, event.reason).inc()
            case ChallengeAbandoned():
                self._challenges.labels(event.app, event.stage, "").inc()
            case TicketRefused():
                self._challenges.labels(event.app, "refused", event.reason).inc()
