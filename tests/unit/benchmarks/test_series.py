"""The arithmetic behind the printed tables."""

import pytest

from benchmarks.series import Sample, Spread, interleaved, percentile, ratio, spread, values_of


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
    assert ratio([1.0, 850.0, 9000.0], [999.0, 1000.0, 1001.0]) == pytest.approx(0.85)


def test_repetitions_alternate_between_the_variants() -> None:
    assert list(interleaved(["nginx", "gateway"], 3)) == ["nginx", "gateway"] * 3


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        pytest.param(50, 5, id="half of ten values are not above the fifth"),
        pytest.param(90, 9, id="nine of ten are not above the ninth"),
        pytest.param(99, 10, id="99 % of ten needs all of them"),
        pytest.param(0, 1, id="none is the lowest"),
        pytest.param(100, 10, id="all is the highest"),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(percent: float, expected: float) -> None:
    assert percentile([10, 3, 1, 7, 2, 9, 8, 4, 6, 5], percent) == expected


def test_no_value_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no value"):
        percentile([], 99)


def test_samples_become_one_list_for_each_quantity() -> None:
    values = values_of([Sample(1000, 0.1, 0.5), Sample(1000, 0.2, 0.5)])
    assert values["cpu_microseconds_each"] == pytest.approx([100, 200])
    assert values["per_second"] == pytest.approx([2000, 2000])
    assert values["busy_cores"] == pytest.approx([0.2, 0.4])
