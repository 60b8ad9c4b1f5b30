"""HTTP/1.1 messages as events, without a socket (RFC 9112). The tokenizer is llhttp, in its strict mode.

llhttp refuses what request smuggling is made of: Content-Length together with Transfer-Encoding, repeated
lengths, line folding, bare CR or LF, space before a colon, NUL, data after `Connection: close`. Refused here
on top of it: Transfer-Encoding other than `chunked` or in HTTP/1.0, CONNECT, an Upgrade with a body (llhttp
would not read that body), and everything past the limits below.

`RequestParser.feed` and `ResponseParser.feed` return events; a body arrives as the `bytes` it is.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

import httptools

from gateway.model.http import Headers, KnownHead, RequestHead, ResponseHead

# More header fields than any browser sends; each costs us a tuple.
MAX_HEADER_FIELDS: Final = 200
# Chunk extensions are dropped and trailers few, but the tokenizer gathers each of them whole.
MAX_BYTES_BETWEEN_BODY: Final = 16_384
# Early hints come once, or a few times while a page is made.
MAX_INTERIM_HEADS: Final = 16
# So many events of one read are chunks of a few bytes: passed on one by one, each would cost a hundred times
# what it costs its sender.
_MANY_EVENTS: Final = 8


_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class End(Enum):
    """The end of one message's body."""

    MESSAGE = "message"


class Trailers(NamedTuple):
    """The fields behind a chunked body, if there are any (RFC 9112 §7.1.2); comes right before `End`."""

    fields: Headers


class RequestStart(NamedTuple):
    head: RequestHead
    keep_alive: bool
    content_length: int | None  # None: chunked, or no body
    chunked: bool
    websocket: bool  # asks to switch to WebSocket (RFC 6455 §4.1)
    known: KnownHead | None = None

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.content_length)


class ResponseStart(NamedTuple):
    head: ResponseHead
    http_version: str
    content_length: int | None
    chunked: bool
    keep_alive: bool


Event = RequestStart | bytes | Trailers | End
ResponseEvent = ResponseStart | bytes | Trailers | End


