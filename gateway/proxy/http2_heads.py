"""Request heads of HTTP/2, made into what the rest of the gateway reads (RFC 9113 §8).

The app behind speaks HTTP/1.1, so whatever would read differently there is refused here: characters that end
a line, fields that frame a message or belong to a connection, lengths that contradict the body. Whether the
host is the one of the TLS server name is checked where all requests are (`gateway.server.requests`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.model.http import Headers, KnownHead, RequestHead
from gateway.proxy.http1 import (
    MAX_BYTES_BETWEEN_BODY,
    MAX_HEADER_FIELDS,
    HttpRefused,
    RequestStart,
)
from gateway.proxy.known_heads import MAX_KNOWN_BYTES, MAX_KNOWN_HEADS

HTTP_2: Final = "2"

# RFC 9113 §8.2.2: what a connection of HTTP/1.1 would be told with.
_OF_A_CONNECTION: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path"))
_METHOD: Final = re.compile(rb"[A-Z][A-Z-]{0,31}")
_NAME_CHARACTERS: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]*")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")
# No target that any check would have to look at (RFC 3986 §2).
_PLAIN_TARGET: Final = re.compile(rb"/[!\"$-~]*")
_NOT_PLAIN: Final = frozenset((b"expect", b"te", b"content-length"))


def request_start(
    fields: Iterable[tuple[bytes, bytes]], *, ended: bool, max_head_bytes: int, max_target_bytes: int
) -> RequestStart:
    """The decoded fields of one HEADERS as a request; ``ended``: no body follows. Raises HttpRefused.

    ``:authority`` becomes the Host field, cookies that came in several fields become one (§8.2.3).
    """
    pseudo: dict[bytes, bytes] = {}
    regular: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in fields:
        if name.startswith(b":"):
            if regular or cookies or hosts:
                raise HttpRefused(400, "a pseudo-header field behind others")
            if name not in _PSEUDO or name in pseudo:
                raise HttpRefused(400, "a pseudo-header field that is unknown or repeated")
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            hosts.append(value)
        else:
            if name == b"content-length":
                lengths.append(value)
            regular.append((name, value))
    _check_sizes(pseudo, regular, cookies, max_head_bytes)
    _check_fields(pseudo, regular, (*cookies, *hosts))
    method, target = _request_line(pseudo, max_target_bytes)
    length = _content_length(lengths, ended)
    headers: Headers = ((b"host", _host(pseudo, hosts)), *regular)
    if cookies:
        headers = (*headers, (b"cookie", b"; ".join(cookies)))
    return RequestStart(
        RequestHead(method, target, HTTP_2, headers),
        keep_alive=True,
        content_length=length,
        chunked=length is None and not ended,
        websocket=False,
    )


class KnownFields:
    """Of one connection: heads that came before and differ in their path only, as those of one page do.

    What was checked and made of the other fields counts again (`gateway.proxy.known_heads` does the same for
    HTTP/1.1). Known are GET and HEAD without a body, `Expect` and `TE`.
    """

    __slots__ = ("_known", "_max_head_bytes", "_max_target_bytes")

    def __init__(self, max_head_bytes: int, max_target_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._max_target_bytes = max_target_bytes
        # By the fields without the path, which stood at the same place.
        self._known: dict[tuple[int, Headers], tuple[bytes, KnownHead]] = {}

    def read(self, fields: Sequence[tuple[bytes, bytes]], *, ended: bool) -> RequestStart:
        """As `request_start`."""
        at = next((n for n, field in enumerate(fields[:4]) if field[0] == b":path"), None)
        if at is None or not ended:
            return self._read(fields, ended)
        target = fields[at][1]
        others = (*fields[:at], *fields[at + 1 :])
        known = self._known.get((at, others))
        if known is not None and len(target) <= self._max_target_bytes and _PLAIN_TARGET.fullmatch(target):
            method, head = known
            return RequestStart(
                RequestHead(method, target, HTTP_2, head.fields), True, None, False, False, head
            )
        start = self._read(fields, ended)
        if start.head.method in (b"GET", b"HEAD") and _is_plain(others):
            if len(self._known) >= MAX_KNOWN_HEADS:
                del self._known[next(iter(self._known))]
            head = KnownHead(start.head.headers)
            self._known[at, others] = start.head.method, head
            return start._replace(known=head)
        return start

    def _read(self, fields: Sequence[tuple[bytes, bytes]], ended: bool) -> RequestStart:
        return request_start(
            fields,
            ended=ended,
            max_head_bytes=self._max_head_bytes,
            max_target_bytes=self._max_target_bytes,
        )


def _is_plain(fields: Headers) -> bool:
    return sum(len(name) + len(value) for name, value in fields) <= MAX_KNOWN_BYTES and not any(
        name in _NOT_PLAIN for name, _ in fields
    )


def check_trailers(fields: Headers) -> None:
    """Raises HttpRefused for trailers with pseudo-header fields (RFC 9113 §8.1), with fields that break its
    rules, or with too many bytes. Which of them pass is for `proxy.headers.passed_trailers`."""
    if any(name.startswith(b":") or name == b"content-length" for name, _ in fields):
        raise HttpRefused(400, "a field in the trailers that belongs to the head")
    _check_sizes({}, fields, (), MAX_BYTES_BETWEEN_BODY)
    _check_fields({}, fields, ())


def response_fields(status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Fields of a response as HTTP/2 wants them: the status in front, names in lower case (§8.2, §8.3.2).
    Fields of a connection are not in ``headers``, which went through `proxy.headers.response_headers`."""
    return [(b":status", b"%d" % status), *((name.lower(), value) for name, value in headers)]


