"""Whatever frames come, in whatever pieces: every request is answered, reset or gone with its connection, no
exchange is left behind, and no defect of ours is hit."""

import struct
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_line import FakeChannel, FakeDeadlines, RecordingHandler

from gateway.model.settings import Limits
from gateway.proxy.http2_frames import PREFACE
from gateway.server.http2_bodies import MAX_BACKLOG_BYTES
from gateway.server.http2_connection import Http2Connection

FIELDS = (
    *((b":method", b"GET"), (b":method", b"POST"), (b":method", b"CONNECT"), (b":path", b"/")),
    *((b":scheme", b"https"), (b":authority", b"wiki.apps.example.test"), (b":status", b"200")),
    *((b"cookie", b"a=b"), (b"content-length", b"3"), (b"content-length", b"0"), (b"te", b"trailers")),
    *((b"Upper", b"case"), (b"x-a", b"b\r\nc: d"), (b"transfer-encoding", b"chunked"), (b"", b"")),
    *((b"expect", b"100-continue"), (b"x-long", b"a" * 5_000)),
)
A_REQUEST = FIELDS[0:1] + FIELDS[3:6]
A_POST = FIELDS[1:2] + FIELDS[3:6]

field_lists = st.one_of(
    st.sampled_from([A_REQUEST, A_POST]),
    st.lists(st.sampled_from(FIELDS), max_size=6).map(lambda more: (*A_POST, *more)),
    st.lists(st.sampled_from(FIELDS), max_size=8).map(tuple),
)


def frame(kind: int, flags: int, stream_id: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream_id.to_bytes(4) + content


def headers(stream_id: int, flags: int, fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return frame(1, flags, stream_id, Encoder().encode(fields))


# A step is frames for a stream that the sequence has opened, or for its next one; numbers are taken modulo.
Step = Callable[[int, int], bytes]  # (a stream that was opened, the next one) → frames

new_requests = st.builds(
    lambda fields, flags: lambda _, following: headers(following, flags, fields),
    field_lists,
    st.sampled_from([0x4, 0x4, 0x5]),
)
trailers = st.builds(
    lambda fields: lambda opened, _: headers(opened, 0x5, fields),
    st.sampled_from([((b"x-sum", b"1"),), A_REQUEST]),
)
data_frames = st.builds(
    lambda size, flags: lambda opened, _: frame(0, flags, opened, bytes(size)),
    st.sampled_from([0, 1, 3, 300, 16_384]),
    st.sampled_from([0, 0, 1, 8]),
)
control_frames = st.one_of(
    st.builds(
        lambda code: lambda opened, _: frame(3, 0, opened, struct.pack(">L", code)), st.integers(0, 20)
    ),
    st.builds(
        lambda size: lambda _, __: frame(4, 0, 0, struct.pack(">HL", 4, size)),
        st.sampled_from([0, 1, 65_535, 1_000_000]),
    ),
    st.builds(
        lambda whole, size: lambda opened, _: frame(8, 0, 0 if whole else opened, struct.pack(">L", size)),
        st.booleans(),
        st.sampled_from([1, 100, 65_535, 65_535, 2**31 - 1]),
    ),
    st.just(lambda _, __: frame(6, 0, 0, bytes(8))),
    st.just(lambda _, __: frame(7, 0, 0, bytes(8))),
)
wrong_frames = st.one_of(
    st.builds(
        lambda pairs: lambda _, __: frame(4, 0, 0, b"".join(struct.pack(">HL", *pair) for pair in pairs)),
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1)), max_size=4),
    ),
    st.builds(
        lambda content: (
            lambda opened, following: headers(following, 0, A_REQUEST) + frame(9, 4, opened, content)
        ),
        st.binary(max_size=20),
    ),
    st.builds(
        lambda kind, flags, stream_id, content: lambda _, __: frame(kind, flags, stream_id, content),
        *(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)),
    ),
)
usual = st.one_of(new_requests, new_requests, data_frames, data_frames, trailers, control_frames)
nearly_always_usual = st.integers(0, 15).flatmap(lambda n: usual if n else wrong_frames)
step_lists = st.lists(st.tuples(nearly_always_usual, st.integers(0, 3)), max_size=30)


