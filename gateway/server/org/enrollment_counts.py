"""Enrollments for monitoring, and refusals for the org's own log: there they cost nobody else anything."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from gateway.model.quoting import printable
from gateway.server.log import LogWriter
from gateway.server.org.enrollment_certificates import Outcome

_MAX_DETAIL_CHARACTERS: Final = 300


class EnrollmentCounts:
    def __init__(self, registry: CollectorRegistry, log: LogWriter) -> None:
        self._log = log
        self._count = Counter(
            "devicetrust_enrollments_total",
            "Certificates by /enroll/ (issued, renewed), and refusals with their codes.",
            ["result", "reason"],
            registry=registry,
        )

    def tell(self, outcome: Outcome) -> None:
        reason = "" if outcome.reason is None else outcome.reason.value
        self._count.labels(outcome.result, reason).inc()
        if reason:
            self._log.note(
                "enrollment_refused",
                reason=reason,
                detail=printable(outcome.detail, _MAX_DETAIL_CHARACTERS)[1:-1],
                ip=outcome.ip,
                reference_id=outcome.reference_id,
            )
