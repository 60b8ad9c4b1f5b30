"""The metrics of several processes on one page."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.server.scrape import merge, of_the_gone, parse, render


def page(count: int, connections: int, soon: int, label: str = "a") -> bytes:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ["app"], registry=registry).labels(label).inc(count)
    Gauge("devicetrust_connections", "Connections.", ["role"], registry=registry).labels("app").set(
        connections
    )
    Gauge("expiring", "Ending soon.", registry=registry).set(soon)
    seconds = Histogram("seconds", "Time.", buckets=(0.1, 1), registry=registry)
    for _ in range(count):
        seconds.observe(0.5)
    return generate_latest(registry)


def samples(rendered: bytes) -> dict[str, float]:
    return {
        name: float(value)
        for name, _, value in (
            line.rpartition(" ") for line in rendered.decode().splitlines() if not line.startswith("#")
        )
    }


def test_counters_and_histograms_add_up_and_of_a_gauge_the_highest_counts() -> None:
    merged = samples(render(merge([parse(page(2, 10, 1)), parse(page(3, 5, 4, 'b "\\n'))])))
    assert merged['requests_total{app="a"}'] == 2
    assert merged['requests_total{app="b \\"\\\\n"}'] == 3
    assert merged['devicetrust_connections{role="app"}'] == 15
    assert merged["expiring"] == 4
    assert merged['seconds_bucket{le="0.1"}'] == 0
    assert merged['seconds_bucket{le="+Inf"}'] == 5
    assert merged["seconds_sum"] == 2.5


def test_one_page_comes_out_as_it_went_in() -> None:
    one = page(2, 10, 1)
    assert render(merge([parse(one)])) == one


def test_what_a_process_counted_stays_when_it_has_gone_and_what_it_had_does_not() -> None:
    gone = of_the_gone(parse(page(2, 10, 9)))
    merged = samples(render(merge([gone, parse(page(1, 1, 1))])))
    assert merged['requests_total{app="a"}'] == 3
    assert merged['devicetrust_connections{role="app"}'] == 1
    assert merged["expiring"] == 1
