"""Workload: how long requests take at a fixed rate, all of them counted from when they were due.

The load is open: a request that is late does not hold back the next ones (`load_client.paced`), so that a
server that stalls is charged for everything that it kept waiting.
"""

from contextlib import ExitStack
from typing import Final

from benchmarks.load import Load
from benchmarks.report import Quantity, Row, Workload
from benchmarks.series import interleaved, percentile
from benchmarks.servers import Server, gateway, haproxy, kilobyte_app, nginx
from benchmarks.site import APP_HOST, Site

_PER_SECOND: Final = (500, 2_000)
_CONNECTIONS: Final = 16
_DIRECT: Final = "no proxy"
_PERCENTS: Final = (50, 99, 99.9)


def run(site: Site, load: Load, *, seconds: float, repetitions: int) -> Workload:
    with ExitStack() as stack:
        stack.enter_context(kilobyte_app(site))
        running = [stack.enter_context(start(site)) for start in (gateway, nginx, haproxy)]
        servers = {server.name: server for server in running}
        servers[_DIRECT] = Server(_DIRECT, running[0].process_id, site.upstream_port)
        rows = []
        for rate in _PER_SECOND:
            values = {side: {_key(percent): list[float]() for percent in _PERCENTS} for side in servers}
            for side in interleaved(tuple(servers), repetitions):
                _, latencies = load.paced(
                    servers[side],
                    seconds=seconds,
                    per_second=rate,
                    connections=_CONNECTIONS,
                    tls=side != _DIRECT,
                )
                for percent in _PERCENTS:
                    values[side][_key(percent)].append(percentile(latencies, percent))
            alone = values.pop(_DIRECT)
            rows += [Row(f"GET at {rate}/s", values), Row("the app alone", {_DIRECT: alone})]
        negotiated = {side.name: load.negotiated(side.app_port, APP_HOST, None) for side in running}
    return Workload(
        name="latency",
        title="Latency at a fixed rate",
        quantities=tuple(
            Quantity(_key(percent), f"p{percent:g}, ms", compared=percent < 99.9) for percent in _PERCENTS
        ),
        rows=tuple(rows),
        negotiated=negotiated,
        notes=(
            f"{_CONNECTIONS} connections, each with its own timetable; latency counts from when a request "
            "was due and not from when it could be sent.",
            f"`{_DIRECT}` is the same load on the app itself, without TLS: what generator and app take "
            "alone. Both share a CPU, so that the high percentiles are theirs as much as the server's.",
        ),
    )


def _key(percent: float) -> str:
    return f"p{percent:g}_ms"
