"""Results as a table for people and as JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import Machine
from benchmarks.series import CPU, RATE, Sample, Spread, Values, ratio, spread, values_of

OURS: Final = "gateway"


class NotMeasured(Exception):
    """A workload that cannot run here. The message says why, and takes the place of its table."""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a server and the load generator's OpenSSL agree on."""

    version: str
    group: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is measured: ``key`` in the JSON file, ``title`` with its unit over the column."""

    key: str
    title: str
    compared: bool = False  # a column with the gateway's in units of the peer's follows


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured on one or more sides, the gateway's among them or not."""

    title: str
    sides: Mapping[str, Values]

    def ratios(self, key: str) -> dict[str, float]:
        """For each peer the gateway's median in units of the peer's; empty where the gateway is missing."""
        ours = self.sides.get(OURS)
        if ours is None:
            return {}
        return {side: ratio(ours[key], theirs[key]) for side, theirs in self.sides.items() if side != OURS}


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    title: str
    quantities: tuple[Quantity, ...]
    rows: tuple[Row, ...]
    negotiated: Mapping[str, Negotiated]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A workload that was not measured."""

    name: str
    reason: str


def cpu_and_rate(unit: str, units: str | None = None) -> tuple[Quantity, ...]:
    """The two quantities of a workload that is a number of equal operations."""
    return Quantity(CPU, f"CPU µs per {unit}", compared=True), Quantity(RATE, f"{units or unit + 's'}/s")


def sampled_row(title: str, sides: Mapping[str, Sequence[Sample]]) -> Row:
    return Row(title, {side: values_of(samples) for side, samples in sides.items()})


def markdown(workload: Workload | Skipped) -> str:
    """The section of one workload."""
    if isinstance(workload, Skipped):
        return f"## `{workload.name}.py`\n\nNot measured: {workload.reason}.\n"
    columns = ["", ""]
    for quantity in workload.quantities:
        columns += [quantity.title, *(["gateway ÷ it"] if quantity.compared else [])]
    lines = [
        f"## {workload.title} (`{workload.name}.py`)",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
        *(line for row in workload.rows for line in _table_lines(row, workload.quantities)),
        "",
    ]
    lines += [f"- {side}: {_negotiated_text(value)}" for side, value in workload.negotiated.items()]
    lines += [f"- {note}" for note in workload.notes]
    return "\n".join(lines) + "\n"


def machine_markdown(machine: Machine) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine.gateway_packages.items())
    peers = ", ".join(f"{name} {text}" for name, text in machine.peers.items())
    return "\n".join(
        [
            f"- {machine.date}; {machine.cpu}, {machine.cores} cores; Linux {machine.kernel},"
            f" {machine.system}",
            f"- gateway: Python {machine.python}, {packages}, {machine.gateway_openssl} (in cryptography)",
            f"- peers: {peers}",
            f"- load: {machine.load_generators}, with {machine.client_openssl}",
        ]
    )


def write_results(
    directory: Path, machine: Machine, workloads: Iterable[Workload | Skipped], how: str
) -> None:
    """One JSON file for each workload, and README.md with all of them."""
    sections = []
    for workload in workloads:
        sections.append(markdown(workload))
        if isinstance(workload, Workload):
            text = json.dumps(_plain(machine, workload, how), indent=1)
            (directory / f"{workload.name}.json").write_text(text + "\n")
    (directory / "README.md").write_text(
        "\n".join([_HEADING.format(how=how), machine_markdown(machine), "", *sections])
    )


_HEADING: Final = """\
# Benchmark results

Written by `make bench` ({how}). Absolute times belong to this machine and to this hour; the ratios are what
to look at. CPU is user and system time of all of a server's processes and threads, as the kernel's scheduler
counts it. Each cell: median (lowest-highest) of the repetitions, which alternate between the sides.
"gateway ÷ it" is the gateway's median in units of that side's: under 1 the gateway needs less. Rates are what
the load generator got: the server under test has one CPU, load generator and app have the others, and often
are the slower part.
"""


def _table_lines(row: Row, quantities: Sequence[Quantity]) -> list[str]:
    lines = []
    for number, (side, values) in enumerate(row.sides.items()):
        cells = ["" if number else row.title, side]
        for quantity in quantities:
            cells.append(_cell(spread(values[quantity.key])) if quantity.key in values else "")
            if quantity.compared:
                compared = row.ratios(quantity.key).get(side)
                cells.append("" if compared is None else f"**{compared:.2f}**")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _plain(machine: Machine, workload: Workload, how: str) -> dict[str, Any]:
    compared = [quantity.key for quantity in workload.quantities if quantity.compared]
    return {
        "workload": workload.name,
        "title": workload.title,
        "how": how,
        "machine": asdict(machine),
        "negotiated": {side: asdict(value) for side, value in workload.negotiated.items()},
        "notes": workload.notes,
        "quantities": {quantity.key: quantity.title for quantity in workload.quantities},
        "rows": [
            {
                "title": row.title,
                "ratios": {key: row.ratios(key) for key in compared},
                "sides": {
                    side: {
                        key: {**asdict(spread(series)), "each": list(series)}
                        for key, series in values.items()
                    }
                    for side, values in row.sides.items()
                },
            }
            for row in workload.rows
        ],
    }


def _cell(value: Spread) -> str:
    digits = 0 if value.median >= 100 else 1 if value.median >= 10 else 2
    text = f"{value.median:.{digits}f}"
    if value.lowest == value.highest:
        return text
    return f"{text} ({value.lowest:.{digits}f}-{value.highest:.{digits}f})"


def _negotiated_text(value: Negotiated) -> str:
    return f"{value.version}, {value.group}, {value.cipher}"
