"""Workload: what a second worker brings, and what it costs.

Server, load generator and app share all CPUs here, and the server may use each of them. On a machine with
two, the second worker gets what the other two leave; what one worker does not share with the other is seen in
the CPU time of a request, which should stay what it was. The peer is nginx with one and two workers.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Final

from benchmarks.accounting import cpu_seconds_each, process_tree
from benchmarks.load import Load
from benchmarks.mtls_handshake import Challenge, measure
from benchmarks.report import OURS, NotMeasured, Quantity, Row, Workload
from benchmarks.series import CPU, RATE, Sample, interleaved, values_of
from benchmarks.servers import Server, gateway, kilobyte_app, nginx
from benchmarks.site import APP_HOST, MTLS_DOMAIN, Site

_CONNECTIONS: Final = 64  # enough for both workers to get their share of them
_SHARE: Final = "busiest_percent"

Start = Callable[[], AbstractContextManager[Server]]


def run(site: Site, load: Load, *, seconds: float, connections: int, repetitions: int) -> Workload:
    cpus = os.sched_getaffinity(0)
    everywhere = Load(site.directory, cpus)
    certificate = site.write_device("device-workers")
    starts: dict[str, Start] = {}
    for side, start in ((OURS, _gateway), ("nginx", _nginx)):
        for workers in (1, 2):
            name = f"{side}, {workers} worker{'s' * (workers > 1)}"
            starts[name] = partial(start, site, workers, cpus)
    rows: dict[str, dict[str, dict[str, list[float]]]] = {"kept-alive GET": {}, "mTLS handshake and GET": {}}
    negotiated = {}
    with ExitStack() as outer:
        outer.enter_context(kilobyte_app(site, cpus))
        # One at a time: gateways with one and with two workers have the same port.
        for variant in interleaved(tuple(starts), repetitions):
            side = variant.partition(",")[0]
            with starts[variant]() as server:
                if variant.startswith(f"{OURS}, 2") and len(process_tree(server.process_id)) < 3:
                    raise NotMeasured("this gateway runs one worker, whatever it is told")
                target, status = ("/challenge", 400) if side == OURS else ("/verified", 200)
                get = Challenge(f"n0.{MTLS_DOMAIN}", target, b"")
                ways: tuple[Callable[[], Sample], ...] = (
                    partial(everywhere.keep_alive, server, seconds, connections=_CONNECTIONS),
                    partial(measure, everywhere, server, get, [certificate], connections, status),
                )
                for title, way in zip(rows, ways, strict=True):
                    sample, share = _shared(server, way)
                    values = rows[title].setdefault(variant, {key: [] for key in (CPU, RATE, _SHARE)})
                    for key, series in values_of([sample]).items():
                        if key in values:
                            values[key] += series
                    values[_SHARE].append(share)
                negotiated[side] = load.negotiated(server.app_port, APP_HOST, None)
    return Workload(
        name="worker_scaling",
        title="One worker and two",
        quantities=(
            Quantity(CPU, "CPU µs each"),
            Quantity(RATE, "a second"),
            Quantity(_SHARE, "% of the CPU time used by the busiest process"),
        ),
        rows=tuple(Row(title, sides) for title, sides in rows.items()),
        negotiated=negotiated,
        notes=(
            f"All processes share {len(cpus)} CPUs, load generator and app among them: with two, the rate "
            "says how much of a second CPU they left, and not what two workers do on two free CPUs.",
            f"{_CONNECTIONS} kept-alive connections by wrk; handshakes by Python.",
        ),
    )


def _gateway(site: Site, workers: int, cpus: set[int]) -> AbstractContextManager[Server]:
    return gateway(site, site.configuration(workers=workers), cpus=cpus)


def _nginx(site: Site, workers: int, cpus: set[int]) -> AbstractContextManager[Server]:
    return nginx(site, workers=workers, cpus=cpus)


def _shared(server: Server, way: Callable[[], Sample]) -> tuple[Sample, float]:
    """The sample, and how much of the CPU time in percent its busiest process used."""
    before = cpu_seconds_each(server.process_id)
    sample = way()
    used = [
        seconds - before.get(process, 0.0) for process, seconds in cpu_seconds_each(server.process_id).items()
    ]
    return sample, max(used) / sum(used) * 100
