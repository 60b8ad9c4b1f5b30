"""What is remembered of those who are at work, and when it is forgotten."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.services.recent import Recent


def recent(limit: int = 100) -> Recent[str, int]:
    return Recent(limit, generation_seconds=10.0)


def test_what_is_used_again_and_again_stays() -> None:
    kept = recent()
    kept.put("a", 1, 0.0)
    for now in range(1, 100, 9):
        assert kept.get("a", float(now)) == 1


def test_what_nobody_asks_for_is_forgotten_after_two_generations() -> None:
    kept = recent()
    kept.put("left", 1, 0.0)
    kept.put("works", 2, 0.0)
    for now in (9.0, 11.0, 20.0, 22.0):
        assert kept.get("works", now) == 2
    assert kept.get("left", 22.0) is None
    assert len(kept) == 1


def test_what_is_forgotten_goes_a_little_at_a_time() -> None:
    kept = recent(3_000)
    for number in range(1_000):
        kept.put(str(number), number, 0.0)
    kept.put("second", 1, 11.0)
    kept.put("third", 1, 22.0)
    assert 900 < len(kept) < 1_000
    for number in range(100):
        kept.put(f"later {number}", number, 23.0)
    assert len(kept) == 102


def test_a_new_value_takes_the_place_of_the_old_one_in_either_generation() -> None:
    kept = recent()
    kept.put("a", 1, 0.0)
    kept.put("b", 1, 11.0)  # a new generation
    kept.put("a", 2, 12.0)
    assert kept.get("a", 13.0) == 2
    kept.put("a", 3, 14.0)
    assert (kept.get("a", 15.0), len(kept)) == (3, 2)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.floats(0, 8)), max_size=300))
def test_it_answers_with_the_last_value_or_with_nothing_and_never_holds_more_than_its_limit(
    steps: list[tuple[int, bool, float]],
) -> None:
    kept: Recent[int, int] = Recent(9, generation_seconds=10.0)
    truth: dict[int, int] = {}
    now = 0.0
    for number, (key, puts, passed) in enumerate(steps):
        now += passed
        if puts:
            truth[key] = number
            kept.put(key, number + 1, now)
            assert kept.get(key, now) == number + 1
        else:
            assert kept.get(key, now) in (None, truth.get(key, -1) + 1)
        assert len(kept) <= 9
