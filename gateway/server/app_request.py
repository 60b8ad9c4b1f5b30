"""One request to an app host: told apart here, decided in the services, carried out here again.

/.devicetrust/…                 ours: 404, never forwarded
assertion endpoint, form POST   collected, verified, decided (services/access.py)
a look-alike of an endpoint     refused: it would carry an assertion around the gateway
another form, multipart, JSON   looked through for a sign-on message that strays, then sent on
everything else                 streamed; with `enforcement: session` after a check in memory
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from gateway.federation.kinds import MessageKind, query_kind
from gateway.model.events import MAX_LOGGED_PATH_CHARACTERS, MessageRefused, RequestServed
from gateway.model.http import Headers, RequestHead, header, header_values
from gateway.model.pages import Page, PageKind
from gateway.model.reasons import MessageReason
from gateway.model.settings import Enforcement
from gateway.proxy.body_kinds import BodyKind, body_kind, content_codings, has_plain_charset
from gateway.proxy.cookies import split_cookies
from gateway.proxy.headers import forwarded_headers, request_headers
from gateway.proxy.http1 import RequestStart
from gateway.proxy.targets import PathKind, classify_path, query_names_message, take_ticket
from gateway.server.collect import Collect
from gateway.server.exchange import Requester
from gateway.server.forward import BODY_REFUSED, BodyPasses, Errand, ForwardExchange
from gateway.server.plain_request import Passage
from gateway.server.requests import request_address
from gateway.server.upstream import UpstreamFailed
from gateway.services.arrivals import Arrival, PostedMessage
from gateway.services.inflating import CODINGS, InflatingScanner
from gateway.services.outcomes import Forward, Outcome, PostOn, Redirect, ShowPage
from gateway.services.snapshot import App
from gateway.services.stray_messages import FormScanner, carries_sign_on, scanner_for

if TYPE_CHECKING:
    from gateway.server.app_handler import AppServices

_NOTHING: Final = frozenset[bytes]()
# Where apps look for credentials besides their cookies.
_CREDENTIALS: Final = frozenset(
    (
        *(b"authorization", b"x-authorization", b"x-api-key", b"api-key", b"apikey", b"x-auth-token"),
        *(b"x-auth-key", b"x-access-token", b"x-session-token", b"private-token", b"job-token"),
    )
)
# What clients compress. No browser compresses a form.
_MAY_BE_COMPRESSED: Final = frozenset((BodyKind.JSON, BodyKind.MULTIPART))


class AppRequest:
    def __init__(
        self,
        services: "AppServices",
        app: App,
        start: RequestStart,
        head: RequestHead,
        connection: Requester,
    ) -> None:
        self._services = services
        self._app = app
        self._start = start
        self._connection = connection
        self._began = services.stopwatch()
        self._upstream_error: str | None = None
        self.reference_id = services.reference()
        target, ticket = take_ticket(head.target)
        settings = services.live.current.settings
        ip, forwarded_for = request_address(head, connection.channel.peer_host, settings.trusted_proxies)
        ours, theirs = split_cookies(header_values(head.headers, b"cookie"))
        self._head = head
        self._ip = str(ip)
        self._forwarded_for = forwarded_for
        self._app_cookies = theirs
        self.arrival = Arrival(
            app=app,
            method=head.method.decode("ascii"),
            target=target,
            ticket=ticket,
            cookies=ours,
            ip=ip,
            user_agent=_text(header(head.headers, b"user-agent")),
            origin=_text(header(head.headers, b"origin")),
            reference_id=self.reference_id,
            navigation=_is_navigation(head),
        )

    def route(self) -> None:
        """Begin the exchange that this request calls for, or answer it at once."""
        arrival, app = self.arrival, self._app
        path, _, query = arrival.target.partition(b"?")
        kind = classify_path(path, app.endpoints, app.folded_endpoints)
        has_body = self._start.has_body or self._head.method == b"POST"
        if kind is PathKind.RESERVED:
            self._page(404)
        elif query_names_message(query) and query_kind(query) is MessageKind.SIGN_ON:
            self._refuse("a sign-on message in the query; only the POST binding passes")
        elif kind is PathKind.DISGUISED_ENDPOINT and has_body:
            self._refuse("the path only reads like an assertion endpoint")
        elif kind is PathKind.ENDPOINT and has_body:
            if header(self._head.headers, b"content-encoding") is None:
                self._collect(self._sign_on, self._message_too_large)
            else:
                self._refuse("a form with a Content-Encoding on an assertion endpoint")
        elif self._start.has_body:
            self._pass_body()
        else:
            self._admit()

    def _pass_body(self) -> None:
        """A body for the app itself, looked through where the app could read a sign-on message from it."""
        content_type = header(self._head.headers, b"content-type")
        codings = content_codings(header(self._head.headers, b"content-encoding"))
        kind = body_kind(content_type)
        scanner = scanner_for(kind)
        if kind is BodyKind.SIGN_ON:
            self._refuse_stray()
        elif scanner is None:
            self._admit()
        elif not has_plain_charset(content_type):
            self._refuse("fields in a charset in which ASCII is not ASCII")
        elif not codings:
            if kind is BodyKind.FORM:
                self._collect(self._other_form, self._large_form)
            else:
                self._admit(body_passes=scanner.passes)
        elif kind in _MAY_BE_COMPRESSED and len(codings) == 1 and codings[0] in CODINGS:
            self._admit(body_passes=InflatingScanner(scanner).passes)
        else:
            self._refuse("fields that are compressed, which cannot be looked into")

    # Bodies that are looked at whole.

    def _collect(self, then: Callable[[bytes], Awaitable[None]], too_large: Callable[[bytes], None]) -> None:
        limit = self._services.live.current.settings.limits.max_message_bytes
        services = self._services
        Collect(self._connection, limit, then, too_large, self._no_room, services.tasks, services.held_bodies)

    def _no_room(self) -> None:
        self._page(503, close=True)

    async def _sign_on(self, body: bytes) -> None:
        content_type = header(self._head.headers, b"content-type") or b""
        posted = PostedMessage(self.arrival, content_type, body)
        self._carry_out(await self._services.access.sign_on(posted), body)

    def _message_too_large(self, _begun: bytes) -> None:
        self._refuse("the message is too large", MessageReason.TOO_LARGE, status=413)

    async def _other_form(self, body: bytes) -> None:
        """A form for the app itself, unless a sign-on message hides in it."""
        if carries_sign_on(body):
            self._refuse_stray()
        else:
            self._admit(body)

    def _large_form(self, begun: bytes) -> None:
        """Too large to be held: it streams on, looked through piece by piece."""
        scanner = FormScanner()
        if scanner.passes(begun):
            self._admit(body_begun=begun, body_passes=scanner.passes)
        else:
            self._refuse_stray()

    def _refuse_stray(self) -> None:
        self._refuse("a sign-on message posted to a path that is no assertion endpoint")

    # Decisions carried out.

    def _admit(
        self, body: bytes | None = None, *, body_begun: bytes = b"", body_passes: BodyPasses | None = None
    ) -> None:
        """Let an ordinary request pass, with `enforcement: session` only after its check."""
        outcome: Outcome = Forward()
        if self._app.settings.enforcement is Enforcement.SESSION:
            if self.arrival.ticket is not None and self._head.method == b"GET":
                services, then = self._services, self._session_returned
                Collect(
                    self._connection,
                    0,
                    then,
                    self._no_body,
                    self._no_room,
                    services.tasks,
                    services.held_bodies,
                )
                return
            outcome = self._services.sessions.check(self.arrival)
        self._carry_out(outcome, body, body_begun, body_passes)

    async def _session_returned(self, _body: bytes) -> None:
        self._carry_out(await self._services.sessions.returned(self.arrival), None)

    def _no_body(self, _begun: bytes) -> None:
        self._page(413, close=True)

    def _carry_out(
        self,
        outcome: Outcome,
        body: bytes | None,
        body_begun: bytes = b"",
        body_passes: BodyPasses | None = None,
    ) -> None:
        """``body`` is the request's own, if it was collected; an outcome may replace it."""
        answers, connection, headers = self._services.answers, self._connection, self._head.headers
        match outcome:
            case Forward():
                own = outcome.body if outcome.body is not None else body
                self._rest_on_device(outcome)
                errand = self._errand(outcome, own, body_begun)
                self._leave_passage(errand)
                self._forward(errand, body_passes)
            case ShowPage(page, fields):
                self._served(page.status)
                answers.show(connection, page, headers, fields)
            case PostOn(form, fields):
                self._served(200)
                answers.post_on(connection, form, headers, fields)
            case Redirect(status, location, fields):
                self._served(status)
                answers.redirect(connection, status, location, fields)

    def _rest_on_device(self, outcome: Forward) -> None:
        statement = outcome.statement
        if self._app.settings.enforcement is Enforcement.SESSION and statement is not None:
            self._services.trusted_connections.rests_on(
                self._connection.channel, statement.verdict, statement.user, outcome.session_ends
            )

    def _leave_passage(self, errand: Errand) -> None:
        """For the next request with the same fields, where passing it on is all there is to do."""
        known, services = self._start.known, self._services
        if known is not None and self._app.settings.enforcement is Enforcement.SIGN_ON:
            fields = b"".join(b"%s: %s\r\n" % field for field in errand.headers)
            known.passage = Passage(services.live.current.apps_by_host, self._app, fields, self._ip)

    def _forward(self, errand: Errand, body_passes: BodyPasses | None) -> None:
        ForwardExchange(
            self._connection,
            self._start,
            self._services.pool_of(self._app),
            errand,
            self._services.live.current.settings.limits.max_body_bytes,
            self._response_seen,
            self._served,
            self._failed,
            body_passes,
        ).run()

    def _errand(self, outcome: Forward, body: bytes | None, body_begun: bytes) -> Errand:
        host = self._app.origin.removeprefix("https://").encode("ascii")
        added = forwarded_headers(self._ip.encode("ascii"), self._forwarded_for, host)
        if outcome.statement is not None:
            added += self._services.signer.headers(outcome.statement, self._services.clock.now())
        drop = _CREDENTIALS if outcome.anonymous else _NOTHING
        if outcome.origin is not None:
            drop = drop | {b"origin"}
            added.append((b"Origin", outcome.origin.encode("latin-1")))
        if body is not None:
            drop = drop | {b"content-length"}
        fields = request_headers(
            self._head.headers,
            host=host,
            added=added,
            cookie=None if outcome.anonymous else self._app_cookies,
            drop=drop,
        )
        return Errand(
            self._head.method,
            self.arrival.target,
            tuple(fields),
            body,
            body_begun,
            outcome.response_fields,
            trailers_pass=not outcome.anonymous,  # where an app may find credentials, nobody need look
        )

    # What is told to others.

    def _response_seen(self, status: int, headers: Headers) -> None:
        self._services.look_at_redirect(self._app, status, headers, self._ip)

    def _failed(self, failure: UpstreamFailed, response_begun: bool) -> None:
        if failure.kind == BODY_REFUSED and not response_begun:
            self._refuse_stray()
            return
        self._upstream_error = failure.kind
        self._served(failure.status)
        if response_begun:
            self._connection.channel.abort()  # cut off: the browser must not take it for the whole
            return
        self._services.show_failure(
            self._connection, self._app, self.reference_id, failure, self._head.headers
        )

    def _page(self, status: int, *, close: bool = False) -> None:
        page = Page(PageKind.ERROR, status, "", self.reference_id, self._app.settings.label)
        self._served(status)
        self._services.answers.show(self._connection, page, self._head.headers, close=close)

    def _refuse(
        self, detail: str, reason: MessageReason = MessageReason.MALFORMED, status: int = 400
    ) -> None:
        settings = self._app.settings
        self._services.events.emit(
            MessageRefused(
                self._services.clock.now(),
                self.reference_id,
                settings.name,
                settings.protocol,
                reason,
                detail,
                self._ip,
            )
        )
        page = Page(PageKind.MESSAGE_REFUSED, status, reason, self.reference_id, settings.label)
        self._served(status)
        self._services.answers.show(self._connection, page, self._head.headers, close=True)

    def _served(self, status: int) -> None:
        self._services.trusted_connections.served(self._connection.channel)
        self._services.events.emit(
            RequestServed(
                at=self._services.clock.now(),
                reference_id=self.reference_id,
                role="app",
                app=self._app.settings.name,
                host=self._app.settings.host,
                method=self.arrival.method,
                path=self.arrival.path[:MAX_LOGGED_PATH_CHARACTERS],
                status=status,
                seconds=round(self._services.stopwatch() - self._began, 6),
                ip=self._ip,
                upstream_error=self._upstream_error,
            )
        )


def _is_navigation(head: RequestHead) -> bool:
    """True if a person will look at the answer: Fetch Metadata where the browser sends it, else Accept."""
    if head.method != b"GET":
        return False
    mode = header(head.headers, b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"text/html" in (header(head.headers, b"accept") or b"")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
