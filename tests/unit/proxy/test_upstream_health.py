"""When an address of an app is passed over, and when it is tried again."""

from gateway.proxy.upstream_health import UpstreamHealth

START = 1_000.0


def fail(health: UpstreamHealth, *times: float) -> list[float | None]:
    """The pauses that failures at these seconds after the start begin."""
    return [health.failed(START + seconds) for seconds in times]


def test_three_failures_within_ten_seconds_take_it_out() -> None:
    health = UpstreamHealth()
    assert fail(health, 0, 5, 10) == [None, None, 2.0]
    assert health.out


def test_failures_that_are_far_apart_do_not() -> None:
    health = UpstreamHealth()
    assert fail(health, 0, 9, 18, 27, 36) == [None] * 5
    assert not health.out


def test_answers_outweigh_failures() -> None:
    """One page of the app that always fails says nothing about the others."""
    health = UpstreamHealth()
    fail(health, 0)
    health.answers += 4
    assert fail(health, 1, 2, 3) == [None, None, None]
    assert fail(health, 4) == [2.0]  # the fifth of nine


def test_answers_from_before_the_first_failure_count_for_nothing() -> None:
    health = UpstreamHealth()
    health.answers += 1_000
    assert fail(health, 0, 0, 0) == [None, None, 2.0]


def test_failures_of_requests_that_began_before_it_went_out_change_nothing() -> None:
    health = UpstreamHealth()
    fail(health, 0, 0, 0)
    assert fail(health, 1, 1, 1) == [None, None, None]
    assert health.retry_at == START + 2


def test_one_probe_is_due_after_each_pause() -> None:
    health = UpstreamHealth()
    fail(health, 0, 0, 0)
    assert not health.probe_due(START + 1.9)
    assert health.probe_due(START + 2)
    health.begin_probe(START + 2)
    assert not health.probe_due(START + 2)
    assert not health.probe_due(START + 3.9)
    assert health.probe_due(START + 4)  # nothing came of the first: another one may try


def test_each_probe_that_fails_makes_the_pause_twice_as_long_up_to_a_minute() -> None:
    health = UpstreamHealth()
    fail(health, 0, 0, 0)
    now, pauses = START, []
    for _ in range(7):
        now = health.retry_at
        health.begin_probe(now)
        pauses.append(health.failed(now))
        assert health.failed(now) is None  # of many at once, one counts
    assert pauses == [4, 8, 16, 32, 60, 60, 60]


def test_a_probe_that_is_answered_brings_it_back() -> None:
    health = UpstreamHealth()
    fail(health, 0, 0, 0)
    health.begin_probe(START + 2)
    health.answered_probe(START + 2)
    assert not health.out
    assert not health.probe_due(START + 100)
    assert fail(health, 3, 3) == [None, None]  # it begins anew


def test_who_fails_again_within_a_minute_goes_on_where_its_pauses_were() -> None:
    health = UpstreamHealth()
    fail(health, 0, 0, 0)
    health.answered_probe(START + 2)
    assert fail(health, 30, 30, 30)[-1] == 4.0
    health.answered_probe(START + 40)
    assert fail(health, 101, 101, 101)[-1] == 2.0
