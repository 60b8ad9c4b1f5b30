"""Which header fields pass, in both directions, and which the gateway writes itself.

Identity headers are the reason why an app may trust the gateway at all, so every spelling that some app
server would read as one of them is removed from what comes in: WSGI, CGI and PHP make `X_Device_Trust` and
`X-Device-Trust` the same variable, and some servers trim or fold further characters.
"""

import re
from collections.abc import Iterable
from typing import Final

from gateway.model.http import Headers, RequestHead

# RFC 9110 §7.6.1. `Upgrade` is dealt with by the one exchange that may pass it.
_HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_PROXY_ONLY: Final = frozenset(
    (
        b"proxy-authenticate",
        b"proxy-authorization",
        b"expect",
        b"proxy",  # CGI makes HTTP_PROXY of it (CVE-2016-5385)
        b"x-original-url",  # IIS and some frameworks take their path from these two: not the one we looked at
        b"x-rewrite-url",
    )
)

_IDENTITY_FAMILIES: Final = (
    b"x-device-trust",
    b"x-client-cert",
    b"x-ssl-client",
    b"ssl-client",
    b"x-forwarded-client-cert",
    b"x-arr-clientcert",
)
# What only a proxy may say of a request, and we are it: address, host, prefix, and who signed on elsewhere
# (`X-Forwarded-User`). We write some of them ourselves.
_FORWARDED_FAMILY: Final = b"x-forwarded-"
_FORWARDED: Final = frozenset(
    (
        b"forwarded",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-remote-ip",
        b"x-remote-addr",
        b"true-client-ip",
        b"x-host",
    )
)
# Fields that HTTP itself protects: naming one in `Connection:` must not make us drop it (CVE-2025-48865's
# class).
_NEVER_BY_CONNECTION: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"cookie",
        b"authorization",
        b"origin",
    )
)
# Fields that say how a body is read: to some servers `Content_Length` is the same variable as the real one.
_READING: Final = frozenset((b"content-length", b"content-type", b"content-encoding"))

# Fields that say how a message is framed, routed, judged, read or stored mean nothing behind it, and an app
# server that merges trailers into the head would take them for what was checked there (RFC 9110 §6.5.1).
_NEVER_IN_TRAILERS: Final = frozenset(
    (
        *(b"host", b"content-length", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"max-forwards"),
        *(b"authorization", b"www-authenticate", b"cookie", b"set-cookie", b"origin", b"referer"),
        *(b"content-type", b"content-encoding", b"content-range", b"content-language", b"content-location"),
        *(b"cache-control", b"pragma", b"expires", b"date", b"age", b"vary", b"warning", b"location"),
        *(b"retry-after", b"range", b"accept-ranges", b"user-agent", b"expect", b"strict-transport-security"),
        *(b"content-security-policy", b"refresh", b"clear-site-data", b"alt-svc", b"link", b"connection"),
    )
)
_NEVER_IN_TRAILERS_FAMILIES: Final = (
    *(b"if-", b"proxy-", b"access-control-", b"sec-"),
    b"x-http-method",
)

_NOT_NAME = re.compile(rb"[^a-z0-9-]")

# The answer for names seen before. They come from outside, so number and length of those kept are bounded.
_REQUEST_NAME_CACHE: dict[bytes, bool] = {}
_MAX_CACHED_NAMES: Final = 2_048
_MAX_CACHED_NAME_BYTES: Final = 64


def is_identity_header(name: bytes) -> bool:
    """True for every field of the identity families, in whatever spelling an app server could read as one."""
    return _NOT_NAME.sub(b"-", name.lower()).startswith(_IDENTITY_FAMILIES)


def request_headers(
    headers: Headers,
    *,
    host: bytes,
    added: Iterable[tuple[bytes, bytes]],
    cookie: bytes | None,
    drop: frozenset[bytes] = frozenset(),
) -> list[tuple[bytes, bytes]]:
    """The fields that go to the app: what came in, less everything hop-by-hop, spoofed or ours, plus ours.

    ``cookie`` replaces the Cookie field (None leaves it out); ``drop`` are more names to leave out, lower
    case. Content-Length stays where it was sent. Transfer-Encoding is the exchange's to write.
    """
    named = _named_by_connection(headers)
    passed: list[tuple[bytes, bytes]] = [(b"Host", host)]
    for field in headers:
        name = field[0]
        known = _REQUEST_NAME_CACHE.get(name)
        if known is None:
            known = _passes(name)
        if not known:
            continue
        if named or drop:
            lowered = name.lower()
            if lowered in named or lowered in drop:
                continue
        passed.append(field)
    if cookie is not None:
        passed.append((b"Cookie", cookie))
    passed.extend(added)
    return passed


def forwarded_headers(
    client_ip: bytes, forwarded_for: bytes | None, host: bytes
) -> list[tuple[bytes, bytes]]:
    """``X-Forwarded-For/-Proto/-Host``. ``forwarded_for`` is the believed chain from the client to the last
    proxy, None where the client came straight here."""
    return [
        (b"X-Forwarded-For", client_ip if forwarded_for is None else forwarded_for),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", host),
    ]


def response_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The app's fields that go to the browser. Our own reason header is ours alone to set."""
    named = _named_by_connection(headers)
    passed = []
    for field in headers:
        lowered = field[0].lower()
        if lowered in _HOP_BY_HOP or lowered in named or lowered.startswith(b"x-device-trust"):
            continue
        passed.append(field)
    return passed


def accepts_trailers(headers: Headers) -> bool:
    """True if the sender of this request takes trailers in its answer: ``TE: trailers``, RFC 9110 §10.1.4."""
    return any(
        option.partition(b";")[0].strip() == b"trailers"
        for name, value in headers
        if len(name) == 2 and name.lower() == b"te"
        for option in value.lower().split(b",")
    )


def asks_before_body(head: RequestHead) -> bool:
    """True if the sender waits for a 100 before it sends the body (RFC 9110 §10.1.1)."""
    return head.http_version != "1.0" and any(
        len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue"
        for name, value in head.headers
    )


def passed_trailers(fields: Headers, head: Headers) -> Headers:
    """The trailer fields that pass, in either direction. ``head`` are their message's fields: what those name
    in `Connection` ends here, too."""
    named = _named_by_connection(head)
    return tuple(field for field in fields if _passes_in_trailers(field[0]) and field[0].lower() not in named)


def _passes_in_trailers(name: bytes) -> bool:
    folded = _NOT_NAME.sub(b"-", name.lower())
    return (
        _passes(name)
        and folded not in _NEVER_IN_TRAILERS
        and not folded.startswith(_NEVER_IN_TRAILERS_FAMILIES)
    )


def _passes(name: bytes) -> bool:
    lowered = name.lower()
    folded = _NOT_NAME.sub(b"-", lowered)
    passes = not (
        folded in _HOP_BY_HOP
        or folded in _PROXY_ONLY
        or folded in (b"host", b"cookie")
        or folded in _FORWARDED
        or folded.startswith(_FORWARDED_FAMILY)
        or (folded in _READING and folded != lowered)
        or is_identity_header(lowered)
    )
    if len(_REQUEST_NAME_CACHE) < _MAX_CACHED_NAMES and len(name) <= _MAX_CACHED_NAME_BYTES:
        _REQUEST_NAME_CACHE[name] = passes
    return passes


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    """Fields that the sender declared hop-by-hop (RFC 9110 §7.6.1), as far as it may."""
    named: set[bytes] = set()
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection":
            named.update(option.strip() for option in value.lower().split(b","))
    if not named:
        return frozenset()
    return frozenset(named - _NEVER_BY_CONNECTION)
