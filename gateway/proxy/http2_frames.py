"""What of a peer's HTTP/2 frames is let through to the protocol library, counted before it works on them.

A frame of nine bytes costs its sender nothing and us some microseconds, an answer, or a whole request that
is begun and cut off (CVE-2023-44487, CVE-2019-9511 to -9518, CVE-2024-27316, CVE-2025-8671). So frames that
bring nothing on are paid for from an allowance. It fills up with time and with what we send, for which a
browser owes window updates.
"""

from collections.abc import Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES: Final = 9
# What every peer takes, and takes from us, unless more is agreed on (RFC 9113 §4.2).
MAX_FRAME_BYTES: Final = 16_384

# What may come at once: a tab that is closed resets a hundred streams. At some ten microseconds a frame this
# keeps the loop for five milliseconds.
ALLOWANCE: Final = 500.0
ALLOWANCE_PER_SECOND: Final = 100.0
# Clients open a window again after some ten thousand bytes; one window update for two thousand is plenty.
SENT_BYTES_FOR_ONE: Final = 2_048
# A request that is cut off has cost more than a frame.
RESET_COST: Final = 2.0
# A shorter piece of a body costs more to look at than to send; uploads come in thousands.
SMALL_DATA_BYTES: Final = 256
_SETTING_BYTES: Final = 6

_DATA: Final = 0x0
_HEADERS: Final = 0x1
_RST_STREAM: Final = 0x3
_SETTINGS: Final = 0x4
_GOAWAY: Final = 0x7
_CONTINUATION: Final = 0x9
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_FRAME_SIZE_ERROR: Final = 0x6
_ENHANCE_YOUR_CALM: Final = 0xB


class FramesRefused(Exception):
    """The connection ends, with this error code (RFC 9113 §7)."""

    def __init__(self, error_code: int, detail: str) -> None:
        super().__init__(detail)
        self.error_code = error_code


class FrameGate:
    """Bytes of one connection in, the same bytes out, less the peer's GOAWAY frames.

    The library takes a GOAWAY for the end of the connection. But it only says that the peer begins nothing
    more, and may still wait for its answers (RFC 9113 §6.8): `peer_goes_away` tells the owner.

    What is inside a frame is the library's to check.
    """

    __slots__ = (
        "_allowance",
        "_block_bytes",
        "_dropping",
        "_held",
        "_left",
        "_max_block_bytes",
        "_preface_left",
        "_refilled_at",
        "peer_goes_away",
    )

    def __init__(self, max_block_bytes: int, now: float) -> None:
        """``max_block_bytes`` bounds one header block as it comes, compressed. ``now`` in seconds."""
        self._max_block_bytes = max_block_bytes
        self._allowance = ALLOWANCE
        self._refilled_at = now
        self._preface_left = len(PREFACE)
        self._left = 0  # bytes of a frame's content that are still to come
        self._dropping = False
        self._held = b""  # of a frame's head, as long as it is not whole
        self._block_bytes = 0
        self.peer_goes_away = False

    @property
    def preface_complete(self) -> bool:
        return not self._preface_left

    def pieces(self, data: bytes, now: float) -> Iterator[bytes]:
        """These bytes, cut behind each frame, so that what a frame means is done before the next is looked
        at. Raises FramesRefused where the allowance ends."""
        if now > self._refilled_at:
            earned = (now - self._refilled_at) * ALLOWANCE_PER_SECOND
            self._allowance = min(ALLOWANCE, self._allowance + earned)
            self._refilled_at = now
        if self._held:
            data, self._held = self._held + data, b""
        size = len(data)
        begin = at = min(self._preface_left, size)
        if at:
            self._preface_left -= at
            yield data[:at]
        while at < size:
            if not self._left:
                if size - at < FRAME_HEAD_BYTES:
                    self._held = data[at:]
                    return
                kind = data[at + 3]
                self._left = int.from_bytes(data[at : at + 3])
                if self._left > MAX_FRAME_BYTES:  # the library would first wait for all of it
                    raise FramesRefused(_FRAME_SIZE_ERROR, "a frame larger than we said")
                self._dropping = kind == _GOAWAY
                self._count(kind, data[at + 4], self._left)
                at += FRAME_HEAD_BYTES
            step = min(self._left, size - at)
            at += step
            self._left -= step
            if not self._left or at == size:
                if not self._dropping:
                    yield data[begin:at]
                begin = at

    def sent(self, size: int) -> None:
        """So many bytes of bodies went to the peer."""
        self._allowance = min(ALLOWANCE, self._allowance + size / SENT_BYTES_FOR_ONE)

    def brought_on(self) -> None:
        """A HEADERS was a request, or the end of one: that is what frames are for."""
        self._allowance += 1

    def charge(self, cost: float) -> None:
        """For what a frame made us do. Raises FramesRefused."""
        self._allowance -= cost
        if self._allowance < 0:
            raise FramesRefused(_ENHANCE_YOUR_CALM, "frames that bring nothing on")

    def _count(self, kind: int, flags: int, length: int) -> None:
        if kind == _DATA:
            if length < SMALL_DATA_BYTES and not flags & _END_STREAM:
                self.charge(1)
            return
        if kind in (_HEADERS, _CONTINUATION):
            self._block_bytes = length if kind == _HEADERS else self._block_bytes + length
            if self._block_bytes > self._max_block_bytes:
                raise FramesRefused(_ENHANCE_YOUR_CALM, "a header block that is too large")
            if flags & _END_HEADERS:
                self._block_bytes = 0
            self.charge(1)
        elif kind == _RST_STREAM:
            self.charge(RESET_COST)
        elif kind == _SETTINGS:
            self.charge(1 + length // _SETTING_BYTES)
        else:
            if kind == _GOAWAY:
                self.peer_goes_away = True
            self.charge(1)
