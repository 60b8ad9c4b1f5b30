"""``python -m benchmarks [--quick] [WORKLOAD …]``: run workloads, print the tables, write ``results/``."""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks import (
    bodies,
    crl_load,
    enrollment,
    http2_request,
    idle_memory,
    issue,
    keep_alive_request,
    latency,
    logged_sign_on,
    million_certificates,
    mtls_crl,
    mtls_handshake,
    revocation,
    revoke_to_closed,
    sign_on,
    soak_report,
    system_log,
    worker_scaling,
)
from benchmarks.chart import bars_of, draw
from benchmarks.load import Load
from benchmarks.machine import describe
from benchmarks.report import NotMeasured, Skipped, Workload, machine_markdown, markdown, write_results
from benchmarks.site import Site

RESULTS: Final = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions; writes nothing")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only these; writes nothing")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as temporary:
        directory = Path(temporary)
        site, load = Site(directory), Load(directory)
        known = _workloads(site, load, quick=arguments.quick)
        wanted = arguments.workloads or list(known)
        if unknown := set(wanted) - set(known):
            parser.error(f"no such workload: {', '.join(sorted(unknown))} (there are {', '.join(known)})")
        machine = describe()
        print(machine_markdown(machine), flush=True)
        results = []
        for name in wanted:
            results.append(_measured(name, known[name]))
            print("\n" + markdown(results[-1]), flush=True)
    how = "--quick" if arguments.quick else "the default run"
    print(f"{how}: {time.monotonic() - began:.0f} s")
    if not arguments.quick and not arguments.workloads:
        write_results(RESULTS, machine, results, how)
        soak_report.add_section(RESULTS)
        caption = f"{machine.date[:10]}; {machine.cpu.partition(' (cpu')[0]}, {machine.cores} cores"
        (RESULTS / "chart.svg").write_text(draw(bars_of(results), caption))


def _measured(name: str, workload: Callable[[], Workload]) -> Workload | Skipped:
    try:
        return workload()
    except NotMeasured as reason:
        return Skipped(name, str(reason))


def _workloads(site: Site, load: Load, *, quick: bool) -> Mapping[str, Callable[[], Workload]]:
    """By name, in the order of the report. Each takes less than 90 s by default, but for those of stores:
    these take some minutes each, for a million rows on two engines; all of them half an hour."""
    if quick:
        return {
            "mtls_handshake": lambda: mtls_handshake.run(site, load, connections=150, repetitions=2),
            "mtls_crl": lambda: mtls_crl.run(site, load, connections=100, repetitions=1),
            "crl_load": lambda: crl_load.run(site, repetitions=1),
            "sign_on": lambda: sign_on.run(site, load, sign_ons=60, repetitions=2),
            "keep_alive_request": lambda: keep_alive_request.run(site, load, seconds=1, repetitions=2),
            "http2_request": lambda: http2_request.run(site, load, seconds=1, repetitions=2),
            "bodies": lambda: bodies.run(site, load, megabytes=100, repetitions=1),
            "latency": lambda: latency.run(site, load, seconds=1, repetitions=1),
            "idle_memory": lambda: idle_memory.run(site, load, connections=500, repetitions=1),
            "revocation": lambda: revocation.run(site, load, connections=500, repetitions=1),
            "worker_scaling": lambda: worker_scaling.run(
                site, load, seconds=1, connections=100, repetitions=1
            ),
            "issue": lambda: issue.run(site.directory, load, certificates=60, repetitions=1),
            "enrollment": lambda: enrollment.run(site.directory, load, people=16, tickets=200, repetitions=1),
            "revoke_to_closed": lambda: revoke_to_closed.run(
                site.directory, load, connections=500, devices=10, revocations=5, repetitions=1
            ),
            "logged_sign_on": lambda: logged_sign_on.run(site.directory, load, sign_ons=60, repetitions=1),
            "million_certificates": lambda: million_certificates.run(
                site.directory, load, certificates=10_000, ocsp_requests=100, repetitions=1
            ),
            "system_log": lambda: system_log.run(site.directory, events=10_000, one_by_one=50, repetitions=1),
        }
    return {
        "mtls_handshake": lambda: mtls_handshake.run(site, load, connections=400, repetitions=7),
        "mtls_crl": lambda: mtls_crl.run(site, load, connections=300, repetitions=3),
        "crl_load": lambda: crl_load.run(site, repetitions=3),
        "sign_on": lambda: sign_on.run(site, load, sign_ons=200, repetitions=5),
        "keep_alive_request": lambda: keep_alive_request.run(site, load, seconds=2, repetitions=5),
        "http2_request": lambda: http2_request.run(site, load, seconds=2, repetitions=5),
        "bodies": lambda: bodies.run(site, load, megabytes=400, repetitions=3),
        "latency": lambda: latency.run(site, load, seconds=2.5, repetitions=3),
        "idle_memory": lambda: idle_memory.run(site, load, connections=5_000, repetitions=1),
        "revocation": lambda: revocation.run(site, load, connections=5_000, repetitions=2),
        "worker_scaling": lambda: worker_scaling.run(site, load, seconds=2, connections=300, repetitions=3),
        "issue": lambda: issue.run(site.directory, load, certificates=400, repetitions=3),
        "enrollment": lambda: enrollment.run(site.directory, load, people=200, tickets=2_000, repetitions=3),
        "revoke_to_closed": lambda: revoke_to_closed.run(
            site.directory, load, connections=5_000, devices=50, revocations=49, repetitions=2
        ),
        "logged_sign_on": lambda: logged_sign_on.run(site.directory, load, sign_ons=200, repetitions=5),
        "million_certificates": lambda: million_certificates.run(
            site.directory, load, certificates=1_000_000, ocsp_requests=1_000, repetitions=3
        ),
        "system_log": lambda: system_log.run(site.directory, events=1_000_000, one_by_one=200, repetitions=3),
    }


if __name__ == "__main__":
    main()