class World:
    def __init__(self) -> None:
        self.channel = FakeChannel()
        self.deadlines = FakeDeadlines()
        self.handler = RecordingHandler()
        self._refused = 0
        self.connection = Http2Connection(self.channel, self.handler, Limits(), self.deadlines)  # type: ignore[arg-type]

    def send(self, stream: bytes, cut: int) -> None:
        for at in range(0, len(stream), cut):
            if not self.channel.is_open:
                return
            self.connection.receive(stream[at : at + cut])
            self.deadlines.run_calls()
            assert self.channel.is_read
            assert self.connection.bodies.backlog_bytes <= MAX_BACKLOG_BYTES

    def refused_more(self) -> bool:
        """True if a request was refused since this was asked."""
        before, self._refused = self._refused, self.handler.refused
        return self.handler.refused > before

    def ends(self) -> None:
        if self.channel.is_open:
            self.connection.closed()
        assert not self.handler.defects, self.handler.defects
        assert all(exchange.is_over for exchange in self.handler.exchanges)
        assert not self.deadlines.watched


@settings(max_examples=200, deadline=None)
@given(steps=step_lists, cut=st.sampled_from([1, 7, 100, 100_000]), pause=st.booleans())
def test_whatever_frames_come_every_request_is_answered_or_over(
    steps: list[tuple[Step, int]], cut: int, pause: bool
) -> None:
    world = World()
    world.send(PREFACE + frame(4, 0, 0, b""), cut)
    for following in (1, 3, 5, 7):
        world.send(headers(following, 0x4, A_POST), cut)
    following = 9
    for number, (step, which) in enumerate(steps):
        if pause and number == len(steps) // 2:
            world.connection.pause_writing()
        before = len(world.handler.exchanges)
        world.send(step(following - 2 - 2 * which, following), cut)
        if len(world.handler.exchanges) > before or world.refused_more():
            following += 2
        world.handler.go_on(which)
    if pause and world.channel.is_open:
        world.connection.resume_writing()
    world.ends()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_whatever_bytes_come_nothing_breaks(junk: bytes, with_preface: bool) -> None:
    world = World()
    world.send((PREFACE if with_preface else b"") + junk, 100)
    world.ends()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["get", "post", "data", "reset", "window"]), st.integers(0, 9))),
    st.integers(0, 70_000),
)
def test_what_a_real_client_receives_is_http_2(steps: list[tuple[str, int]], window: int) -> None:
    """A client that keeps to the rules never finds us breaking them."""
    world = World()
    client = H2Connection(H2Configuration())
    client.initiate_connection()
    client.update_settings({4: window})  # type: ignore[dict-item]  # INITIAL_WINDOW_SIZE
    open_posts: list[int] = []

    def exchange_bytes() -> None:
        world.send(client.data_to_send(), 100_000)
        for piece in world.channel.take():
            client.receive_data(piece)
        world.send(client.data_to_send(), 100_000)

    exchange_bytes()
    for number, (step, which) in enumerate(steps):
        if step in ("get", "post"):
            stream_id = client.get_next_available_stream_id()
            client.send_headers(
                stream_id, [*(A_REQUEST if step == "get" else A_POST)], end_stream=step == "get"
            )
            if step == "post":
                open_posts.append(stream_id)
        elif step == "window":
            client.increment_flow_control_window(1 + which * 5_000)
        elif open_posts:
            stream_id = open_posts[which % len(open_posts)]
            if stream_id in client.streams and client.streams[stream_id].open:
                if step == "data":
                    client.send_data(stream_id, bytes(which))
                else:
                    client.reset_stream(stream_id, 8)
                    open_posts.remove(stream_id)
            else:
                open_posts.remove(stream_id)
        exchange_bytes()
        world.handler.go_on(number)
        exchange_bytes()
    assert world.channel.is_open
    world.ends()
