"""Workload: from a changed CRL file to the end of the last connection that rests on what it revokes.

5,000 WebSockets of 50 devices are open under `enforcement: session`. First one device is revoked and its
hundred connections have to end and no other, then all the others.
"""

import time
from contextlib import ExitStack
from typing import Final

from support.large_crl import crl_of

from benchmarks.load import Held, Load, LoadFailed, expect_only
from benchmarks.report import OURS, Quantity, Row, Workload
from benchmarks.requests import socket_request
from benchmarks.servers import gateway, streaming_app
from benchmarks.site import APP_HOST, MTLS_DOMAIN, Site

_DEVICES: Final = 50


def run(site: Site, load: Load, *, connections: int, repetitions: int) -> Workload:
    each = connections // _DEVICES
    rows = {f"one device, {each} connections": _empty(), f"{_DEVICES - 1} devices, all others": _empty()}
    with ExitStack() as stack:
        stack.enter_context(streaming_app(site))
        server = stack.enter_context(gateway(site, site.configuration(enforcement="session")))
        for repetition in range(repetitions):
            devices = [site.device() for _ in range(_DEVICES)]
            names = [f"socket-{repetition}-{number}" for number in range(_DEVICES)]
            result = load.run(
                "sign_ons",
                process=server.process_id,
                port=server.app_port,
                app_host=APP_HOST,
                mtls_domain=MTLS_DOMAIN,
                certificates=[str(site.write_device(*pair)) for pair in zip(names, devices, strict=True)],
                bodies=[site.message(name).decode() for name in names],
            )
            expect_only(result["statuses"]["return"], 200)
            with load.held(
                port=server.app_port,
                server_name=APP_HOST,
                count=connections,
                requests=[socket_request(server.app_port, cookies) for cookies in result["cookies"]],
                status=101,
                until_closed=[each, connections],
            ) as held:
                for title, revoked in zip(rows, (devices[:1], devices), strict=True):
                    crl = crl_of(site.corp, 0, [device.serial_number for device in revoked])
                    first, last = _revoke(site, held, crl)
                    rows[title]["first_ms"].append(first)
                    rows[title]["last_ms"].append(last)
                    rows[title]["span_ms"].append(last - first)
        negotiated = {OURS: load.negotiated(server.app_port, APP_HOST, None)}
    site.write_crl(site.corp.crl())
    return Workload(
        name="revocation",
        title="A CRL file changes: when the connections of revoked devices end",
        quantities=(
            Quantity("first_ms", "first closed, ms after the file"),
            Quantity("last_ms", "last closed, ms after the file"),
            Quantity("span_ms", "first to last, ms"),
        ),
        rows=tuple(Row(title, {OURS: values}) for title, values in rows.items()),
        negotiated=negotiated,
        notes=(
            f"{connections:,} WebSockets of {_DEVICES} devices at one worker, as their client sees them end. "
            "Noticing the file waits until it has been quiet for 10 ms.",
            "nginx, HAProxy, Caddy and Apache read a CRL when they are told to reload, and close no "
            "connection because of it.",
        ),
    )


def _revoke(site: Site, held: Held, crl: bytes) -> tuple[float, float]:
    """Milliseconds from the renamed file to the first and the last connection that ended."""
    began = time.monotonic()
    site.write_crl(crl)
    result = held.result()
    if result["others_closed"]:
        raise LoadFailed(f"{result['others_closed']} connections of devices ended that were not revoked")
    return (result["first"] - began) * 1_000, (result["last"] - began) * 1_000


def _empty() -> dict[str, list[float]]:
    return {"first_ms": [], "last_ms": [], "span_ms": []}
