"""The arithmetic of the benchmarks: repetitions in, medians and ratios out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

# One value for each repetition, by the key of the quantity.
Values: TypeAlias = Mapping[str, Sequence[float]]

CPU: Final = "cpu_microseconds_each"
RATE: Final = "per_second"


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition of one variant."""

    operations: int
    cpu_seconds: float  # of the server under test, all its processes and threads
    elapsed_seconds: float  # as the load generator saw it

    @property
    def cpu_microseconds_each(self) -> float:
        return self.cpu_seconds / self.operations * 1e6

    @property
    def per_second(self) -> float:
        return self.operations / self.elapsed_seconds

    @property
    def busy(self) -> float:
        """How many cores the server kept busy; under 0.9 it was waiting for the load generator."""
        return self.cpu_seconds / self.elapsed_seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of some repetitions."""

    median: float
    lowest: float
    highest: float


def values_of(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """CPU and rate of each repetition, and how many cores the server kept busy."""
    return {
        CPU: [sample.cpu_microseconds_each for sample in samples],
        RATE: [sample.per_second for sample in samples],
        "busy_cores": [sample.busy for sample in samples],
    }


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError when there are none."""
    if not values:
        raise ValueError("no repetition was measured")
    return Spread(median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Ours in units of theirs, by the medians: under 1 we are cheaper (or slower, for a rate)."""
    return spread(ours).median / spread(theirs).median


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all are not above (nearest rank).

    Raises ValueError when there are none.
    """
    if not values:
        raise ValueError("no value was measured")
    rank = -(-len(values) * percent // 100)  # rounded up
    return sorted(values)[max(0, int(rank) - 1)]


def interleaved(variants: Sequence[str], repetitions: int) -> Iterator[str]:
    """A B C, A B C, …: what drifts on the machine during the run meets all variants alike."""
    return (variant for _ in range(repetitions) for variant in variants)
