"""Requests counted and timed, as plain numbers that become metrics when somebody scrapes them.

The client library's counters take a lock and walk their buckets for every observation, which for two series
a request is a tenth of what a proxied request may cost. A worker counts in one thread, so here it is two
additions and a binary search; the library's exposition is used unchanged.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_BUCKET_NAMES: Final = (*map(str, _BUCKETS), "+Inf")


class RequestSeries(Collector):
    """`devicetrust_requests_total` and `devicetrust_request_seconds`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._counts: dict[tuple[str, int], int] = {}
        # For each app: how many fell into each bucket (not yet cumulative), and the sum of seconds.
        self._seconds: dict[str, tuple[list[int], list[float]]] = {}

    def count(self, app: str, status: int, seconds: float) -> None:
        """One request. There are as many series as apps and status codes."""
        key = (app, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        timed = self._seconds.get(app)
        if timed is None:
            timed = self._seconds[app] = ([0] * len(_BUCKET_NAMES), [0.0])
        buckets, total = timed
        buckets[bisect_left(_BUCKETS, seconds)] += 1
        total[0] += seconds

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            self._prefix + "requests", "Requests answered.", labels=("app", "status")
        )
        for (app, status), count in self._counts.items():
            requests.add_metric((app, str(status)), count)
        yield requests
        timed = HistogramMetricFamily(
            self._prefix + "request_seconds",
            "From the request's head to the end of its answer.",
            labels=("app",),
        )
        for app, (buckets, total) in self._seconds.items():
            cumulative = list(zip(_BUCKET_NAMES, accumulate(map(float, buckets)), strict=True))
            timed.add_metric((app,), cumulative, total[0])
        yield timed
