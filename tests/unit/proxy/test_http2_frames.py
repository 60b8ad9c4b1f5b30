"""What of a peer's frames passes, how it is cut, and what frames for their own sake come to."""

from collections.abc import Sequence

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from gateway.proxy.http2_frames import (
    ALLOWANCE,
    ALLOWANCE_PER_SECOND,
    PREFACE,
    SENT_BYTES_FOR_ONE,
    FrameGate,
    FramesRefused,
)

MAX_BLOCK = 1_000
PING = PingFrame(0, b"12345678").serialize()
RESET = RstStreamFrame(1, 8).serialize()
SETTINGS = SettingsFrame(0).serialize()


def open_gate() -> FrameGate:
    gate = FrameGate(MAX_BLOCK, now=0.0)
    assert list(gate.pieces(PREFACE + SETTINGS, 0.0)) == [PREFACE, SETTINGS]
    return gate


def count_until_refused(gate: FrameGate, frame: bytes, most: int = 10_000) -> int:
    """How many of this frame pass."""
    for passed in range(most):
        try:
            list(gate.pieces(frame, 0.0))
        except FramesRefused:
            return passed
    return most


def frames(*several: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in several)


def headers(size: int, flags: Sequence[str] = ("END_HEADERS", "END_STREAM")) -> bytes:
    return HeadersFrame(1, b"h" * size, flags=flags).serialize()


def test_what_comes_is_cut_behind_each_frame() -> None:
    body = DataFrame(1, b"d" * 300).serialize()
    assert list(open_gate().pieces(headers(10) + body + PING, 0.0)) == [headers(10), body, PING]


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 23, 24, 25, 100])
def test_however_it_comes_the_same_bytes_pass(size: int) -> None:
    stream = PREFACE + SETTINGS + headers(40) + DataFrame(1, b"d" * 70).serialize() + PING
    gate = FrameGate(MAX_BLOCK, now=0.0)
    passed = b""
    for at in range(0, len(stream), size):
        passed += b"".join(gate.pieces(stream[at : at + size], 0.0))
    assert passed == stream
    assert gate.preface_complete


@pytest.mark.parametrize("size", [1, 5, 9, 14, 17, 1_000])
def test_a_goaway_is_told_and_not_passed_on(size: int) -> None:
    goaway = GoAwayFrame(0, last_stream_id=0, error_code=0, additional_data=b"bye").serialize()
    gate = open_gate()
    stream = PING + goaway + headers(5) + goaway
    passed = b""
    for at in range(0, len(stream), size):
        passed += b"".join(gate.pieces(stream[at : at + size], 0.0))
    assert passed == PING + headers(5)
    assert gate.peer_goes_away


def test_a_preface_that_is_none_is_left_to_the_library() -> None:
    gate = FrameGate(MAX_BLOCK, now=0.0)
    assert b"".join(gate.pieces(b"GET / HTTP/1.1\r\n", 0.0)) == b"GET / HTTP/1.1\r\n"
    assert not gate.preface_complete


@pytest.mark.parametrize(
    ("frame", "cost"),
    [
        (PING, 1),
        (SETTINGS, 1),
        (SettingsFrame(0, dict.fromkeys(range(16, 25), 1)).serialize(), 10),
        (RESET, 2),
        (WindowUpdateFrame(1, 1).serialize(), 1),
        (PriorityFrame(1, depends_on=0, stream_weight=1).serialize(), 1),
        (DataFrame(1, b"").serialize(), 1),
        (DataFrame(1, b"d").serialize(), 1),
        (headers(5), 1),
        (b"\0\0\0\xee\0\0\0\0\1", 1),
        (b"\0\0\0\x07\0\0\0\0\0", 1),
    ],
    ids=[
        *("ping", "settings", "settings with nine values", "reset", "window update", "priority"),
        *("data without data", "a byte of data", "headers", "a kind nobody knows", "goaway"),
    ],
)
def test_frames_for_their_own_sake_come_to_an_end(frame: bytes, cost: int) -> None:
    assert count_until_refused(open_gate(), frame) == (int(ALLOWANCE) - 1) // cost


def test_time_fills_the_allowance_up() -> None:
    gate = open_gate()
    list(gate.pieces(PING * (int(ALLOWANCE) - 1), 0.0))
    list(gate.pieces(PING * int(ALLOWANCE_PER_SECOND), 1.0))
    with pytest.raises(FramesRefused):
        list(gate.pieces(PING, 1.0))


def test_what_we_send_pays_for_window_updates() -> None:
    gate = open_gate()
    update = WindowUpdateFrame(0, 2 * SENT_BYTES_FOR_ONE).serialize()
    for _ in range(5_000):
        gate.sent(2 * SENT_BYTES_FOR_ONE)
        list(gate.pieces(update, 0.0))


def test_requests_and_their_bodies_cost_nothing() -> None:
    gate = open_gate()
    body = DataFrame(1, b"d" * 10_000).serialize()
    last = DataFrame(1, b"", flags=["END_STREAM"]).serialize()
    for _ in range(5_000):
        list(gate.pieces(headers(30, ["END_HEADERS"]) + body + last, 0.0))
        gate.brought_on()


@pytest.mark.parametrize(
    "stream",
    [
        headers(MAX_BLOCK + 1),
        headers(600, []) + ContinuationFrame(1, b"h" * 401, flags=["END_HEADERS"]).serialize(),
        headers(0, []) + frames(*[ContinuationFrame(1, b"h" * 10)] * 101),
        headers(5, []) + frames(*[ContinuationFrame(1, b"")] * int(ALLOWANCE)),
    ],
    ids=["in one frame", "in two", "in a hundred", "in frames without anything"],
)
def test_a_header_block_that_does_not_end_is_refused(stream: bytes) -> None:
    with pytest.raises(FramesRefused):
        list(open_gate().pieces(stream, 0.0))


def test_the_next_header_block_may_be_as_large_again() -> None:
    gate = open_gate()
    for _ in range(3):
        list(gate.pieces(headers(MAX_BLOCK), 0.0))
