"""Responses that came whole in one read, recognized without being taken apart.

Most answers of an app are small: head and body are there at once, framed by Content-Length. Such a one is
passed on as the bytes it is, but for fields of the connection that ended here. Recognized is less than what
is allowed: a response with anything unusual is left to `ResponseParser`, which reads it or refuses it.
"""

import re
from typing import Final, NamedTuple

from gateway.proxy.http1 import MAX_HEADER_FIELDS

# RFC 9112 §4 and §5, less the spellings that no server writes. Status codes whose framing is special
# (1xx, 204, 205, 304) and redirects, which are looked into, are not among them.
_HEAD: Final = re.compile(
    rb"HTTP/1\.1 (2(?!04|05)[0-9][0-9]|30[01]|[45][0-9][0-9]) [\t -~\x80-\xff]*\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
)
# Fields that frame the body, belong to the connection, or must not pass. The rest passes untouched.
_SPECIAL: Final = re.compile(
    rb"\n((?i:content-length|connection|keep-alive|proxy-[^:]*|te|trailer|transfer-encoding|upgrade"
    rb"|x-device-trust[^:]*|set-cookie)):([^\r]*)\r"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
_HEAD_END: Final = b"\r\n\r\n"
# Heads remembered for one app, and how long each may be.
MAX_KNOWN_HEADS: Final = 64
MAX_KNOWN_HEAD_BYTES: Final = 2_048


class WholeHead(NamedTuple):
    """``passed`` is the head without the fields of the app's connection: itself where there are none."""

    status: int
    content_length: int
    passed: bytes
    sets_cookie: bool


class WholeResponses:
    """Of one app: it answers with the same head again and again, within the second of its Date at least.

    Heads that set cookies are not remembered: no two are the same, and they are nobody's to keep.
    """

    __slots__ = ("_known", "_max_head_bytes")

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._known: dict[bytes, WholeHead] = {}

    @property
    def heads_held(self) -> int:
        return len(self._known)

    def read(self, data: bytes, *, head_only: bool) -> tuple[int, bytes] | None:
        """(status, what to pass on) if the bytes are one response from the first to the last; else None.

        For an HTTP/1.1 browser whose connection stays open, and an app whose connection does too.
        ``head_only``: it answers a HEAD request.
        """
        body_at = data.find(_HEAD_END) + 4
        head = data[:body_at]
        known = self._known.get(head)
        if known is None:
            if not 4 < body_at <= self._max_head_bytes:
                return None
            known = whole_head(head)
            if known is None:
                return None
            self._remember(head, known)
        if len(data) - body_at != (0 if head_only else known.content_length):
            return None
        if known.passed is head:
            return known.status, data
        return known.status, known.passed + data[body_at:]

    def _remember(self, head: bytes, known: WholeHead) -> None:
        if len(head) > MAX_KNOWN_HEAD_BYTES or known.sets_cookie:
            return
        if len(self._known) >= MAX_KNOWN_HEADS:
            self._known.clear()
        self._known[head] = known


def whole_head(head: bytes) -> WholeHead | None:
    """What a head says, from status line to empty line; None where it is not as simple as it has to be."""
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    fields_at, fields_end = match.span(2)
    if head.count(b"\n", fields_at, fields_end) > MAX_HEADER_FIELDS:
        return None
    length = -1
    sets_cookie = False
    pieces: list[bytes] = []
    passed_to = 0
    for special in _SPECIAL.finditer(head, fields_at - 1, fields_end):
        name, value = special[1].lower(), special[2].strip(b" \t")
        if name == b"content-length":
            if length >= 0 or _LENGTH.fullmatch(value) is None:
                return None
            length = int(value)
        elif name == b"set-cookie":
            sets_cookie = True
        elif name == b"keep-alive" or (name == b"connection" and value.lower() == b"keep-alive"):
            pieces.append(head[passed_to : special.start() + 1])
            passed_to = special.end() + 1
        else:
            return None
    if length < 0:
        return None
    if pieces:
        pieces.append(head[passed_to:])
    return WholeHead(int(match[1]), length, b"".join(pieces) if pieces else head, sets_cookie)
