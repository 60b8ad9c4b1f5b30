"""Workload: loading and replacing CRLs of 0, 10,000, 100,000 and 1,000,000 entries, and looking into them.

What it takes until a CRL is in force, how long the event loop stands still for it at most, what memory it
takes, and what one question costs. No peer does it: nginx and HAProxy read a CRL when they are reloaded.
"""

import json
import subprocess
import sys
from typing import Final

from support.large_crl import crl_of

from benchmarks.report import OURS, Quantity, Row, Workload
from benchmarks.site import Site

_ENTRIES: Final = (0, 10_000, 100_000, 1_000_000)
_SECONDS: Final = 120.0
_QUANTITIES: Final = (
    Quantity("load_ms", "at the start, ms"),
    Quantity("replace_ms", "from the new file until in force, ms"),
    Quantity("stall_ms", "worst stall of the event loop, ms"),
    Quantity("table_mib", "MiB shared by all processes"),
    Quantity("private_mib", "MiB of a process's own"),
    Quantity("look_up_ns", "one question, ns of CPU"),
)


def run(site: Site, *, repetitions: int) -> Workload:
    directory = site.directory / "crl-load"
    directory.mkdir(exist_ok=True)
    authority = directory / "ca.pem"
    authority.write_bytes(site.corp.pem)
    rows = []
    for entries in _ENTRIES:
        values: dict[str, list[float]] = {quantity.key: [] for quantity in _QUANTITIES}
        crls = [crl_of(site.corp, entries) for _ in range(2)]
        for _ in range(repetitions):
            files = [directory / "corp.crl", directory / "next.crl"]
            for file, crl in zip(files, crls, strict=True):
                file.write_bytes(crl)
            command = [sys.executable, "-m", "benchmarks.crl_owner", str(authority), *map(str, files)]
            ended = subprocess.run(command, stdout=subprocess.PIPE, timeout=_SECONDS, check=True, text=True)
            for key, value in json.loads(ended.stdout).items():
                values[key].append(value)
        rows.append(Row(f"{entries:,} entries", {OURS: values}))
    return Workload(
        name="crl_load",
        title="CRLs of growing length: loaded, replaced, looked into",
        quantities=_QUANTITIES,
        rows=tuple(rows),
        negotiated={},
        notes=(
            "A process that keeps CRLs as the gateway does, and nothing else. Large ones are parsed by a "
            "process of their own; noticing a new file waits until it has been quiet for 10 ms. A stall is "
            "how much later than asked for the loop comes back, without the time in which the kernel ran "
            "something else. The question is the whole one, dates and scope included.",
        ),
    )
