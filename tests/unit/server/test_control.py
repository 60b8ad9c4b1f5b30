"""Messages between the processes of one gateway: whole, in order, with their descriptors, or not at all."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from gateway.server.control import MAX_BODY_BYTES, ControlChannel, ControlClosed

HEADER = struct.Struct(">IHB")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


def frame(value: object, descriptors: int = 0, version: int = 1) -> bytes:
    body = json.dumps(value).encode()
    return HEADER.pack(len(body), descriptors, version) + body


async def test_messages_arrive_in_order_with_their_descriptors(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = map(ControlChannel, pair)
    ends = [os.pipe() for _ in range(3)]
    one.send("first", number=1)
    one.send("second", [ends[0][1], ends[1][1]], text="ä")
    one.send("third", [ends[2][1]])
    first, second, third = [await other.receive() for _ in range(3)]
    assert (first.name, first.values, first.descriptors) == ("first", {"number": 1}, ())
    assert (second.name, second.values) == ("second", {"text": "ä"})
    for (reading, _), descriptor in zip(ends, (*second.descriptors, *third.descriptors), strict=True):
        os.write(descriptor, b"x")
        assert os.read(reading, 1) == b"x"
        assert not os.get_inheritable(descriptor)
    second.close_descriptors()
    third.close_descriptors()
    for each in ends:
        os.close(each[0])
        os.close(each[1])
    one.close()
    other.close()


async def test_what_a_slow_reader_leaves_waits_and_comes_whole(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = map(ControlChannel, pair)
    reading, writing = os.pipe()
    for number in range(100):
        one.send("message", [writing], number=number, filler="x" * 20_000)
    os.close(writing)  # what waits has descriptors of its own
    for number in range(100):
        message = await other.receive()
        assert message.values["number"] == number
        os.write(message.descriptors[0], b"x")
        message.close_descriptors()
    assert len(os.read(reading, 200)) == 100
    os.close(reading)
    one.close()
    other.close()


async def test_who_never_reads_ends_the_channel(pair: tuple[socket.socket, socket.socket]) -> None:
    channel = ControlChannel(pair[0])

    def send_on() -> None:
        for _ in range(10_000):
            channel.send("message", filler="x" * 20_000)

    with pytest.raises(ControlClosed):
        send_on()
    with pytest.raises(ControlClosed):
        await channel.receive()


async def test_an_end_is_told_after_what_came_before_it(pair: tuple[socket.socket, socket.socket]) -> None:
    channel = ControlChannel(pair[0])
    pair[1].sendall(frame(["last", {}]))
    pair[1].close()
    assert (await channel.receive()).name == "last"
    with pytest.raises(ControlClosed):
        await channel.receive()
    with pytest.raises(ControlClosed):
        channel.send("more")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(["a", {}], version=2),
        HEADER.pack(MAX_BODY_BYTES + 1, 0, 1),
        frame(["a", {}], descriptors=1),
        frame("a"),
        frame(["a", []]),
        frame([1, {}]),
        HEADER.pack(1, 0, 1) + b"{",
        HEADER.pack(40_000, 0, 1) + b"[" * 40_000,
    ],
    ids=["HTTP", "version", "too long", "no descriptor", "text", "no values", "no name", "no JSON", "deep"],
)
async def test_what_is_no_message_ends_the_channel(
    pair: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    channel = ControlChannel(pair[0])
    pair[1].sendall(sent)
    with pytest.raises(ControlClosed):
        async with asyncio.timeout(5):
            await channel.receive()


async def test_what_is_too_long_is_not_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    channel = ControlChannel(pair[0])
    with pytest.raises(ValueError, match="a message of"):
        channel.send("message", filler="x" * MAX_BODY_BYTES)
    channel.close()
