"""How much time and room a channel's peer has, on a clock of the test's own."""

from typing import Any

import pytest

from gateway.server.channel import Channel
from gateway.server.deadlines import NEVER, Deadlines
from gateway.tls.session import OVERHEAD_BYTES


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


class _Session:
    """Established, and just fed with what makes OpenSSL answer by itself."""

    overhead = OVERHEAD_BYTES + 1
    established = True
    peer_closed = False

    def feed(self, ciphertext: bytes) -> bytes:
        return b""

    def take_output(self) -> bytes:
        return b"answers"


class _Transport:
    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize(("waiting", "ends"), [(1_000_000, False), (1_100_000, True)])
def test_what_openssl_answers_by_itself_is_written_unless_nobody_reads_it(waiting: int, ends: bool) -> None:
    loop: Any = _Loop()
    unused: Any = None
    transport, speaker, session = _Transport(waiting), object(), _Session()
    channel: Any = Channel(unused, unused, unused, Deadlines(loop), 10.0, set(), _Visit())
    channel._transport, channel._speaker, channel._session = transport, speaker, session
    channel.data_received(b"KeyUpdate")
    assert transport.written == b"answers"
    assert transport.aborted is ends
    assert session.overhead == 0
