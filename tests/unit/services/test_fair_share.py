"""One client alone cannot fill what all share."""

from gateway.services.fair_share import FairShare

HOUR = 3_600.0
NOISY, QUIET = 1, 2


def taken(share: FairShare, client: int, times: int, at: float) -> int:
    return sum(share.take(client, at) for _ in range(times))


def test_one_client_fills_half_and_no_more() -> None:
    share = FairShare(1_000, HOUR)
    assert taken(share, NOISY, 2_000, 0.0) == 500
    assert taken(share, QUIET, 60, 1.0) == 50
    assert taken(share, NOISY, 1, 2.0) == 0


def test_while_there_is_room_nobody_is_refused() -> None:
    share = FairShare(1_000, HOUR)
    assert taken(share, NOISY, 300, 0.0) == 300
    assert taken(share, QUIET, 200, 0.0) == 200


def test_entries_count_for_as_long_as_they_live() -> None:
    share = FairShare(1_000, HOUR)
    assert taken(share, NOISY, 1_000, 0.0) == 500
    assert taken(share, NOISY, 1, 0.9 * HOUR) == 0
    assert taken(share, NOISY, 1, 1.1 * HOUR) == 0  # a little longer, rather than too short
    assert taken(share, NOISY, 1, 1.8 * HOUR) == 1


def test_as_many_clients_are_remembered_as_there_are_entries() -> None:
    share = FairShare(100, HOUR)
    assert sum(share.take(client, 0.0) for client in range(1_000)) == 1_000
    assert len(share._windows[0].by_client) == 100