class HttpRefused(Exception):
    """A message that is malformed or past a limit. ``status`` is what the sender is told before the close."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class RequestParser:
    """Bytes of one connection in, events of its requests out, pipelined ones in order.

    After an upgrade request `switched` is True and `leftover` holds the bytes behind it; the parser takes
    no more until `resume` says that the upgrade was declined.
    """

    __slots__ = (
        "_begun",
        "_bodiless_bytes",
        "_events",
        "_fields",
        "_head_bytes",
        "_in_head",
        "_max_head_bytes",
        "_max_target_bytes",
        "_parser",
        "_target",
        "leftover",
        "switched",
    )

    def __init__(self, max_head_bytes: int, max_target_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._max_target_bytes = max_target_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._events: list[Event] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._head_bytes = 0
        self._bodiless_bytes = 0
        self._in_head = True
        self._begun = False
        self.switched = False
        self.leftover = b""

    def feed(self, data: bytes) -> list[Event]:
        """Events of these bytes. Raises HttpRefused; the connection cannot go on after that.

        Events of messages that were complete before the refused bytes are lost with it: their sender
        smuggles or is broken, either way nothing it sent in that piece is answered.
        """
        assert not self.switched
        self._events = []
        if self._in_head:
            self._head_bytes += len(data)
        switched_at = _tokenize(self._parser, data, error_status=400)
        if switched_at is not None:
            self.switched = True
            self.leftover = data[switched_at:]
        if self._in_head:
            if self._head_bytes > self._max_head_bytes:
                raise HttpRefused(431, "the request head is too large")
        elif self._events:
            self._bodiless_bytes = 0
        else:
            self._bodiless_bytes += len(data)
            if self._bodiless_bytes > MAX_BYTES_BETWEEN_BODY:
                raise HttpRefused(400, "chunk extensions or trailers are too large")
        return joined(self._events) if len(self._events) > _MANY_EVENTS else self._events

    @property
    def is_between_requests(self) -> bool:
        """True if nothing of a request was taken that is not complete."""
        return not (self._begun or self.switched)

    def resume(self) -> bytes:
        """Go on with plain HTTP after a declined upgrade; returns the bytes that wait to be fed."""
        leftover, self.leftover, self.switched = self.leftover, b"", False
        self._parser = httptools.HttpRequestParser(self)
        return leftover

    def close(self) -> None:
        """Take no more. The tokenizer and this parser hold each other; apart, both are freed at once."""
        del self._parser

    # llhttp's callbacks.

    def on_message_begin(self) -> None:
        self._fields = []
        self._target = b""
        self._in_head = True
        self._begun = True

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self._max_target_bytes:
            raise HttpRefused(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if len(self._fields) > MAX_HEADER_FIELDS:
            raise HttpRefused(431 if self._in_head else 400, "too many header fields, or trailers")

    def on_headers_complete(self) -> None:
        parser = self._parser
        fields: Headers = tuple(self._fields)
        if self._head_bytes > self._max_head_bytes and _size(fields) > self._max_head_bytes:
            raise HttpRefused(431, "the request head is too large")
        self._fields = []  # from here, those of the trailer
        self._in_head = False
        self._head_bytes = 0
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise HttpRefused(505, "only HTTP/1.0 and HTTP/1.1")
        method = parser.get_method()
        if method == b"CONNECT":
            raise HttpRefused(405, "CONNECT is not for this server")
        content_length, chunked = _framing(fields, version)
        upgrade = parser.should_upgrade()
        if upgrade and (chunked or content_length):
            raise HttpRefused(400, "an Upgrade request with a body")
        self._events.append(
            RequestStart(
                RequestHead(method, self._target, version, fields),
                keep_alive=parser.should_keep_alive(),
                content_length=content_length,
                chunked=chunked,
                # RFC 9110 §7.8: an Upgrade in HTTP/1.0 means nothing.
                websocket=upgrade and method == b"GET" and version == "1.1" and _names_websocket(fields),
            )
        )

    def on_body(self, body: bytes) -> None:
        self._events.append(body)

    def on_message_complete(self) -> None:
        if self._fields:
            self._events.append(_trailers(self._fields, error_status=400))
        self._events.append(End.MESSAGE)
        self._in_head = True
        self._begun = False


class ResponseParser:
    """Bytes of one response in, events out. One parser reads one exchange: interim heads, then the answer.

    ``head_only``: the answer to a HEAD request ends with its head, whatever its Content-Length says.
    `leftover` holds bytes after a 101 (the new protocol's); any other bytes behind the end are refused.
    """

    __slots__ = (
        "_bodiless_bytes",
        "_done",
        "_events",
        "_fields",
        "_head_bytes",
        "_head_only",
        "_in_head",
        "_interim",
        "_interims",
        "_max_head_bytes",
        "_parser",
        "_reason",
        "_until_close",
        "leftover",
    )

    def __init__(self, head_only: bool, max_head_bytes: int) -> None:
        self._head_only = head_only
        self._max_head_bytes = max_head_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._events: list[ResponseEvent] = []
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._head_bytes = 0
        self._bodiless_bytes = 0
        self._in_head = True
        self._interim = False
        self._interims = 0
        self._until_close = False
        self._done = False
        self.leftover = b""

    def feed(self, data: bytes) -> list[ResponseEvent]:
        """Events of these bytes. Raises HttpRefused (status 502)."""
        if self._done:
            raise HttpRefused(502, "bytes behind the end of the response")
        self._events = []
        if self._in_head:
            self._head_bytes += len(data)
        switched_at = _tokenize(self._parser, data, error_status=502)
        if switched_at is not None:
            self.leftover = data[switched_at:]
        self._bound_bytes(len(data))
        return self._events

    def _bound_bytes(self, size: int) -> None:
        if self._in_head:
            if not self._done and self._head_bytes > self._max_head_bytes:
                raise HttpRefused(502, "the response head is too large")
        elif self._events:
            self._bodiless_bytes = 0
        else:
            self._bodiless_bytes += size
            if self._bodiless_bytes > MAX_BYTES_BETWEEN_BODY:
                raise HttpRefused(502, "chunk extensions or trailers are too large")

    def end_of_stream(self) -> list[ResponseEvent] | None:
        """The upstream closed: the events that this completes, None if the response is cut off."""
        if self._done:
            return []
        if not self._until_close:
            return None
        self._done = True
        return [End.MESSAGE]

    # llhttp's callbacks.

    def on_message_begin(self) -> None:
        if self._done:
            raise HttpRefused(502, "bytes behind the end of the response")
        self._fields = []
        self._reason = b""
        self._in_head = True

    def on_status(self, reason: bytes) -> None:
        self._reason += reason
        if _CONTROL.search(reason) is not None:
            raise HttpRefused(502, "a reason phrase with control characters")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if len(self._fields) > MAX_HEADER_FIELDS:
            raise HttpRefused(502, "too many header fields in the response")

    def on_headers_complete(self) -> None:
        parser = self._parser
        fields: Headers = tuple(self._fields)
        if self._head_bytes > self._max_head_bytes and _size(fields) > self._max_head_bytes:
            raise HttpRefused(502, "the response head is too large")
        self._in_head = False
        self._head_bytes = 0
        self._fields = []  # from here, those of the trailer
        status = parser.get_status_code()
        if not 100 <= status <= 599:
            raise HttpRefused(502, "a status code out of range")
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise HttpRefused(502, "only HTTP/1.0 and HTTP/1.1")
        content_length, chunked = _framing(fields, "1.1", error_status=502)
        self._interim = status < 200 and status != 101
        if self._interim:
            self._interims += 1
            if self._interims > MAX_INTERIM_HEADS:
                raise HttpRefused(502, "too many interim responses")
        bodiless = self._head_only or status < 200 or status in (204, 304)
        self._until_close = not bodiless and content_length is None and not chunked
        self._events.append(
            ResponseStart(
                ResponseHead(status, self._reason, fields),
                http_version=version,
                content_length=content_length,
                chunked=chunked,
                keep_alive=not self._until_close and _persists(fields, version),
            )
        )
        if self._head_only and status >= 200:
            self._events.append(End.MESSAGE)
            self._done = True

    def on_body(self, body: bytes) -> None:
        if self._head_only:
            raise HttpRefused(502, "a body in the answer to HEAD")
        self._events.append(body)

    def on_message_complete(self) -> None:
        if self._done:
            return
        if self._interim:
            self._in_head = True
            return  # the answer is still to come
        if self._fields:
            self._events.append(_trailers(self._fields, error_status=502))
        self._events.append(End.MESSAGE)
        self._done = True


def last_chunk(trailers: Headers) -> bytes:
    """The end of a chunked body on the wire (RFC 9112 §7.1)."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%s\r\n" % b"".join(b"%s: %s\r\n" % field for field in trailers)


def _tokenize(
    parser: httptools.HttpRequestParser | httptools.HttpResponseParser, data: bytes, error_status: int
) -> int | None:
    """Give llhttp these bytes; it calls back. Returns the offset at which another protocol begins, None while
    it is HTTP. Raises HttpRefused: a callback's own, or ``error_status`` with llhttp's words."""
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        offset: int = upgrade.args[0]
        return offset
    except httptools.HttpParserCallbackError as error:
        cause = error.__context__
        if isinstance(cause, HttpRefused):
            raise cause from None
        raise
    except httptools.HttpParserError as error:
        raise HttpRefused(error_status, str(error) or type(error).__name__) from None
    return None


def joined(events: list[Event]) -> list[Event]:
    """The same events with neighboring pieces of a body put together."""
    fewer: list[Event] = []
    pieces: list[bytes] = []
    for event in events:
        if isinstance(event, bytes):
            pieces.append(event)
            continue
        if pieces:
            fewer.append(b"".join(pieces))
            pieces = []
        fewer.append(event)
    if pieces:
        fewer.append(b"".join(pieces))
    return fewer


def _framing(fields: Headers, version: str, error_status: int = 400) -> tuple[int | None, bool]:
    """(content length, chunked) by RFC 9112 §6. llhttp already refused both at once and repeated lengths."""
    content_length: int | None = None
    chunked = False
    for name, value in fields:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            content_length = int(value)
        elif size == 17 and name.lower() == b"transfer-encoding":
            if chunked or value.lower() != b"chunked" or version == "1.0":
                raise HttpRefused(error_status, "Transfer-Encoding other than one chunked")
            chunked = True
    return content_length, chunked


def _trailers(fields: list[tuple[bytes, bytes]], error_status: int) -> Trailers:
    """What stands behind a body. llhttp lets some of it frame a message that is over."""
    if _size(fields) > MAX_BYTES_BETWEEN_BODY:
        raise HttpRefused(error_status, "chunk extensions or trailers are too large")
    if any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in fields):
        raise HttpRefused(error_status, "a body that is framed again behind its end")
    return Trailers(tuple(fields))


def _size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in fields)


def _persists(fields: Headers, version: str) -> bool:
    options = b",".join(value for name, value in fields if name.lower() == b"connection").lower()
    if version == "1.1":
        return b"close" not in options
    return b"keep-alive" in options


def _names_websocket(fields: Headers) -> bool:
    return any(name.lower() == b"upgrade" and value.lower() == b"websocket" for name, value in fields)