def whole_response_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """The same for a head of HTTP/1.1 that `proxy.whole_response` has recognized, with its empty line."""
    status_line, *lines = head[:-4].split(b"\r\n")
    fields = [(b":status", status_line[9:12])]
    for line in lines:
        name, _, value = line.partition(b":")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def _check_sizes(
    pseudo: dict[bytes, bytes],
    regular: Sequence[tuple[bytes, bytes]],
    cookies: Sequence[bytes],
    max_head_bytes: int,
) -> None:
    if len(regular) + len(cookies) > MAX_HEADER_FIELDS:
        raise HttpRefused(431, "too many header fields")
    size = sum(len(name) + len(value) for name, value in regular)
    size += sum(map(len, pseudo.values())) + sum(map(len, cookies))
    if size > max_head_bytes:
        raise HttpRefused(431, "the request head is too large")


def _check_fields(
    pseudo: dict[bytes, bytes], regular: Sequence[tuple[bytes, bytes]], others: tuple[bytes, ...]
) -> None:
    """RFC 9113 §8.2.1, and more of it than it asks for: no control characters at all but the tab."""
    names = [name for name, _ in regular]
    if b"" in names or _NAME_CHARACTERS.fullmatch(b"".join(names)) is None:
        raise HttpRefused(400, "a field name with characters that none may have")
    values = [*pseudo.values(), *others, *(value for _, value in regular)]
    if _CONTROL.search(b"".join(values)) is not None:
        raise HttpRefused(400, "a field value with control characters")
    for value in values:
        if value != value.strip(b" \t"):
            raise HttpRefused(400, "a field value with space around it")
    for name, value in regular:
        if name in _OF_A_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
            raise HttpRefused(400, "a field that belongs to a connection of HTTP/1.1")


def _request_line(pseudo: dict[bytes, bytes], max_target_bytes: int) -> tuple[bytes, bytes]:
    method = pseudo.get(b":method", b"")
    if method == b"CONNECT":
        raise HttpRefused(405, "CONNECT is not for this server")
    if _METHOD.fullmatch(method) is None:
        raise HttpRefused(400, "no method that could be one")
    if pseudo.get(b":scheme") != b"https":
        raise HttpRefused(400, "a scheme other than https")
    target = pseudo.get(b":path", b"")
    if len(target) > max_target_bytes:
        raise HttpRefused(414, "the request target is too long")
    if not target.startswith(b"/") and not (target == b"*" and method == b"OPTIONS"):
        raise HttpRefused(400, "the request target is not a path")
    return method, target


def _host(pseudo: dict[bytes, bytes], hosts: list[bytes]) -> bytes:
    """RFC 9113 §8.3.1: either says it, and where both do they say the same."""
    authority = pseudo.get(b":authority")
    if authority is None:
        if len(hosts) != 1:
            raise HttpRefused(400, "no authority, and not exactly one Host field")
        return hosts[0]
    if any(host != authority for host in hosts):
        raise HttpRefused(400, "a Host field that is not the authority")
    return authority


def _content_length(lengths: list[bytes], ended: bool) -> int | None:
    if not lengths:
        return None
    if len(lengths) > 1 or _DIGITS.fullmatch(lengths[0]) is None:
        raise HttpRefused(400, "not one Content-Length that is a number")
    length = int(lengths[0])
    if ended and length:
        # The app would wait for the body and take the next request for it.
        raise HttpRefused(400, "a Content-Length and no body")
    return length
