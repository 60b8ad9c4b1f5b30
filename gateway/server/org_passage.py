"""Requests that a worker passes on to the org process.

What the org believes of a request is in fields that the worker writes, and that are removed from what comes:
`X-Forwarded-For/-Proto/-Host`, `X-Reference-Id`, and on the host of re-enrollment
`X-Device-Trust-Certificate`.
"""

import base64
from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.model.http import Headers, RequestHead, header_values
from gateway.model.pages import Page, PageKind
from gateway.proxy.addresses import address_group
from gateway.proxy.headers import forwarded_headers, request_headers
from gateway.proxy.http1 import RequestStart
from gateway.server.answers import Answers
from gateway.server.exchange import HeaderField, Requester
from gateway.server.forward import Errand, ForwardExchange
from gateway.server.org_upstream import MAX_CONNECTIONS
from gateway.server.requests import HeadRefused, request_address, request_served
from gateway.server.upstream import UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.services.ports import Clock, EventSink
from gateway.services.snapshot import Live, Snapshot

# A whole configuration that is imported; what one route takes is for the org to say.
MAX_BODY_BYTES: Final = 2 * 1024 * 1024
# Requests of one client at a time: with fewer than four addresses nobody takes all connections to the org.
MAX_OF_ONE_CLIENT: Final = MAX_CONNECTIONS // 4
_API: Final = b"/api/"
_REFERENCE: Final = b"x-reference-id"
# A process that was killed is back in a second or two.
_RETRY_AFTER: Final = (b"Retry-After", b"2")


class OrgPassage:
    """``role`` is that of the host, for the log. ``stopwatch`` gives seconds."""

    def __init__(
        self,
        api: UpstreamPool,
        public: UpstreamPool,
        live: Live[Snapshot],
        answers: Answers,
        clock: Clock,
        events: EventSink,
        stopwatch: Callable[[], float],
    ) -> None:
        self._api = Passing(api)
        self._public = Passing(public)
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
        passing = self._api if head.path.startswith(_API) else self._public
        client = address_group(ip)
        began = self._stopwatch()

        def finished(status: int) -> None:
            passing.leave(client)
            served(status)

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
            passing.leave(client)
            refused(failure, response_begun)

        def refused(failure: UpstreamFailed, response_begun: bool) -> None:
            status = failure.status if failure.status in (413, 504) else 503
            served(status, failure.kind)
            if response_begun:
                connection.channel.abort()  # cut off: the client must not take it for the whole
                return
            page = Page(PageKind.ERROR, status, "", reference_id)
            fields = (_RETRY_AFTER,) if status == 503 else ()
            self._answers.show(connection, page, head.headers, fields, close=True)

        if not passing.enter(client):
            refused(UpstreamFailed("busy", 503, "too many requests of one client at a time"), False)
            return
        ForwardExchange(
            connection,
            start,
            passing.pool,
            Errand(
                head.method,
                head.target,
                self._fields(head, str(ip), chain, connection, reference_id, certificate_der),
            ),
            MAX_BODY_BYTES,
            _nothing,
            finished,
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


class Passing:
    """The connections of one kind, and how many requests of each client are on them or wait for one."""

    def __init__(self, pool: UpstreamPool) -> None:
        self.pool = pool
        self._by_client: Counter[int] = Counter()

    def enter(self, client: int) -> bool:
        if self._by_client[client] >= MAX_OF_ONE_CLIENT:
            return False
        self._by_client[client] += 1
        return True

    def leave(self, client: int) -> None:
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]


def _nothing(_status: int, _headers: Headers) -> None:
    """Nobody needs to see what the org answers."""
