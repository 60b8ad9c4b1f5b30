"""How much time a channel's peer has, on a clock of the test's own."""

from typing import Any

from gateway.server.channel import Channel
from gateway.server.deadlines import NEVER, Deadlines


class _Loop:
    now = 1_000.0

    def time(self) -> float:
        return self.now


class _Visit:
    client_host = "203.0.113.9"
    began = 0.0

    def established(self) -> None: ...

    def left(self) -> None: ...


def test_time_is_earned_but_not_hoarded() -> None:
    loop: Any = _Loop()
    unused: Any = None
    channel = Channel(unused, unused, unused, Deadlines(loop), 10.0, set(), _Visit())
    assert channel.deadline == NEVER
    channel.extend_deadline(0.5, at_most=60.0)
    assert channel.deadline == 1_060.0
    loop.now += 50.0
    channel.extend_deadline(3.0, at_most=60.0)
    assert channel.deadline == 1_063.0  # 50 s were used up, 3 s earned
    channel.extend_deadline(1_000_000.0, at_most=60.0)
    assert channel.deadline == 1_110.0
