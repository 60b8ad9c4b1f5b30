"""Workload: GET requests over HTTP/2 by h2load, passed on over HTTP/1.1. The peer is nginx with ``http2``."""

from contextlib import ExitStack
from functools import partial
from typing import Final

from benchmarks.load import CONNECTIONS, Load
from benchmarks.report import NotMeasured, Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample, interleaved
from benchmarks.servers import UPSTREAM_BODY_BYTES, gateway, kilobyte_app, nginx
from benchmarks.site import APP_HOST, Site

_STREAMS: Final = (1, 10)


def run(site: Site, load: Load, *, seconds: float, repetitions: int) -> Workload:
    with ExitStack() as stack:
        stack.enter_context(kilobyte_app(site))
        running = [stack.enter_context(start(site)) for start in (gateway, partial(nginx, http2=True))]
        servers = {server.name: server for server in running}
        if not load.offers(running[0], "h2"):
            raise NotMeasured("this gateway does not offer HTTP/2")
        rows = []
        for streams in _STREAMS:
            samples = {side: list[Sample]() for side in servers}
            for side in interleaved(tuple(servers), repetitions):
                samples[side].append(load.http2(servers[side], seconds, streams))
            rows.append(sampled_row(f"GET, {streams} at once on each connection", samples))
        negotiated = {side: load.negotiated(s.app_port, APP_HOST, None) for side, s in servers.items()}
    return Workload(
        name="http2_request",
        title="Proxied GET over HTTP/2",
        quantities=cpu_and_rate("request"),
        rows=tuple(rows),
        negotiated=negotiated,
        notes=(
            f"{CONNECTIONS} connections by h2load; the app is another nginx, which answers "
            f"{UPSTREAM_BODY_BYTES} bytes from memory over HTTP/1.1.",
        ),
    )
