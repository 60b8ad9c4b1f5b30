"""What a worker remembers: once is once, nothing grows without bound, and nothing is forgotten early."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.adapters.memory import (
    MemoryOneUseKeys,
    MemorySeenRequests,
    SystemClock,
    SystemRandomness,
)
from gateway.services.ports import Clock, OneUseKeys, OneUseKeysFull, Randomness, SeenRequests

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("later", "is_first"),
    [
        (timedelta(0), False),
        (MINUTE - SECOND, False),
        (MINUTE, False),
        (MINUTE + SECOND, True),
    ],
    ids=["at once", "before it expires", "in the moment that it expires", "after that"],
)
async def test_a_key_can_be_claimed_again_only_after_it_has_expired(later: timedelta, is_first: bool) -> None:
    keys: OneUseKeys = MemoryOneUseKeys()
    assert await keys.claim("assertion:1", NOW + MINUTE, NOW)
    assert await keys.is_claimed("assertion:1", NOW + later) is not is_first
    assert await keys.claim("assertion:1", NOW + later + MINUTE, NOW + later) is is_first


async def test_a_refused_claim_does_not_shorten_or_prolong_the_first_one() -> None:
    keys = MemoryOneUseKeys()
    await keys.claim("key", NOW + MINUTE, NOW)
    assert not await keys.claim("key", NOW + SECOND, NOW)
    assert not await keys.claim("key", NOW + 60 * MINUTE, NOW)
    assert await keys.is_claimed("key", NOW + MINUTE)
    assert not await keys.is_claimed("key", NOW + MINUTE + SECOND)


async def test_asking_for_a_key_does_not_claim_it() -> None:
    keys = MemoryOneUseKeys()
    assert not await keys.is_claimed("key", NOW)
    assert await keys.claim("key", NOW + MINUTE, NOW)


async def test_a_full_memory_refuses_new_keys_and_forgets_none_of_the_old() -> None:
    keys = MemoryOneUseKeys(limit=2)
    await keys.claim("a", NOW + MINUTE, NOW)
    await keys.claim("b", NOW + 2 * MINUTE, NOW)
    with pytest.raises(OneUseKeysFull, match="2 keys are remembered"):
        await keys.claim("c", NOW + MINUTE, NOW)
    assert not await keys.claim("a", NOW + MINUTE, NOW)
    assert await keys.claim("c", NOW + 3 * MINUTE, NOW + MINUTE + SECOND), "the first one made room"
    assert not await keys.claim("b", NOW + 3 * MINUTE, NOW + MINUTE + SECOND)


async def test_a_burst_that_expires_at_once_is_forgotten_in_small_steps() -> None:
    keys = MemoryOneUseKeys(limit=1000)
    for number in range(1000):
        await keys.claim(f"burst {number}", NOW + MINUTE, NOW)
    later = NOW + MINUTE + SECOND
    sizes = []
    for number in range(100):
        assert await keys.claim(f"next {number}", later + MINUTE, later)
        sizes.append(len(keys))
    assert all(before - after < 20 for before, after in zip([1000, *sizes], sizes, strict=False))
    assert sizes[-1] == 100


async def test_a_key_claimed_again_outlives_the_expiry_of_its_first_claim() -> None:
    keys = MemoryOneUseKeys()
    for number in range(40):  # more than one claim forgets: the first "key" stays in line behind them
        await keys.claim(f"{number}", NOW + SECOND, NOW)
    await keys.claim("key", NOW + 2 * SECOND, NOW)
    later = NOW + 3 * SECOND
    assert await keys.claim("key", later + MINUTE, later)
    for number in range(10):
        await keys.claim(f"another {number}", later + MINUTE, later)
    assert not await keys.claim("key", later + MINUTE, later)


async def test_keys_of_any_length_and_content_are_told_apart() -> None:
    keys = MemoryOneUseKeys()
    for key in ("", "a", "a" * 1_000_000, "a" * 1_000_001, "\udc80", "\udc81"):
        assert await keys.claim(key, NOW + MINUTE, NOW)
        assert not await keys.claim(key, NOW + MINUTE, NOW)


async def test_a_request_belongs_to_the_app_that_sent_it_while_it_is_remembered() -> None:
    seen: SeenRequests = MemorySeenRequests(lifetime=MINUTE)
    seen.remember("wiki", "_1", NOW)
    assert await seen.is_from("wiki", "_1", NOW + MINUTE)
    assert await seen.is_from("wiki", "_1", NOW + MINUTE), "asking does not use it up"
    assert await seen.is_from("wiki", "_1", NOW + MINUTE + SECOND) is None
    assert await seen.is_from("wiki", "_2", NOW) is None


async def test_another_app_cannot_take_over_a_request_that_is_remembered() -> None:
    seen = MemorySeenRequests(lifetime=MINUTE)
    seen.remember("wiki", "_1", NOW)
    seen.remember("intruder", "_1", NOW + SECOND)
    assert await seen.is_from("wiki", "_1", NOW + SECOND)
    assert await seen.is_from("intruder", "_1", NOW + SECOND) is False
    seen.remember("intruder", "_1", NOW + MINUTE + SECOND)
    assert await seen.is_from("intruder", "_1", NOW + MINUTE + SECOND), "the time of the first one is over"


async def test_when_full_the_request_that_was_seen_longest_ago_is_forgotten() -> None:
    seen = MemorySeenRequests(limit=2)
    seen.remember("wiki", "_1", NOW)
    seen.remember("wiki", "_2", NOW)
    seen.remember("wiki", "_1", NOW + SECOND)
    seen.remember("wiki", "_3", NOW + SECOND)
    assert [await seen.is_from("wiki", f"_{n}", NOW + SECOND) for n in (1, 2, 3)] == [True, None, True]
    assert len(seen) == 2


def test_the_clock_tells_aware_utc() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now() - datetime.now(UTC)) < SECOND


def test_randomness_has_the_length_asked_for_and_does_not_repeat() -> None:
    randomness: Randomness = SystemRandomness()
    assert len(randomness.bytes(32)) == 32
    assert randomness.bytes(32) != randomness.bytes(32)
