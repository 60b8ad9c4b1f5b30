"""``python -m benchmarks.soak --minutes 30``: mixed load for a long time, every answer checked.

Sign-ons with trusted, revoked, foreign and no certificates, requests, WebSockets, large bodies, slow clients
and garbage, while configurations are reloaded, CRLs replaced and devices revoked. Memory and open files of
all the gateway's processes are sampled. It ends with 1 when an answer was wrong or something grew, and
writes ``results/soak.json``.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from support.gateway_process import GatewayProcess

from benchmarks import soak_actors as actors
from benchmarks.accounting import cpu_seconds, memory_bytes, open_descriptors, process_tree
from benchmarks.machine import describe
from benchmarks.series import percentile
from benchmarks.servers import gateway_under_test, streaming_app
from benchmarks.site import Site
from benchmarks.soak_actors import Stage
from benchmarks.soak_report import SOAK_FILE, add_section

RESULTS: Final = Path(__file__).parent / "results"
# How many of each at the same time, and for how many seconds each pauses between two turns.
_CAST: Final = (
    (actors.sign_on, 3, (0.0, 0.2)),
    (actors.requests, 3, (0.0, 0.5)),
    (actors.http2_requests, 2, (0.0, 0.5)),
    (actors.big_bodies, 1, (1.0, 3.0)),
    (actors.socket, 4, (0.0, 1.0)),
    (actors.slow_client, 4, (0.0, 1.0)),
    (actors.garbage, 2, (0.0, 0.3)),
    (actors.revocation, 1, (3.0, 7.0)),
    (actors.reload, 1, (8.0, 20.0)),
)
_SAMPLE_SECONDS: Final = 5.0
_LAST_TURN_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 3.0
_POOL_SECONDS: Final = 65.0  # after which idle connections to the app are closed for certain
# What may be added from the second quarter of the run to the last. Shorter runs are not judged by it: what is
# remembered for some minutes, such as keys that were used once, comes to a level only after those.
_MEMORY_BYTES: Final = 8 * 2**20
_JUDGED_FROM_SECONDS: Final = 600.0
_DESCRIPTORS: Final = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-soak-") as temporary:
        site = Site(Path(temporary))
        configuration = site.configuration(enforcement="session", workers=arguments.workers)
        cpus = os.sched_getaffinity(0) if arguments.workers > 1 else None
        with streaming_app(site), gateway_under_test(site, configuration, cpus=cpus) as gateway:
            result = uvloop.run(
                _soak(site, gateway, arguments.minutes * 60, arguments.seed, arguments.workers)
            )
    if not arguments.dry_run:
        (RESULTS / SOAK_FILE).write_text(json.dumps(result, indent=1) + "\n")
        add_section(RESULTS)
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}, indent=1))
    sys.exit(0 if result["passed"] else 1)


async def _soak(
    site: Site, gateway: GatewayProcess, seconds: float, seed: int, workers: int
) -> dict[str, Any]:
    stage = Stage(site, gateway, seed)
    await stage.publish()
    await asyncio.sleep(_SETTLE_SECONDS)
    idle = open_descriptors(gateway.process_id)
    cpu_before = cpu_seconds(gateway.process_id)
    samples: list[dict[str, float]] = []
    over = asyncio.Event()
    began = time.monotonic()
    async with asyncio.timeout(seconds + _LAST_TURN_SECONDS), asyncio.TaskGroup() as group:
        for actor, number, pause in _CAST:
            for each in range(number):
                group.create_task(actors.act(stage, actor, over, pause), name=f"{actor.__name__} {each}")
        while (elapsed := time.monotonic() - began) < seconds:
            samples.append({"seconds": round(elapsed, 1), **_sample(gateway)})
            await asyncio.sleep(min(_SAMPLE_SECONDS, seconds - elapsed))
        over.set()
    used = cpu_seconds(gateway.process_id) - cpu_before
    await asyncio.sleep(_POOL_SECONDS)
    left = open_descriptors(gateway.process_id) - idle
    tally, memory_growth = stage.tally, growth(samples, "memory_bytes")
    ends = tally.closed_after_ms
    errors = gateway.stderr_text()
    wrong = tally.wrong.total()
    let_through = int(gateway.metric("devicetrust_decisions_total", access="allow"))
    trusted = tally.right["sign-on, trusted"]
    grew = memory_growth > _MEMORY_BYTES and seconds >= _JUDGED_FROM_SECONDS
    findings = [
        *([f"{wrong} wrong answers"] if wrong else []),
        *([f"{let_through} sign-ons let through and {trusted} seen"] if let_through != trusted else []),
        *([f"memory grew by {memory_growth / 2**20:.1f} MiB"] if grew else []),
        *([f"{left} descriptors were left open"] if left > _DESCRIPTORS else []),
        *(["the gateway wrote to standard error"] if errors else []),
    ]
    return {
        "passed": not findings,
        "findings": findings,
        "machine": asdict(describe()),
        "minutes": seconds / 60,
        "workers": workers,
        "seed": seed,
        "right_answers": dict(sorted(tally.right.items())),
        "wrong_answers": dict(sorted(tally.wrong.items())),
        "wrong": tally.wrong_answers,
        "standard_error": errors[:4_000],
        "sockets_closed_after_revocation_ms": {
            "median": median(ends) if ends else None,
            "p99": percentile(ends, 99) if ends else None,
        },
        "cpu_seconds": used,
        "memory_growth_bytes": memory_growth,
        "descriptors_left": left,
        "samples": samples,
    }


def _sample(gateway: GatewayProcess) -> dict[str, float]:
    return {
        "memory_bytes": memory_bytes(gateway.process_id),
        "descriptors": open_descriptors(gateway.process_id),
        "processes": len(process_tree(gateway.process_id)),
    }


def growth(samples: list[dict[str, float]], key: str) -> float:
    """From the median of the second quarter to that of the last."""
    quarter = len(samples) // 4
    if not quarter:
        return 0.0
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return median(sample[key] for sample in last) - median(sample[key] for sample in second)


if __name__ == "__main__":
    main()
