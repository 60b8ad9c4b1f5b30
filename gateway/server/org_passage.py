"""Requests that a worker passes on to the org process.

What the org believes of a request is in fields that the worker writes, and that are removed from what comes:
`X-Forwarded-For/-Proto/-Host`, `X-Reference-Id`, and on the host of re-enrollment
`X-Device-Trust-Certificate`.
"""

import base64
from collections.abc import Callable
from typing import Final

from gateway.model.http import Headers, RequestHead, header_values
from gateway.model.pages import Page, PageKind
from gateway.proxy.headers import forwarded_headers, request_headers
from gateway.proxy.http1 import RequestStart
from gateway.server.answers import Answers
from gateway.server.exchange import HeaderField, Requester
from gateway.server.forward import Errand, ForwardExchange
from gateway.server.requests import HeadRefused, request_address, request_served
from gateway.server.upstream import UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.services.ports import Clock, EventSink
from gateway.services.snapshot import Live, Snapshot

# A whole configuration that is imported; what one route takes is for the org to say.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
_REFERENCE: Final = b"x-reference-id"
# A process that was killed is back in a second or two.
_RETRY_AFTER: Final = (b"Retry-After", b"2")


class OrgPassage:
    """``role`` is that of the host, for the log. ``stopwatch`` gives seconds."""

    def __init__(
        self,
        pool: UpstreamPool,
        live: Live[Snapshot],
        answers: Answers,
        clock: Clock,
        events: EventSink,
        stopwatch: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._live = live
        self._answers = answers
        self._clock = clock
        self._events = events
        self._stopwatch = stopwatch

    def forward(
        self,
        start: RequestStart,
        head: RequestHead,
        connection: Requester,
        *,
        role: str,
        reference_id: str,
        certificate_der: bytes | None = None,
    ) -> None:
        """Pass a request on, and its answer back. ``certificate_der`` is one that was verified. Raises
        HeadRefused."""
        if start.websocket:
            raise HeadRefused(400, "the org speaks no WebSocket")
        settings = self._live.current.settings
        ip, chain = request_address(head, connection.channel.peer_host, settings.trusted_proxies)
        began = self._stopwatch()

        def served(status: int, upstream_error: str | None = None) -> None:
            self._events.emit(
                request_served(
                    at=self._clock.now(),
                    reference_id=reference_id,
                    role=role,
                    host=connection.channel.server_name,
                    status=status,
                    ip=str(ip),
                    head=head,
                )._replace(seconds=round(self._stopwatch() - began, 6), upstream_error=upstream_error)
            )

        def failed(failure: UpstreamFailed, response_begun: bool) -> None:
            status = failure.status if failure.status in (413, 504) else 503
            served(status, failure.kind)
            if response_begun:
                connection.channel.abort()  # cut off: the client must not take it for the whole
                return
            page = Page(PageKind.ERROR, status, "", reference_id)
            fields = (_RETRY_AFTER,) if status == 503 else ()
            self._answers.show(connection, page, head.headers, fields, close=True)

        ForwardExchange(
            connection,
            start,
            self._pool,
            Errand(
                head.method,
                head.target,
                self._fields(head, str(ip), chain, connection, reference_id, certificate_der),
            ),
            MAX_BODY_BYTES,
            _nothing,
            served,
            failed,
        ).run()

    def _fields(
        self,
        head: RequestHead,
        ip: str,
        chain: bytes | None,
        connection: Requester,
        reference_id: str,
        certificate_der: bytes | None,
    ) -> tuple[HeaderField, ...]:
        name, port = connection.channel.server_name, self._live.current.settings.public_port
        host = (name if port == 443 else f"{name}:{port}").encode("ascii")
        added = forwarded_headers(ip.encode("ascii"), chain, host)
        added.append((b"X-Reference-Id", reference_id.encode("ascii")))
        if certificate_der is not None:
            added.append((b"X-Device-Trust-Certificate", base64.b64encode(certificate_der)))
        cookies = header_values(head.headers, b"cookie")
        return tuple(
            request_headers(
                head.headers,
                host=host,
                added=added,
                cookie=b"; ".join(cookies) if cookies else None,
                drop=frozenset((_REFERENCE, _REFERENCE.replace(b"-", b"_"))),
            )
        )


def _nothing(_status: int, _headers: Headers) -> None:
    """Nobody needs to see what the org answers."""
