"""Results as a table for people and as JSON for programs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import Negotiated
from benchmarks.machine import Machine
from benchmarks.series import Sample, Spread, ratio, spread


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured on both sides; ``theirs`` is empty where no row of the workload has a peer."""

    title: str
    ours: tuple[Sample, ...]
    theirs: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    title: str
    unit: str
    rows: tuple[Row, ...]
    negotiated: Mapping[str, Negotiated]
    notes: tuple[str, ...]


def markdown(workload: Workload) -> str:
    """The section of one workload."""
    unit = workload.unit
    sides = ["gateway", "nginx"] if any(row.theirs for row in workload.rows) else ["gateway"]
    columns = [f"{side}, CPU µs per {unit}" for side in sides]
    if len(sides) == 2:
        columns.append("ratio")
    columns += [f"{side}, {unit}s/s" for side in sides]
    lines = [
        f"## {workload.title} (`{workload.name}.py`)",
        "",
        f"| | {' | '.join(columns)} |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [_table_line(row) for row in workload.rows]
    lines += ["", *(f"- {side}: {_negotiated_text(value)}" for side, value in workload.negotiated.items())]
    lines += [f"- {note}" for note in workload.notes]
    return "\n".join(lines) + "\n"


def machine_markdown(machine: Machine) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine.gateway_packages.items())
    return "\n".join(
        [
            f"- {machine.date}; {machine.cpu}, {machine.cores} cores; Linux {machine.kernel},"
            f" {machine.system}",
            f"- gateway: Python {machine.python}, {packages}, {machine.gateway_openssl} (in cryptography)",
            f"- nginx {machine.nginx}; client {machine.client_openssl}; load by Python and"
            f" {machine.load_generator}",
        ]
    )


def write_results(directory: Path, machine: Machine, workloads: Iterable[Workload], how: str) -> None:
    """One JSON file for each workload, and README.md with all of them."""
    sections = []
    for workload in workloads:
        (directory / f"{workload.name}.json").write_text(
            json.dumps(_plain(machine, workload, how), indent=1) + "\n"
        )
        sections.append(markdown(workload))
    (directory / "README.md").write_text(
        "\n".join([_HEADING.format(how=how), machine_markdown(machine), "", *sections])
    )


_HEADING = """\
# Benchmark results

Written by `make bench` ({how}). Absolute times belong to this machine and to this hour; the ratios are what
to look at. CPU is user and system time of all of a server's processes and threads, as the kernel's scheduler
counts it. Each cell: median (lowest-highest) of the repetitions, which alternate between the sides.
A ratio under 1 means that the gateway needs less CPU. Rates are what the load generator got: the server under
test has one CPU, load generator and app have the others, and often are the slower part.
"""


def _table_line(row: Row) -> str:
    ours, ours_rate = _cpu(row.ours), _rate(row.ours)
    if not row.theirs:
        return f"| {row.title} | {_cell(ours)} | {_cell(ours_rate)} |"
    theirs, theirs_rate = _cpu(row.theirs), _rate(row.theirs)
    return (
        f"| {row.title} | {_cell(ours)} | {_cell(theirs)} | **{ratio(ours, theirs):.2f}** |"
        f" {_cell(ours_rate)} | {_cell(theirs_rate)} |"
    )


def _plain(machine: Machine, workload: Workload, how: str) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "title": workload.title,
        "how": how,
        "machine": asdict(machine),
        "negotiated": {side: asdict(value) for side, value in workload.negotiated.items()},
        "notes": workload.notes,
        "rows": [
            {
                "title": row.title,
                "cpu_ratio": ratio(_cpu(row.ours), _cpu(row.theirs)) if row.theirs else None,
                **{
                    side: {
                        "cpu_microseconds_each": asdict(_cpu(samples)),
                        "per_second": asdict(_rate(samples)),
                        "busy_cores": asdict(spread([sample.busy for sample in samples])),
                        "samples": [asdict(sample) for sample in samples],
                    }
                    for side, samples in (("gateway", row.ours), ("nginx", row.theirs))
                    if samples
                },
            }
            for row in workload.rows
        ],
    }


def _cpu(samples: tuple[Sample, ...]) -> Spread:
    return spread([sample.cpu_microseconds_each for sample in samples])


def _rate(samples: tuple[Sample, ...]) -> Spread:
    return spread([sample.per_second for sample in samples])


def _cell(value: Spread) -> str:
    digits = 1 if value.median < 100 else 0
    return f"{value.median:.{digits}f} ({value.lowest:.{digits}f}-{value.highest:.{digits}f})"


def _negotiated_text(value: Negotiated) -> str:
    return f"{value.version}, {value.group}, {value.cipher}"
