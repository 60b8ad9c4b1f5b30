"""One browser's HTTP/2 connection: many requests at once, each a stream with its own exchange (RFC 9113).

    receive   bytes → counted (proxy/http2_frames.py) → the library's events → the stream they are for
    send      a stream's head and pieces → frames, as far as windows and the socket allow
    end       GOAWAY: what runs is finished; what the browser begins meanwhile is refused, to be sent again

The library (`h2`) knows frames, header compression, windows and the states of streams. Here is what it leaves
to its user: which requests are refused, when, and when the connection is over. What of the answers is sent
when is for `BodySender`.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error, StreamClosedError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from gateway.model.settings import Limits
from gateway.proxy.http1 import MAX_HEADER_FIELDS, HttpRefused
from gateway.proxy.http2_frames import RESET_COST, FrameGate, FramesRefused
from gateway.proxy.http2_heads import KnownFields, check_trailers, whole_response_fields
from gateway.server.channel import Channel
from gateway.server.deadlines import Deadlines
from gateway.server.exchange import Handler, HeaderField
from gateway.server.http2_bodies import BodySender
from gateway.server.http2_stream import Http2Stream

# As nginx offers; RFC 9113 §6.5.2 advises against fewer than 100.
MAX_CONCURRENT_STREAMS: Final = 128
# Each request costs a quarter of a millisecond, and all of them may come in one read: between so many the
# loop serves others.
REQUESTS_AT_ONCE: Final = 16
# What a browser may send of one body, and of all, before the apps have taken it. The first bounds the speed
# of an upload (5 MB/s at 50 ms), the second what we hold.
STREAM_WINDOW_BYTES: Final = 262_144
CONNECTION_WINDOW_BYTES: Final = 1_048_576
# How we remember what we sent before (RFC 7541 §4.2); browsers would allow more, and each search costs more.
_HEADER_TABLE_BYTES: Final = 4_096
_FIELD_OVERHEAD_BYTES: Final = 32  # by which a field counts for more than its bytes (RFC 9113 §6.5.2)
# An ORIGIN frame without entries (RFC 8336 §2.3): this connection is for the host of the TLS server name
# only. Browsers that know it send no requests for other hosts here, which would be answered 421.
_ONLY_THIS_ORIGIN: Final = b"\x00\x00\x00\x0c\x00\x00\x00\x00\x00"
_CONNECTION_STREAM_ID: Final = 0


class _Protocol(H2Connection):
    # Of streams that are over; for all 65,536 a connection that lives long would hold megabytes.
    MAX_CLOSED_STREAMS = 1_024


class Http2Connection:
    """See the module's docstring. A `Speaker` for its channel."""

    def __init__(self, channel: Channel, handler: Handler, limits: Limits, deadlines: Deadlines) -> None:
        self.channel = channel
        self.handler = handler
        self.limits = limits
        self._deadlines = deadlines
        self._gate = FrameGate(limits.max_head_bytes, deadlines.after(0))
        self._h2 = _protocol(limits)
        self._known_fields = KnownFields(limits.max_head_bytes, limits.max_target_bytes)
        self._last_head = b""  # of a response that was passed on, and what it is in HTTP/2
        self._last_fields: list[HeaderField] = []
        self._streams: dict[int, Http2Stream] = {}
        self.bodies = BodySender(self._h2, self._gate, self.flush, self._complete)
        self._receiving = False
        self._greeted = False
        self._begun = 0
        self._rest: Iterator[bytes] | None = None  # of what was read, where that was more than enough
        self._later = b""  # what was read all the same
        self._ends_soon = False
        self._leaving = False
        self._said_goaway = False
        self._over = False
        # Stands for the connection where a defect belongs to no request.
        self._whole = Http2Stream(self, _CONNECTION_STREAM_ID)
        self._whole.is_open = False  # nothing can be answered there
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65_535)
        channel.set_deadline(limits.request_head_timeout_seconds)
        channel.write(self._h2.data_to_send() + _ONLY_THIS_ORIGIN)

    # For the channel.

    def receive(self, data: bytes) -> None:
        if self._rest is not None:
            self._later += data
            return
        pieces = self._gate.pieces(data, self._deadlines.after(0))
        self.handler.guard(partial(self._receive, pieces), self._whole)

    def closed(self) -> None:
        self._over = True
        for stream in list(self._streams.values()):
            self._remove(stream)
            self.handler.guard(stream.cancel, stream)

    def pause_writing(self) -> None:
        self.bodies.socket_is_full = True
        if self._over:
            return
        self.channel.set_deadline(self.limits.body_timeout_seconds)
        for stream in list(self._streams.values()):
            stream.update_pressure()

    def resume_writing(self) -> None:
        self.bodies.socket_is_full = False
        if self._over:
            return
        self.channel.set_deadline(None if self._streams else self.limits.idle_timeout_seconds)
        self.bodies.send_on()

    def deadline_passed(self) -> None:
        if self.bodies.socket_is_full:
            self.channel.abort()  # it reads nothing, not even that this is the end
        elif not self._streams:
            self._close()

    def end_soon(self) -> None:
        """Close behind the first requests: the worker drains already."""
        self._ends_soon = True

    def drain(self) -> None:
        if self._said_goaway or self._over:
            return
        self._leaving = True
        if self._streams:
            self._said_goaway = True
            self.flush()
            self.channel.write(self._goaway())
        else:
            self._close()

    # For the streams.

    def after(self, seconds: float) -> float:
        return self._deadlines.after(seconds)

    def taken(self, stream: Http2Stream, size: int) -> None:
        """So much of the browser's window is free again."""
        if not self._over and size:
            self._h2.acknowledge_received_data(size, stream.stream_id)

    def send_head(self, stream: Http2Stream, fields: list[HeaderField], *, last: bool) -> None:
        self._h2.send_headers(stream.stream_id, fields, end_stream=last)

    def fields_of(self, head: bytes) -> list[HeaderField]:
        """An app answers with the same head again and again, within the second of its Date at least."""
        if head != self._last_head:
            self._last_head, self._last_fields = head, whole_response_fields(head)
        return self._last_fields

    def flush(self) -> None:
        """Write what the library wants to say; while bytes are received, all of it at the end."""
        if self._receiving:
            return
        output = self._h2.data_to_send()
        if output:
            self.channel.write(output)

    def answered(self, stream: Http2Stream) -> None:
        """Its exchange is over."""
        if not stream.answer_ended:
            self.cut_off(stream)
        elif stream.done:
            self._complete(stream)
            self.flush()
            self._let_others_send()

    def cut_off(self, stream: Http2Stream, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        """End one request without an answer, or within it: the browser sees that it is not whole."""
        if stream is self._whole:
            self.channel.abort()
            return
        if self._streams.get(stream.stream_id) is not stream:
            return
        with suppress(StreamClosedError):  # the answer is out, and its exchange has a defect all the same
            self._h2.reset_stream(stream.stream_id, code)
        self._remove(stream)
        stream.cancel()
        self.flush()
        self._after_last()
        self._let_others_send()

    def reset_malformed(self, stream: Http2Stream) -> None:
        self.cut_off(stream, ErrorCodes.PROTOCOL_ERROR)

    def refuse(self, stream: Http2Stream, refused: HttpRefused) -> None:
        """End a request by an answer of ours, whatever runs for it."""
        exchange = stream.take_from()
        if exchange is not None:
            exchange.cancelled()
        if stream.can_answer:
            self.handler.guard(partial(self.handler.refuse, refused, stream), stream)
        else:
            self.cut_off(stream)

    # Inside.

    def _receive(self, pieces: Iterator[bytes]) -> None:
        if self._over:
            return
        self._receiving = True
        enough = self._begun + REQUESTS_AT_ONCE
        try:
            for piece in pieces:
                for event in self._h2.receive_data(piece):
                    self._handle(event)
                if self._is_over():
                    return
                if self._begun >= enough:
                    self._rest = pieces
                    break
        except FramesRefused as refused:
            self._h2.close_connection(refused.error_code)
            self._fail()
            return
        except H2Error:  # the library has said GOAWAY already, with the code that fits
            self._fail()
            return
        finally:
            self._receiving = False
        if not self._greeted and self._gate.preface_complete:
            self._greeted = True
            if not self._streams:
                self.channel.set_deadline(self.limits.idle_timeout_seconds)
        if self.bodies.room_changed:
            self.bodies.send_on()
        self.flush()
        if self._rest is not None:
            self.channel.pause_reading()
            self._deadlines.soon(self._go_on)
            return
        if self._ends_soon and self._h2.highest_inbound_stream_id:
            self.drain()
        if self._gate.peer_goes_away:
            self._leaving = True
            self._after_last()

    def _go_on(self) -> None:
        """With what was read, after others had their turn."""
        pieces, self._rest = self._rest, None
        if pieces is None or self._over:
            return
        self.handler.guard(partial(self._receive, pieces), self._whole)
        if not self._waits_its_turn() and self.channel.is_open:
            later, self._later = self._later, b""
            self.channel.resume_reading()
            if later:
                self.receive(later)

    # Asked anew, because what was called in between may have changed them.

    def _is_over(self) -> bool:
        return self._over

    def _waits_its_turn(self) -> bool:
        return self._rest is not None

    def _handle(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event)
            return
        if isinstance(event, WindowUpdated | RemoteSettingsChanged):
            self.bodies.room_changed = True
            if isinstance(event, RemoteSettingsChanged):
                encoder = self._h2.encoder
                encoder.header_table_size = min(encoder.header_table_size, _HEADER_TABLE_BYTES)
            return
        if isinstance(event, DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is None:  # answered already, or cut off
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                stream.request_complete = event.stream_ended is not None
                receive = partial(stream.receive_body, event.data, event.flow_controlled_length)
                self.handler.guard(receive, stream)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self.handler.guard(stream.receive_end, stream)
        elif isinstance(event, TrailersReceived):
            self._gate.brought_on()
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                trailers = tuple(event.headers)
                try:
                    check_trailers(trailers)
                except HttpRefused:
                    self.reset_malformed(stream)
                else:
                    stream.request_complete = True
                    stream.receive_trailers(trailers)
        elif isinstance(event, StreamReset):
            self._reset(event)

    def _begin(self, event: RequestReceived) -> None:
        stream_id = event.stream_id
        if self._leaving:
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        self._gate.brought_on()
        self._begun += 1
        stream = Http2Stream(self, stream_id)
        if not (self._streams or self.bodies.socket_is_full):
            self.channel.set_deadline(None)
        self._streams[stream_id] = stream
        self._deadlines.watch(stream)
        stream.request_complete = ended = event.stream_ended is not None
        try:
            start = self._known_fields.read(event.headers, ended=ended)
        except HttpRefused as refused:
            self.refuse(stream, refused)
            return
        stream.begin(start)
        self.handler.guard(partial(self.handler.begin, start, stream), stream)

    def _reset(self, event: StreamReset) -> None:
        if not event.remote_reset:  # by the library, for what the peer did
            self._gate.charge(RESET_COST)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            self._remove(stream)
            self.handler.guard(stream.cancel, stream)
            self._after_last()

    def _let_others_send(self) -> None:
        """What one request held is free: others may wait for it, and the browser need not say anything."""
        if self.bodies.room_changed and not self._receiving and not self._over:
            self.bodies.send_on()

    def _complete(self, stream: Http2Stream) -> None:
        """The whole answer is sent. A body that still comes is not wanted (RFC 9113 §8.1)."""
        if self._streams.get(stream.stream_id) is not stream:
            return
        if not stream.request_complete:
            self._h2.reset_stream(stream.stream_id, ErrorCodes.NO_ERROR)
        self._remove(stream)
        stream.cancel()
        self._after_last()

    def _remove(self, stream: Http2Stream) -> None:
        self._streams.pop(stream.stream_id, None)
        self.taken(stream, stream.untaken())  # the window is the whole connection's
        self.bodies.forget(stream)
        self._deadlines.forget(stream)

    def _after_last(self) -> None:
        if self._streams or self._over:
            return
        if self._leaving:
            self._close()
        elif not self.bodies.socket_is_full:
            self.channel.set_deadline(self.limits.idle_timeout_seconds)

    def _goaway(self) -> bytes:
        # Not by the library: behind its GOAWAY it sends nothing more.
        frame = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id)
        return frame.serialize()

    def _close(self) -> None:
        self._over = True
        output = self._h2.data_to_send()
        self.channel.write_last(output if self._said_goaway else output + self._goaway())

    def _fail(self) -> None:
        self.closed()
        self.channel.write_last(self._h2.data_to_send(), linger=True)


def _protocol(limits: Limits) -> H2Connection:
    # Fields are checked in proxy/http2_heads.py, which answers 400 to one request where the library would end
    # the connection with all others; ours need no check.
    protocol = _Protocol(
        H2Configuration(
            client_side=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    protocol.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_head_bytes,
        },
    )
    # Past what we say a request gets a 431; past this it ends the connection.
    overhead = MAX_HEADER_FIELDS * _FIELD_OVERHEAD_BYTES
    protocol.decoder.max_header_list_size = 2 * limits.max_head_bytes + overhead
    return protocol
