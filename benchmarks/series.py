"""The arithmetic of the benchmarks: repetitions in, medians and ratios out."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


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


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError when there are none."""
    if not values:
        raise ValueError("no repetition was measured")
    return Spread(median(values), min(values), max(values))


def ratio(ours: Spread, theirs: Spread) -> float:
    """Ours in units of theirs, by the medians: under 1 we are cheaper (or slower, for a rate)."""
    return ours.median / theirs.median


def interleaved(variants: Sequence[str], repetitions: int) -> list[str]:
    """A B C, A B C, …: what drifts on the machine during the run meets all variants alike."""
    return [variant for _ in range(repetitions) for variant in variants]
