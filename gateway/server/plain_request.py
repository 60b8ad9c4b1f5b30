"""Requests to an app that need nothing but to be passed on: the short way.

A GET or HEAD without a body, to an app with `enforcement: sign_on`, whose header fields came before on the
same connection (`gateway.proxy.known_heads`). The first such request goes the long way (`AppRequest`), which
leaves a `Passage`: what it made of the fields. It counts as long as the configuration does that it was made
with. Only the target is new each time, and any target that needs a look goes the long way again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.model.events import MAX_LOGGED_PATH_CHARACTERS, RequestServed
from gateway.model.http import Headers
from gateway.proxy.http1 import RequestStart
from gateway.server.exchange import Requester
from gateway.server.forward import Errand, ForwardExchange
from gateway.server.upstream import UpstreamFailed
from gateway.services.snapshot import App

if TYPE_CHECKING:
    from gateway.server.app_handler import AppServices


class Passage:
    """What one connection's header fields become on their way to the app.

    ``apps`` are the snapshot's, made anew with each configuration, and stand for it: the snapshot itself
    would keep a revocation index that is out of date, with its memory, as long as the connection lasts.
    """

    __slots__ = ("app", "apps", "fields", "ip")

    def __init__(self, apps: Mapping[str, App], app: App, fields: bytes, ip: str) -> None:
        self.apps = apps
        self.app = app
        self.fields = fields  # as they are sent, each with its line end
        self.ip = ip  # the client's, as it is logged


class PlainRequest:
    __slots__ = (
        "_app",
        "_began",
        "_connection",
        "_ip",
        "_reference_id",
        "_services",
        "_start",
        "_upstream_error",
    )

    def __init__(
        self, services: "AppServices", passage: Passage, start: RequestStart, connection: Requester
    ) -> None:
        self._services = services
        self._app = passage.app
        self._ip = passage.ip
        self._start = start
        self._connection = connection
        self._began = services.stopwatch()
        self._reference_id = services.reference()
        self._upstream_error: str | None = None
        head = start.head
        ForwardExchange(
            connection,
            start,
            services.pool_of(passage.app),
            Errand(head.method, head.target, (), fields_on_wire=passage.fields),
            None,
            self._response_seen,
            self._served,
            self._failed,
        ).run()

    def _response_seen(self, status: int, headers: Headers) -> None:
        self._services.look_at_redirect(self._app, status, headers, self._ip)

    def _failed(self, failure: UpstreamFailed, response_begun: bool) -> None:
        self._upstream_error = failure.kind
        self._served(failure.status)
        if response_begun:
            self._connection.channel.abort()  # cut off: the browser must not take it for the whole
            return
        self._services.show_failure(
            self._connection, self._app, self._reference_id, failure, self._start.head.headers
        )

    def _served(self, status: int) -> None:
        services, settings, head = self._services, self._app.settings, self._start.head
        services.events.emit(
            RequestServed(
                services.clock.now(),
                self._reference_id,
                "app",
                settings.name,
                settings.host,
                head.method.decode("ascii"),
                head.path[:MAX_LOGGED_PATH_CHARACTERS].decode("latin-1"),
                status,
                round(services.stopwatch() - self._began, 6),
                self._ip,
                self._upstream_error,
            )
        )
