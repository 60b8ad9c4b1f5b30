"""``python -m benchmarks [--quick]``: run all workloads, print the tables, write ``results/``."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import keep_alive_request, mtls_handshake, sign_on
from benchmarks.load import Load
from benchmarks.machine import describe
from benchmarks.report import Workload, machine_markdown, markdown, write_results
from benchmarks.servers import Servers, running_servers

RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions, in under 40 s; writes nothing")
    quick: bool = parser.parse_args().quick
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as temporary:
        directory = Path(temporary)
        load = Load(directory)
        machine = describe(load.keep_alive_generator)
        print(machine_markdown(machine), flush=True)
        workloads = []
        with running_servers(directory) as servers:
            for workload in _workloads(servers, load, quick=quick):
                workloads.append(workload())
                print("\n" + markdown(workloads[-1]), flush=True)
    how = "--quick" if quick else "the default run"
    print(f"{how}: {time.monotonic() - began:.0f} s")
    if not quick:
        write_results(RESULTS, machine, workloads, how)


def _workloads(servers: Servers, load: Load, *, quick: bool) -> tuple[Callable[[], Workload], ...]:
    if quick:
        return (
            lambda: mtls_handshake.run(servers, load, connections=200, repetitions=3),
            lambda: keep_alive_request.run(servers, load, seconds=1, repetitions=2),
            lambda: sign_on.run(servers, load, sign_ons=100, repetitions=2),
        )
    return (
        lambda: mtls_handshake.run(servers, load, connections=500, repetitions=9),
        lambda: keep_alive_request.run(servers, load, seconds=2, repetitions=9),
        lambda: sign_on.run(servers, load, sign_ons=300, repetitions=5),
    )


if __name__ == "__main__":
    main()
