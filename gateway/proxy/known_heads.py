"""Requests whose header fields came before, byte for byte, on the same connection.

A browser sends the same fields with many requests: only the request line differs. Reading them again costs
more than all else that a small request needs. So the fields of plain requests are remembered as the bytes
they were, and a request that brings the very same bytes gets what llhttp once made of them.

Plain is GET or HEAD in HTTP/1.1 without body, Upgrade, Expect and TE, on a connection that is kept alive,
alone in what was read. Everything else, and every first time, goes through `RequestParser`. Nothing is
accepted here that it has not accepted: what differs is a request line of method, path and version, which
leaves nothing to interpret.
"""

import re
from typing import Final

from gateway.model.http import KnownHead, RequestHead
from gateway.proxy.http1 import End, Event, RequestStart

# What one page asks for differs in Accept and Sec-Fetch-*, not in more ways.
MAX_KNOWN_HEADS: Final = 8
# Times the number above, what an idle connection may cost. Cookies are the largest part.
MAX_KNOWN_BYTES: Final = 2_048
# A target with characters that some check would have to look at, such as "#", is no plain one.
_REQUEST_LINE: Final = re.compile(rb"(GET|HEAD) (/[!\"$-~]*) HTTP/1\.1")
_HEAD_END: Final = b"\r\n\r\n"
_NOT_PLAIN: Final = (
    b"\nupgrade:",
    b"\nexpect:",
    b"\nte:",
    b"\ncontent-length:",
    b"\ntransfer-encoding:",
)


class KnownHeads:
    """Of one connection."""

    __slots__ = ("_known", "_max_target_bytes")

    def __init__(self, max_target_bytes: int) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self._max_target_bytes = max_target_bytes

    def find(self, data: bytes) -> RequestStart | None:
        """The plain request that these bytes are from first to last, if its fields are known; else None.

        Only for bytes that begin a request. No body follows.
        """
        if not self._known or len(data) > MAX_KNOWN_BYTES:
            return None
        line_end = data.find(b"\r\n")
        known = self._known.get(data[line_end:])
        if known is None:
            return None
        line = _REQUEST_LINE.fullmatch(data, 0, line_end)
        if line is None or line_end > self._max_target_bytes:
            return None
        method, target = line.groups()
        return RequestStart(RequestHead(method, target, "1.1", known.fields), True, None, False, False, known)

    def learn(self, data: bytes, events: list[Event]) -> None:
        """Know the fields next time, if these events are all of these bytes and one plain request."""
        if len(events) != 2 or len(data) > MAX_KNOWN_BYTES or data.find(_HEAD_END) != len(data) - 4:
            return
        start, line_end = events[0], data.find(b"\r\n")
        lowered = data.lower()  # without a space before a colon: llhttp refuses that
        if (
            not isinstance(start, RequestStart)
            or events[1] is not End.MESSAGE
            or start.head.http_version != "1.1"
            or not start.keep_alive
            or _REQUEST_LINE.fullmatch(data, 0, line_end) is None
            or any(field in lowered for field in _NOT_PLAIN)
        ):
            return
        if len(self._known) >= MAX_KNOWN_HEADS:
            del self._known[next(iter(self._known))]
        known = self._known[data[line_end:]] = KnownHead(start.head.headers)
        events[0] = start._replace(known=known)
