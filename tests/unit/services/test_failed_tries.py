"""Who fails too often, and for how long."""

import pytest

from gateway.services.failed_tries import FailedTries


def test_so_many_failures_count_for_so_long() -> None:
    failed = FailedTries(most=3, seconds=60)
    for at in (0.0, 10.0, 20.0):
        assert not failed.too_many("ws-1", at)
        failed.add("ws-1", at)
    assert failed.too_many("ws-1", 20.0)
    assert failed.too_many("ws-1", 59.9)
    assert not failed.too_many("ws-1", 60.0)  # the first one is over
    failed.add("ws-1", 60.0)
    assert failed.too_many("ws-1", 69.0)
    assert not failed.too_many("ws-2", 69.0)


def test_what_is_remembered_is_bounded() -> None:
    failed = FailedTries(most=3, seconds=60, kept=300)
    for number in range(2_000):
        failed.add(f"ws-{number}", 1.0)
    for _ in range(100):
        failed.add("ws-1", 2.0)
    assert failed.too_many("ws-1", 2.0)
    assert len(failed._failed) <= 400


@pytest.mark.parametrize("back", [1.0, 1_000.0])
def test_a_clock_that_is_set_back_locks_nobody_out(back: float) -> None:
    failed = FailedTries(most=1, seconds=60)
    failed.add("ws-1", 10_000.0)
    assert not failed.too_many("ws-1", 10_000.0 - back)
