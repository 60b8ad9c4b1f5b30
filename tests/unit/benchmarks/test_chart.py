"""The chart of the README: which bars it has, and to which side they go."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.chart import Bar, bars_of, draw, number
from benchmarks.report import OURS, Skipped, Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample

SVG = "{http://www.w3.org/2000/svg}"


def workload(name: str, **microseconds: tuple[float, float]) -> Workload:
    rows = (
        sampled_row(title, {OURS: [Sample(1, ours, 1.0)], "nginx": [Sample(1, theirs, 1.0)]})
        for title, (ours, theirs) in microseconds.items()
    )
    return Workload(name, name, cpu_and_rate("request"), tuple(rows), {}, ())


def test_rows_come_in_the_chart_s_order_and_what_was_not_measured_is_left_out() -> None:
    measured = [
        Skipped("http2_request", "no HTTP/2"),
        workload("bodies", **{"100 MB up": (6.0, 3.0), "1 MB up": (9.0, 1.0)}),
        workload("sign_on", **{"whole sign-on": (5.0, 50.0)}),
    ]
    bars = bars_of(measured)
    assert [(bar.label, bar.peer, round(bar.ratio, 3)) for bar in bars] == [
        ("Whole SAML sign-on", "nginx", 0.1),
        ("100 MB up", "nginx", 2.0),
    ]


def test_bars_begin_at_one_and_grow_to_the_left_where_the_gateway_takes_less() -> None:
    chart = ET.fromstring(draw([Bar("a", "nginx", 0.1), Bar("b", "nginx", 10.0)], "today"))
    less, more = chart.findall(f"{SVG}rect")[1:]  # the first is the background
    ends = [float(less.get("x", "")) + float(less.get("width", "")), float(more.get("x", ""))]
    assert ends[0] == pytest.approx(ends[1], abs=0.2)
    assert float(less.get("width", "")) == pytest.approx(float(more.get("width", "")), abs=0.2)


@pytest.mark.parametrize("ratio", [0.0001, 0.3, 1.0, 1.0001, 3.0, 80.0])
def test_every_mark_stays_on_the_background(ratio: float) -> None:
    chart = ET.fromstring(draw([Bar("Something <long> & odd", "HAProxy", ratio)], "today"))
    width, height = float(chart.get("width", "")), float(chart.get("height", ""))
    for mark in chart.iter():
        if mark.tag in (f"{SVG}rect", f"{SVG}text"):
            right = float(mark.get("x", "")) + float(mark.get("width", 0))
            assert 0 <= float(mark.get("x", "")) <= right <= width
            assert 0 <= float(mark.get("y", "")) <= height
    assert "Something <long> & odd" in [text.text for text in chart.iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.01234, "0.012"), (0.0996, "0.100"), (0.94, "0.94"), (1.04, "1.0"), (6.24, "6.2"), (62.4, "62")],
)
def test_numbers_have_two_digits_that_count(ratio: float, text: str) -> None:
    assert number(ratio) == text


def test_nothing_measured_is_no_chart() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        draw([], "today")
