"""What the parts of one request are to each other, whatever version of HTTP brought it.

Handler     what a host does with its requests; makes the exchange
Exchange    one request and its answer; takes the body, answers through its requester
Requester   the browser's side of one exchange: an HTTP/1.1 connection, or one stream of HTTP/2
Line        what can be known of the connection below, and cut off: the connection itself, or one stream
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from gateway.model.device import PeerCertificate, TrustVerdict
from gateway.model.http import Headers, RequestHead, ResponseHead
from gateway.proxy.http1 import HttpRefused, RequestStart

HeaderField = tuple[bytes, bytes]

REASON_PHRASES: Final = {
    200: b"OK",
    303: b"See Other",
    307: b"Temporary Redirect",
    400: b"Bad Request",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    421: b"Misdirected Request",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}


class Rested(NamedTuple):
    """What let the last request of a session pass."""

    verdict: TrustVerdict
    user: str  # in folded case


class Connection(Protocol):
    """A connection between its requests."""

    rested_on: Rested | None

    @property
    def is_open(self) -> bool: ...

    def close_when_idle(self) -> None: ...


class Line(Protocol):
    """Where a request came from. Hashable: what lasts is remembered by it."""

    @property
    def server_name(self) -> str: ...

    @property
    def peer_host(self) -> str:
        """The textual address of the peer."""
        ...

    @property
    def peer_certificate(self) -> PeerCertificate | None: ...

    @property
    def connection(self) -> "Connection":
        """The one below, which lasts longer than a request."""
        ...

    @property
    def is_open(self) -> bool: ...

    def abort(self) -> None:
        """Cut off what runs on it, without a word, and let its exchange know (`cancelled`)."""
        ...


class Exchange(Protocol):
    """One request and its answer."""

    def body(self, data: bytes) -> None: ...

    def body_end(self, trailers: Headers = ()) -> None:
        """The body is complete, or what the browser had to say in a tunnel. ``trailers`` as they came (RFC
        9110 §6.5)."""
        ...

    def cancelled(self) -> None:
        """The browser is gone; nothing can be answered any more."""
        ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class Requester(Protocol):
    """The browser's side of one exchange. An answer of our own is one `answer`; what an app answers is
    `interim`s, `send_head`, as many `send` as come, `finish`."""

    @property
    def channel(self) -> Line: ...

    @property
    def request_head(self) -> RequestHead | None:
        """Of the request that runs; None where it could not be read."""
        ...

    @property
    def can_answer(self) -> bool:
        """True while nothing of an answer has been written."""
        ...

    @property
    def writing_paused(self) -> bool: ...

    def take_over(self, exchange: Exchange) -> None:
        """From now on this exchange has the request's body and answers it."""
        ...

    def body_expected(self, *, in_one_time: bool = False) -> None:
        """The exchange wants the body: a browser that asks first is told to send it (RFC 9110 §10.1.1).

        ``in_one_time``: one deadline for the whole body, which the exchange holds in memory; else each piece
        that comes moves the deadline on.
        """
        ...

    def pause_reading(self) -> None:
        """The app is not ready for more of the body: its own deadline counts now."""
        ...

    def resume_reading(self) -> None: ...

    def answer(
        self, status: int, headers: Iterable[HeaderField], body: bytes, *, close: bool = False
    ) -> None:
        """Send a whole response of our own and end the exchange."""
        ...

    def interim(self, head: ResponseHead) -> None:
        """Send a 1xx head (RFC 9110 §15.2), the 101 of a tunnel too."""
        ...

    def send_head(self, head: ResponseHead, *, length_unknown: bool, close: bool) -> None:
        """The final response's head; it leaves with the `send` that follows. ``headers`` are complete but
        for what frames the body: where ``length_unknown``, that is the requester's to do. ``close``: the
        exchange cannot be followed by another on the same HTTP/1.1 connection."""
        ...

    def send(self, data: bytes, *, last: bool = False, trailers: Headers = ()) -> None:
        """A piece of the response's body, or none yet; after the ``last`` one comes `finish`. ``trailers`` go
        with the last one, and only to who takes them."""
        ...

    def pass_on(self, response: bytes) -> bool:
        """Send a whole HTTP/1.1 response as it is: framed by Content-Length, without fields of a connection.
        After it comes `finish`. False, and nothing done, where it has to be taken apart."""
        ...

    def finish(self, *, close: bool = False) -> None:
        """The response is complete, or a tunnel's end is reached."""
        ...

    def become_tunnel(self) -> bytes:
        """The protocol was switched; returns what the browser already sent behind its request. Only for a
        request that asked for it (`RequestStart.websocket`)."""
        ...

    def write(self, data: bytes) -> None:
        """Bytes of a tunnel."""
        ...

    def failed(self, error: BaseException) -> None:
        """A task of the exchange ended with a defect of ours: to the boundary with it."""
        ...


class Handler(Protocol):
    """What a host does with its requests."""

    def begin(self, start: RequestStart, connection: Requester) -> None:
        """Answer at once, or give the connection an exchange that will (`take_over`)."""
        ...

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        """Answer a request that could not be parsed; an HTTP/1.1 connection closes behind it."""
        ...

    def failed(self, error: BaseException, connection: Requester) -> None:
        """A defect of ours: log it, answer 500 with a reference id if nothing was answered yet."""
        ...

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        """Call into our own code; what it raises goes where `failed` goes."""
        ...
