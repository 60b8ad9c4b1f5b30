"""The bodies of a connection's answers on their way into frames: how much may wait, and whose turn it is.

Whoever may send at once does. What cannot go, for a window or for the socket, waits in its stream, and those
that wait send a frame each in turn. Priorities are not followed.
"""

from collections.abc import Callable
from typing import Final

from h2.connection import H2Connection

from gateway.proxy.http2_frames import MAX_FRAME_BYTES, FrameGate
from gateway.server.http2_stream import Http2Stream

# Of all answers of a connection, what may wait for the browser. One read from an app is up to 256 KiB.
MAX_BACKLOG_BYTES: Final = 4_194_304


class BodySender:
    """Of one connection. ``flush`` writes what the library has to say, ``complete`` ends a stream whose
    answer is out. The owner says when the socket takes no more (`socket_is_full`), and when something has
    changed that others may wait for (`room_changed`)."""

    __slots__ = (
        "_complete",
        "_flush",
        "_gate",
        "_h2",
        "_waiting",
        "backlog_bytes",
        "room_changed",
        "socket_is_full",
    )

    def __init__(
        self,
        protocol: H2Connection,
        gate: FrameGate,
        flush: Callable[[], None],
        complete: Callable[[Http2Stream], None],
    ) -> None:
        self._h2 = protocol
        self._gate = gate
        self._flush = flush
        self._complete = complete
        # Streams whose answer, or exchange, waits for a window or the socket; in the order of their turns.
        self._waiting: dict[int, Http2Stream] = {}
        self.backlog_bytes = 0
        self.socket_is_full = False
        self.room_changed = False

    @property
    def has_room(self) -> bool:
        return not self.socket_is_full and self.backlog_bytes <= MAX_BACKLOG_BYTES

    def may_send(self, stream: Http2Stream) -> bool:
        return self.has_room and self._h2.local_flow_control_window(stream.stream_id) > 0

    def watch(self, stream: Http2Stream) -> None:
        """Tell it when it may go on."""
        self._waiting[stream.stream_id] = stream

    def forget(self, stream: Http2Stream) -> None:
        """It is over, with whatever still waits in it."""
        self._waiting.pop(stream.stream_id, None)
        self.backlog_bytes -= stream.backlog_bytes
        self.room_changed = True

    def send(self, stream: Http2Stream, data: bytes) -> None:
        """Send what may be sent now; the rest waits in the stream. Nothing, at the end of an answer, is its
        last frame."""
        if not stream.backlog:
            if not data:
                self._end(stream)
                return
            if not self.socket_is_full:
                sent = self._send_frames(stream, data, len(data))
                if sent == len(data):
                    return
                data = data[sent:]
        if data:
            stream.waits(data)
            self.backlog_bytes += len(data)
            self._waiting[stream.stream_id] = stream
            stream.update_pressure()

    def send_on(self) -> None:
        """Let all that wait send, until nobody can."""
        self.room_changed = False
        progressed = True
        while progressed and self._waiting and not self.socket_is_full:
            progressed = False
            for stream in list(self._waiting.values()):
                if stream.backlog and self._send_backlog(stream):
                    progressed = True
                stream.update_pressure()
                if not stream.backlog and not stream.is_paused:
                    self._waiting.pop(stream.stream_id, None)
                if stream.done:
                    self._complete(stream)
            self._flush()

    def _send_backlog(self, stream: Http2Stream) -> bool:
        data = stream.backlog[0]
        sent = self._send_frames(stream, data, MAX_FRAME_BYTES)
        if not sent:
            return False
        if sent == len(data):
            stream.backlog.popleft()
        else:
            stream.backlog[0] = data[sent:]
        self.backlog_bytes -= sent
        stream.progress(sent)
        return True

    def _send_frames(self, stream: Http2Stream, data: bytes | memoryview, limit: int) -> int:
        """Send at most ``limit`` of these bytes, as far as the windows allow; returns how many. The end of
        the stream goes with the last of an answer that has ended."""
        stream_id = stream.stream_id
        size = len(data)
        at, end = 0, min(limit, size, self._h2.local_flow_control_window(stream_id))
        is_last = stream.answer_ended and len(stream.backlog) <= 1
        ends = is_last and not stream.trailers
        while at < end:
            step = min(end - at, MAX_FRAME_BYTES)
            piece = data[at : at + step] if step < size else data
            at += step
            self._h2.send_data(stream_id, piece, end_stream=ends and at == size)
        if at > 0:
            self._gate.sent(at)
        if at == size and is_last and stream.trailers:
            self._end(stream)
        return at

    def _end(self, stream: Http2Stream) -> None:
        if stream.trailers:
            fields = [(name.lower(), value) for name, value in stream.trailers]
            self._h2.send_headers(stream.stream_id, fields, end_stream=True)
        else:
            self._h2.end_stream(stream.stream_id)
