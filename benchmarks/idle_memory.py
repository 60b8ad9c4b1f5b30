"""Workload: memory of open TLS connections that wait for the next request.

Proportional set size of all processes of the server, before and after 5,000 clients have connected, sent
one request each and fallen silent. The peer is nginx.
"""

import time
from contextlib import ExitStack
from typing import Final

from benchmarks.accounting import memory_bytes
from benchmarks.load import Load
from benchmarks.report import Quantity, Row, Workload
from benchmarks.servers import gateway, kilobyte_app, nginx
from benchmarks.site import APP_HOST, Site

_FIRST: Final = 20
_SETTLE_SECONDS: Final = 1.0
_SETTLE_TURNS: Final = 15
_SETTLED_BYTES: Final = 65_536


def run(site: Site, load: Load, *, connections: int, repetitions: int) -> Workload:
    values: dict[str, dict[str, list[float]]] = {}
    negotiated = {}
    for _ in range(repetitions):
        # A fresh process each time: one that has had 5,000 connections keeps some of their memory.
        for start in (gateway, nginx):
            with ExitStack() as stack:
                stack.enter_context(kilobyte_app(site))
                server = stack.enter_context(start(site))
                negotiated[server.name] = load.negotiated(server.app_port, APP_HOST, None)
                request = f"GET / HTTP/1.1\r\nHost: {APP_HOST}:{server.app_port}\r\n\r\n"
                task = {
                    "port": server.app_port,
                    "server_name": APP_HOST,
                    "requests": [request],
                    "status": 200,
                }
                with load.held(**task, count=_FIRST):
                    pass  # what the first requests of all bring into memory is no connection's
                before = _settled_memory(server.process_id)
                with load.held(**task, count=connections):
                    after = _settled_memory(server.process_id)
            measured = values.setdefault(server.name, {"kib_each": [], "before_mib": [], "after_mib": []})
            measured["kib_each"].append((after - before) / connections / 1024)
            measured["before_mib"].append(before / 2**20)
            measured["after_mib"].append(after / 2**20)
    return Workload(
        name="idle_memory",
        title="Memory of idle TLS connections",
        quantities=(
            Quantity("kib_each", "KiB per connection", compared=True),
            Quantity("before_mib", "MiB without connections"),
            Quantity("after_mib", f"MiB with {connections:,}"),
        ),
        rows=(Row(f"{connections:,} connections", values),),
        negotiated=negotiated,
        notes=(
            "Proportional set size (shared pages are counted once) of all processes of the server. What the "
            "kernel holds for the sockets is not in it, and is the same for both.",
        ),
    )


def _settled_memory(process_id: int) -> int:
    """Memory once it stays what it is: processes that help at the start are gone then."""
    memory = memory_bytes(process_id)
    for _ in range(_SETTLE_TURNS):
        time.sleep(_SETTLE_SECONDS)
        before, memory = memory, memory_bytes(process_id)
        if abs(memory - before) < _SETTLED_BYTES:
            break
    return memory
