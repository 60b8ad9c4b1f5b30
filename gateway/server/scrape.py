"""The metrics of several processes as one page.

Counters and histograms are summed. Of a gauge, the highest value counts: each worker says the same, or what
is worst counts. Those that count what one worker has are summed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.utils import floatToGoString

SUMMED_GAUGES: Final = frozenset({"devicetrust_connections"})


@dataclass(slots=True)
class Family:
    help_line: str
    kind: str
    samples: dict[str, float] = field(default_factory=dict)  # by name and labels, as they are written


Families = dict[str, Family]


def parse(page: bytes) -> Families:
    """A page of one of our own processes (Prometheus text format 0.0.4); nothing else is understood."""
    families: Families = {}
    help_line, family = "", None
    for line in page.decode().splitlines():
        if line.startswith("# HELP "):
            help_line = line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            family = families[name] = Family(help_line, kind)
        elif family is not None:
            sample, _, value = line.rpartition(" ")
            family.samples[sample] = float(value)
    return families


def merge(pages: Iterable[Families]) -> Families:
    merged: Families = {}
    for page in pages:
        for name, family in page.items():
            total = merged.setdefault(name, Family(family.help_line, family.kind))
            sums = family.kind != "gauge" or name in SUMMED_GAUGES
            for sample, value in family.samples.items():
                former = total.samples.get(sample)
                if former is None:
                    total.samples[sample] = value
                else:
                    total.samples[sample] = former + value if sums else max(former, value)
    return merged


def of_the_gone(families: Families) -> Families:
    """What stays of a process that has ended: what it counted."""
    return {name: family for name, family in families.items() if family.kind != "gauge"}


def render(families: Families) -> bytes:
    lines: list[str] = []
    for name, family in families.items():
        lines += (family.help_line, f"# TYPE {name} {family.kind}")
        lines += (f"{sample} {_text(value)}" for sample, value in family.samples.items())
    return ("\n".join(lines) + "\n").encode()


def _text(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # it has no annotation
    return text
