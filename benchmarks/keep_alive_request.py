"""Workload: GET requests on TLS connections that stay open, passed on to an app that answers a kilobyte.

The peers are nginx, HAProxy, Caddy and a proxy on aiohttp, one worker each.

* GET: as fast as the server answers, with no header field but Host.
* browser's fields: the same with what a browser sends.
* same rate: all at one rate that none is busy with. Whoever answers faster keeps load generator and app
  awake, and sending to a process that sleeps costs the sender several times as much; here all pay that.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from benchmarks.load import CONNECTIONS, PACED_CONNECTIONS, Load
from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.report import Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample, interleaved
from benchmarks.servers import (
    UPSTREAM_BODY_BYTES,
    Server,
    aiohttp_proxy,
    caddy,
    gateway,
    haproxy,
    kilobyte_app,
    nginx,
)
from benchmarks.site import APP_HOST, Site

PER_SECOND: Final = 2_000

_BARE: Final = "GET, only Host"
_BROWSER: Final = "GET, a browser's fields"
_PACED: Final = f"GET, all at {PER_SECOND}/s"
_BROWSER_FIELDS: Final = (
    f"User-Agent: {WINDOWS_CHROME}",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-US,en;q=0.9",
    "Cache-Control: max-age=0",
    'Sec-CH-UA: "Chromium";v="140", "Not=A?Brand";v="24"',
    "Sec-CH-UA-Mobile: ?0",
    'Sec-CH-UA-Platform: "Windows"',
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Cookie: session=3b1f9d117c5b1f042f5e4d0c9f7a4a4f; theme=dark",
)
# Caddy and aiohttp are far off at any rate: one variant is enough to show it.
_BARE_ONLY: Final = ("Caddy", "aiohttp")


def run(site: Site, load: Load, *, seconds: float, repetitions: int) -> Workload:
    ways: dict[str, Callable[[Server], Sample]] = {
        _BARE: lambda server: load.keep_alive(server, seconds),
        _BROWSER: lambda server: load.keep_alive(server, seconds, _BROWSER_FIELDS),
        _PACED: lambda server: load.paced(server, seconds=seconds, per_second=PER_SECOND)[0],
    }
    with ExitStack() as stack:
        stack.enter_context(kilobyte_app(site))
        running = [
            stack.enter_context(start(site)) for start in (gateway, nginx, haproxy, caddy, aiohttp_proxy)
        ]
        servers = {server.name: server for server in running}
        samples: dict[str, dict[str, list[Sample]]] = {}
        for way, measure in ways.items():
            sides = [side for side in servers if way == _BARE or side not in _BARE_ONLY]
            samples[way] = {side: [] for side in sides}
            for side in interleaved(sides, repetitions):
                samples[way][side].append(measure(servers[side]))
        negotiated = {side: load.negotiated(s.app_port, APP_HOST, None) for side, s in servers.items()}
    return Workload(
        name="keep_alive_request",
        title="Proxied GET on a kept-alive TLS connection",
        quantities=cpu_and_rate("request"),
        rows=tuple(sampled_row(way, sides) for way, sides in samples.items()),
        negotiated=negotiated,
        notes=(
            f"{CONNECTIONS} connections by wrk, at a fixed rate {PACED_CONNECTIONS} by Python; the app is "
            f"another nginx, which answers {UPSTREAM_BODY_BYTES} bytes from memory. `enforcement: sign_on`: "
            "a request is looked through for stray sign-on messages and spoofed headers, but needs no "
            "session.",
            "Sending to a process that sleeps costs more than sending to one that is awake: as fast as "
            "possible, the faster side also has the cheaper sends; at the same rate all pay the same.",
        ),
    )
