"""Workload: GET requests on TLS connections that stay open, passed on to an app that answers a kilobyte.

The peer is nginx with ``proxy_pass`` and kept-alive connections to the same app, one worker each. Both write
an access log and set X-Forwarded-For, -Proto and -Host.
"""

from typing import Final

from benchmarks.load import CONNECTIONS, Load
from benchmarks.report import Row, Workload
from benchmarks.series import Sample, interleaved
from benchmarks.servers import APP_HOST, UPSTREAM_BODY_BYTES, Servers

_SIDES: Final = ("nginx", "gateway")


def run(servers: Servers, load: Load, *, seconds: float, repetitions: int) -> Workload:
    site = servers.site
    ends = {
        "gateway": (servers.gateway_process_id, site.https_port),
        "nginx": (servers.nginx_process_id, site.nginx_app_port),
    }
    samples: dict[str, list[Sample]] = {side: [] for side in _SIDES}
    for side in interleaved(_SIDES, repetitions):
        process, port = ends[side]
        samples[side].append(load.keep_alive(process, port, APP_HOST, seconds))
    return Workload(
        name="keep_alive_request",
        title="Proxied GET on a kept-alive TLS connection",
        unit="request",
        rows=(Row("GET, 1 KB", tuple(samples["gateway"]), tuple(samples["nginx"])),),
        negotiated={side: load.negotiated(port, APP_HOST, None) for side, (_, port) in ends.items()},
        notes=(
            f"{CONNECTIONS} connections by {load.keep_alive_generator}; the app is another nginx, which "
            f"answers {UPSTREAM_BODY_BYTES} bytes from memory. `enforcement: sign_on`: a request is looked "
            "through for stray sign-on messages and spoofed headers, but needs no session.",
        ),
    )
