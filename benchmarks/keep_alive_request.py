"""Workload: GET requests on TLS connections that stay open, passed on to an app that answers a kilobyte.

The peer is nginx with ``proxy_pass`` and kept-alive connections to the same app, one worker each. Both write
an access log and set X-Forwarded-For, -Proto and -Host.

* GET: as fast as the server answers, with no header field but Host.
* browser's fields: the same with what a browser sends.
* same rate: both sides at one rate that neither is busy with. Whoever answers faster keeps load generator and
  app awake, and sending to a process that sleeps costs the sender several times as much; here both
  pay that.
"""

from collections.abc import Callable
from typing import Final

from benchmarks.load import CONNECTIONS, Load
from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.report import Row, Workload
from benchmarks.series import Sample, interleaved
from benchmarks.servers import APP_HOST, UPSTREAM_BODY_BYTES, Servers

PER_SECOND: Final = 2_000

_BARE: Final = "GET, only Host"
_BROWSER: Final = "GET, a browser's fields"
_PACED: Final = f"GET, both at {PER_SECOND}/s"
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


def run(servers: Servers, load: Load, *, seconds: float, repetitions: int) -> Workload:
    site = servers.site
    ends = {
        "nginx": (servers.nginx_process_id, site.nginx_app_port),
        "gateway": (servers.gateway_process_id, site.https_port),
    }
    ways: dict[str, Callable[[int, int], Sample]] = {
        _BARE: lambda process, port: load.keep_alive(process, port, APP_HOST, seconds),
        _BROWSER: lambda process, port: load.keep_alive(process, port, APP_HOST, seconds, _BROWSER_FIELDS),
        _PACED: lambda process, port: load.paced(
            process, port, APP_HOST, count=int(PER_SECOND * seconds), per_second=PER_SECOND
        ),
    }
    samples: dict[tuple[str, str], list[Sample]] = {(way, side): [] for way in ways for side in ends}
    for way, measure in ways.items():
        for side in interleaved(tuple(ends), repetitions):
            samples[way, side].append(measure(*ends[side]))
    return Workload(
        name="keep_alive_request",
        title="Proxied GET on a kept-alive TLS connection",
        unit="request",
        rows=tuple(Row(way, tuple(samples[way, "gateway"]), tuple(samples[way, "nginx"])) for way in ways),
        negotiated={side: load.negotiated(port, APP_HOST, None) for side, (_, port) in ends.items()},
        notes=(
            f"{CONNECTIONS} connections by {load.keep_alive_generator}, at a fixed rate 8 by Python; the app "
            f"is another nginx, which answers {UPSTREAM_BODY_BYTES} bytes from memory. "
            "`enforcement: sign_on`: a request is looked through for stray sign-on messages and spoofed "
            "headers, but needs no session.",
            "Sending to a process that sleeps costs more than sending to one that is awake: as fast as "
            "possible, the faster side also has the cheaper sends; at the same rate both pay the same.",
        ),
    )
