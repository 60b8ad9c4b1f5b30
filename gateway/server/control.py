"""Messages between the processes of one gateway, over a Unix stream socket; descriptors go with them.

A frame is a header (bytes of the body, number of descriptors, version), and a body of JSON: a list of the
message's name and its values. What is large (files, an index, metrics) is never in a message but in memory
whose descriptor goes with it, so a frame is small, and none waits long behind another.

Both ends are programs of ours, of possibly two versions. What does not look like a frame ends the channel.
"""

import array
import asyncio
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

PROTOCOL: Final = 1
MAX_BODY_BYTES: Final = 65_536
# The kernel passes no more in one message (SCM_MAX_FD).
MAX_DESCRIPTORS: Final = 253
# Frames that wait for a peer that does not read, or for an owner that does not ask.
MAX_WAITING: Final = 256
_HEADER: Final = struct.Struct(">IHB")
_RECEIVED_AT_ONCE: Final = 65_536
_DESCRIPTOR_BYTES: Final = array.array("i").itemsize


class ControlClosed(Exception):
    """The other process has gone, or said something that is no frame."""


@dataclass(frozen=True, slots=True)
class Message:
    """``descriptors`` belong to whoever has the message."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()

    def close_descriptors(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


class ControlChannel:
    """One end. Made on the running loop; owns ``connected``."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._outgoing: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()
        self._incoming: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._reads = True
        self._loop.add_reader(connected, self._readable)

    def send(self, name: str, descriptors: Sequence[int] = (), **values: object) -> None:
        """Raises ControlClosed. ``descriptors`` stay the caller's."""
        if self._closed or len(self._outgoing) >= MAX_WAITING:
            self.close()
            raise ControlClosed
        body = json.dumps([name, values], separators=(",", ":")).encode()
        if len(body) > MAX_BODY_BYTES or len(descriptors) > MAX_DESCRIPTORS:
            raise ValueError(f"a message of {len(body)} bytes with {len(descriptors)} descriptors")
        frame = _HEADER.pack(len(body), len(descriptors), PROTOCOL) + body
        if self._outgoing:
            self._outgoing.append((frame, tuple(map(os.dup, descriptors))))
            return
        rest = self._try_to_send(frame, descriptors)
        if rest is not None:
            left = () if len(rest) < len(frame) else tuple(map(os.dup, descriptors))
            self._outgoing.append((rest, left))
            self._loop.add_writer(self._socket, self._writable)

    @property
    def frames_waiting(self) -> int:
        """Frames that the other process has not read yet."""
        return len(self._outgoing)

    async def receive(self) -> Message:
        """The next message. Raises ControlClosed when there is none any more."""
        while not self._incoming:
            if self._closed:
                raise ControlClosed
            self._arrived.clear()
            await self._arrived.wait()
        message = self._incoming.popleft()
        if not self._reads and not self._closed and len(self._incoming) < MAX_WAITING:
            self._reads = True
            self._loop.add_reader(self._socket, self._readable)
        return message

    def close(self) -> None:
        """What has arrived can still be received."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        for _, descriptors in self._outgoing:
            for descriptor in descriptors:
                os.close(descriptor)
        self._outgoing.clear()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        self._arrived.set()

    def _try_to_send(self, data: bytes, descriptors: Sequence[int]) -> bytes | None:
        """What could not be sent yet; None for nothing. Raises ControlClosed."""
        rights = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        )
        try:
            sent = self._socket.sendmsg([data], rights)
        except (BlockingIOError, InterruptedError):
            return data
        except OSError as error:
            self.close()
            raise ControlClosed from error
        return data[sent:] or None

    def _writable(self) -> None:
        while self._outgoing:
            data, descriptors = self._outgoing[0]
            try:
                rest = self._try_to_send(data, descriptors)
            except ControlClosed:
                return
            if rest is None or len(rest) < len(data):
                for descriptor in descriptors:
                    os.close(descriptor)
                descriptors = ()
            if rest is not None:
                self._outgoing[0] = (rest, descriptors)
                return
            self._outgoing.popleft()
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(
                _RECEIVED_AT_ONCE,
                socket.CMSG_SPACE(MAX_DESCRIPTORS * _DESCRIPTOR_BYTES),
                socket.MSG_CMSG_CLOEXEC,
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(content[: len(content) - len(content) % _DESCRIPTOR_BYTES])
                self._descriptors.extend(received)
        if not data or flags & socket.MSG_CTRUNC:  # gone, or this process has no room for what was passed
            self.close()
            return
        self._buffer += data
        if not self._take_frames():
            self.close()

    def _take_frames(self) -> bool:
        """False for what is no frame."""
        while len(self._buffer) >= _HEADER.size:
            size, count, version = _HEADER.unpack_from(self._buffer)
            if size > MAX_BODY_BYTES or version != PROTOCOL:
                return False
            end = _HEADER.size + size
            if len(self._buffer) < end:
                return True
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if count > len(self._descriptors):
                return False
            descriptors = tuple(self._descriptors.popleft() for _ in range(count))
            message = _message(body, descriptors)
            if message is None:
                return False
            self._incoming.append(message)
            self._arrived.set()
            if len(self._incoming) >= MAX_WAITING and self._reads:
                self._reads = False
                self._loop.remove_reader(self._socket)
        return True


def _message(body: bytes, descriptors: tuple[int, ...]) -> Message | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
    ):
        return Message(value[0], value[1], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return None
