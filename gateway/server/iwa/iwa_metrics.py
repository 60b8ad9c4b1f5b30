"""What the IWA web app counts (Prometheus, `devicetrust_iwa_…`)."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from gateway import __version__

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IwaMetrics:
    def __init__(self, connections: Callable[[], int], is_registered: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "devicetrust_iwa_requests",
            "Requests by step (device, user, page) and result: ok, or the code of the refusal.",
            ["step", "result"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "devicetrust_iwa_request_seconds",
            "From a request's head to its answer, with the look-up in the directory.",
            ["step"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reports = Counter(
            "devicetrust_iwa_reports",
            "Reports to the organization: ok or failed.",
            ["result"],
            registry=self.registry,
        )
        self.last_report = Gauge(
            "devicetrust_iwa_last_report_timestamp_seconds",
            "When the organization took the last report.",
            registry=self.registry,
        )
        self.certificate_not_after = Gauge(
            "devicetrust_iwa_certificate_not_after_timestamp_seconds",
            "When the certificate of listen.https ends; 0 without one.",
            registry=self.registry,
        )
        Gauge("devicetrust_iwa_connections", "Open connections.", registry=self.registry).set_function(
            connections
        )
        Gauge(
            "devicetrust_iwa_registered",
            "1 while the organization is known to know this IWA web app.",
            registry=self.registry,
        ).set_function(is_registered)
        Info("devicetrust_iwa_build", "Version.", registry=self.registry).info({"version": __version__})

    async def page(self) -> bytes:
        return generate_latest(self.registry)
