"""The arithmetic behind the printed tables."""

import pytest

from benchmarks.series import Sample, Spread, interleaved, ratio, spread


def test_a_sample_divides_cpu_time_by_operations_and_operations_by_elapsed_time() -> None:
    sample = Sample(operations=500, cpu_seconds=0.4, elapsed_seconds=0.5)
    assert sample.cpu_microseconds_each == pytest.approx(800)
    assert sample.per_second == pytest.approx(1000)
    assert sample.busy == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([3.0], Spread(3.0, 3.0, 3.0), id="one repetition is all three"),
        pytest.param([9.0, 1.0, 2.0], Spread(2.0, 1.0, 9.0), id="an outlier moves the range, not the median"),
        pytest.param([4.0, 1.0, 3.0, 2.0], Spread(2.5, 1.0, 4.0), id="an even number has its middle between"),
    ],
)
def test_repetitions_are_told_as_median_and_range(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


def test_no_repetition_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(ValueError, match="no repetition"):
        spread([])


def test_the_ratio_is_ours_in_units_of_theirs_by_the_medians() -> None:
    assert ratio(Spread(850.0, 1.0, 9000.0), Spread(1000.0, 999.0, 1001.0)) == pytest.approx(0.85)


def test_repetitions_alternate_between_the_variants() -> None:
    assert interleaved(["nginx", "gateway"], 3) == ["nginx", "gateway"] * 3
