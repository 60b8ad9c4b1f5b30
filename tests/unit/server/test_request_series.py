"""Requests counted by plain numbers come out as the client library would have them."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.server.request_series import RequestSeries


def exposed(series: RequestSeries) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry()
    registry.register(series)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_each_app_and_status_is_counted_and_each_app_timed() -> None:
    series = RequestSeries("x_")
    for app, status, seconds in (("a", 200, 0.0005), ("a", 200, 0.001), ("a", 502, 99.0), ("b", 200, 0.02)):
        series.count(app, status, seconds)
    values = exposed(series)
    assert values["x_requests_total", (("app", "a"), ("status", "200"))] == 2
    assert values["x_requests_total", (("app", "a"), ("status", "502"))] == 1
    assert values["x_requests_total", (("app", "b"), ("status", "200"))] == 1
    # A bucket holds what is at most its bound, and all buckets below it.
    assert values["x_request_seconds_bucket", (("app", "a"), ("le", "0.001"))] == 2
    assert values["x_request_seconds_bucket", (("app", "a"), ("le", "60.0"))] == 2
    assert values["x_request_seconds_bucket", (("app", "a"), ("le", "+Inf"))] == 3
    assert values["x_request_seconds_bucket", (("app", "b"), ("le", "0.01"))] == 0
    assert values["x_request_seconds_bucket", (("app", "b"), ("le", "0.025"))] == 1
    assert values["x_request_seconds_count", (("app", "a"),)] == 3
    assert values["x_request_seconds_sum", (("app", "a"),)] == 99.0015


def test_before_the_first_request_there_is_no_series() -> None:
    assert exposed(RequestSeries("x_")) == {}
