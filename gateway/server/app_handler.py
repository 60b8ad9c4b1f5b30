"""Requests to app hosts, for the whole life of a worker: what they need, and the one place that makes
them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.federation.requests import authn_request_seen
from gateway.model.http import Headers, header
from gateway.model.pages import Page, PageKind
from gateway.proxy.addresses import address_group, peer_address
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.proxy.targets import is_unremarkable
from gateway.server.answers import Answers
from gateway.server.app_request import AppRequest
from gateway.server.boundary import Boundary
from gateway.server.collect import HeldBodies
from gateway.server.exchange import Requester
from gateway.server.plain_request import Passage, PlainRequest
from gateway.server.requests import HeadRefused, checked_head, logged_address, request_served
from gateway.server.trusted_connections import TrustedConnections
from gateway.server.upstream import UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.services.access import Access
from gateway.services.fair_share import FairShare
from gateway.services.ports import Clock, EventSink, SeenRequests
from gateway.services.sessions import Sessions
from gateway.services.snapshot import App, Live, Snapshot
from gateway.services.statements import StatementSigner

_REDIRECTS: Final = frozenset((302, 303, 307))


@dataclass(frozen=True, slots=True)
class AppServices:
    """What every request to an app may need."""

    live: Live[Snapshot]
    access: Access
    sessions: Sessions
    answers: Answers
    pool_of: Callable[[App], UpstreamPool]
    signer: StatementSigner
    seen_requests: SeenRequests
    fair_share: FairShare  # of the seen requests
    clock: Clock
    events: EventSink
    reference: Callable[[], str]
    tasks: "set[asyncio.Task[None]]"
    held_bodies: HeldBodies
    stopwatch: Callable[[], float]  # seconds; the loop's own clock ticks in milliseconds
    trusted_connections: TrustedConnections

    def show_failure(
        self,
        connection: Requester,
        app: App,
        reference_id: str,
        failure: UpstreamFailed,
        headers: Headers,
    ) -> None:
        """The page for an app that did not answer."""
        page = Page(PageKind.ERROR, failure.status, "", reference_id, app.settings.label)
        again = failure.retry_after_seconds
        fields = () if again is None else ((b"Retry-After", b"%d" % again),)
        self.answers.show(connection, page, headers, fields, close=True)

    def look_at_redirect(self, app: App, status: int, headers: Headers, ip: str) -> None:
        """Remember an AuthnRequest that leaves for the identity provider (SAML Bindings §3.4), unless this
        client has made the app send so many that it would push out what others wait for."""
        if status in _REDIRECTS and app.sso_urls:
            location = header(headers, b"location")
            request_id = None if location is None else authn_request_seen(location, app.sso_urls)
            now = self.clock.now()
            if request_id is not None and self._has_share(ip, now):
                self.seen_requests.remember(app.settings.name, request_id, now)

    def _has_share(self, ip: str, now: datetime) -> bool:
        return self.fair_share.take(address_group(peer_address(ip)), now.timestamp())


class AppHandler:
    """A `Handler` for the connections of all app hosts."""

    def __init__(self, services: AppServices, boundary: Boundary) -> None:
        self._services = services
        self._boundary = boundary

    def begin(self, start: RequestStart, connection: Requester) -> None:
        known = start.known
        if known is not None:
            passage = known.passage
            if (
                isinstance(passage, Passage)
                and passage.apps is self._services.live.current.apps_by_host
                and is_unremarkable(start.head.target)
            ):
                PlainRequest(self._services, passage, start, connection)
                return
        server_name = connection.channel.server_name
        try:
            head = checked_head(start.head, server_name)
        except HeadRefused as refused:
            self._error(refused.status, connection)
            return
        app = self._services.live.current.apps_by_host.get(server_name)
        if app is None:
            self._error(421, connection)  # the app was taken out of the configuration
            return
        try:
            request = AppRequest(self._services, app, start, head, connection)
        except HeadRefused as refused:
            self._error(refused.status, connection)
            return
        request.route()

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        self._error(refused.status, connection)

    def failed(self, error: BaseException, connection: Requester) -> None:
        self._boundary.report(error, connection)

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        self._boundary.run(call, connection)

    def _error(self, status: int, connection: Requester) -> None:
        page = Page(PageKind.ERROR, status, "", self._services.reference())
        self._services.events.emit(
            request_served(
                at=self._services.clock.now(),
                reference_id=page.reference_id,
                role="app",
                host=connection.channel.server_name,
                status=status,
                ip=logged_address(connection, self._services.live.current.settings.trusted_proxies),
                head=connection.request_head,
            )
        )
        self._services.answers.show(connection, page, None, close=True)
