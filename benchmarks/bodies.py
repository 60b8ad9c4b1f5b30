"""Workload: bodies of 1 MB and 100 MB through the proxy, in both directions, on kept-alive TLS connections.

The peer is nginx with buffering to files switched off, so that both stream.
"""

from contextlib import ExitStack
from typing import Final

from benchmarks.load import Load, sample_of
from benchmarks.report import Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample, interleaved
from benchmarks.servers import gateway, nginx, streaming_app
from benchmarks.site import APP_HOST, Site

_CONNECTIONS: Final = 4
_SIZES: Final = (1_000_000, 100_000_000)


def run(site: Site, load: Load, *, megabytes: int, repetitions: int) -> Workload:
    """``megabytes`` of the smaller size for each repetition, and as many of the larger one."""
    with ExitStack() as stack:
        stack.enter_context(streaming_app(site))
        running = [stack.enter_context(start(site)) for start in (gateway, nginx)]
        servers = {server.name: server for server in running}
        rows = []
        for size in _SIZES:
            connections = _CONNECTIONS if size < 10_000_000 else 1
            for upload in (False, True):
                samples = {side: list[Sample]() for side in servers}
                for side in interleaved(tuple(servers), repetitions):
                    result = load.run(
                        "transfers",
                        process=servers[side].process_id,
                        port=servers[side].app_port,
                        server_name=APP_HOST,
                        upload=upload,
                        body_bytes=size,
                        connections=connections,
                        count=max(1, megabytes * 1_000_000 // size // connections),
                    )
                    samples[side].append(sample_of(result))
                title = f"{size // 1_000_000} MB {'up' if upload else 'down'}"
                rows.append(sampled_row(title, samples))
        negotiated = {side: load.negotiated(s.app_port, APP_HOST, None) for side, s in servers.items()}
    return Workload(
        name="bodies",
        title="Large bodies",
        quantities=cpu_and_rate("MB", "MB"),
        rows=tuple(rows),
        negotiated=negotiated,
        notes=(
            f"{_CONNECTIONS} connections for the smaller size, one for the larger, by Python; the app is a "
            "Python process. nginx has `proxy_request_buffering off` and `proxy_max_temp_file_size 0`.",
            "The type is application/octet-stream, in which nothing is looked for.",
        ),
    )
