"""Bytes on a control channel, in any pieces.

Invariant: what was framed arrives as it was sent, and any other bytes end the channel; nothing else is
raised, and no descriptor is left open.
"""

import asyncio
import os
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.server.control import ControlChannel, ControlClosed

NAMES = st.text(max_size=20)
VALUES = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=50), max_size=4).filter(
    lambda values: not values.keys() & {"self", "name", "descriptors"}
)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - their number is all that counts


@given(st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8), st.binary(max_size=40))
@settings(max_examples=60, deadline=None)
def test_messages_arrive_and_garbage_behind_them_ends_the_channel(
    messages: list[tuple[str, dict[str, object], bool]], garbage: bytes
) -> None:
    async def talk() -> None:
        one, other = socket.socketpair()
        sender, receiver = ControlChannel(one), ControlChannel(other)
        for name, values, with_descriptor in messages:
            sender.send(name, [1] if with_descriptor else [], **values)
        one.sendall(garbage)
        sender.close()
        for name, values, with_descriptor in messages:
            message = await receiver.receive()
            assert (message.name, message.values) == (name, values)
            assert len(message.descriptors) == with_descriptor
            message.close_descriptors()
        try:
            while True:
                (await receiver.receive()).close_descriptors()
        except ControlClosed:
            return

    before = descriptors()
    asyncio.run(talk())
    assert descriptors() == before
