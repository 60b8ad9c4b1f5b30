"""The HTTP of the IWA web app: from a request to its answer.

    path, method (404, 405) → who sends it, how often (429) → ticket (401) → how often (429) → step → answer

Each request carries its ticket: nothing is remembered of a connection. Every refusal is the same JSON that
the org answers with (`refusal_answers`), except on the page for people.
"""

import base64
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from gateway import __version__
from gateway.enrollment.channel_bindings import request_binding
from gateway.enrollment.iwa_registration import Registration
from gateway.enrollment.negotiate import MAX_FIELD_CHARACTERS, SCHEME, read_authorization
from gateway.enrollment.refusal_answers import refusal_document, refusal_status
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.ticket_accounts import TicketAccount
from gateway.model.iwa_settings import IwaSettings
from gateway.proxy.addresses import AddressesDisagree, client_address, peer_address
from gateway.server.http_server import HttpServer
from gateway.server.iwa.body import Asked, read_asked, refused
from gateway.server.iwa.iwa_metrics import IwaMetrics
from gateway.server.iwa.iwa_page import Shown, asking_page, known_page, refused_page, wants_html
from gateway.server.iwa.server_certificate import ServerCertificate
from gateway.server.log import LogWriter
from gateway.server.org.rate_limit import RateLimiter, caller_of_address
from gateway.server.org.route import Budget
from gateway.services.directory import Directory
from gateway.services.iwa import Iwa, Looked, Vouched
from gateway.services.tickets import AcceptedTicket

_REFERENCE_BYTES: Final = 8
_RETRY_SECONDS: Final = "30"
_SERVER_NAME: Final = "devicetrust-iwa"
_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Server", _SERVER_NAME),
    ("X-Content-Type-Options", "nosniff"),
)
_NO_TICKET: Final = "no ticket was sent"
# Of the keytab and of the directory, not of whoever asks.
_OUR_PROBLEMS: Final = (EnrollmentRefusal.UNAVAILABLE, EnrollmentRefusal.DIRECTORY_UNAVAILABLE)
_MAX_PROBLEM_CHARACTERS: Final = 250

_logger = logging.getLogger("gateway.defect")


@dataclass(slots=True)
class InForce:
    """What a reload replaces, all at once."""

    settings: IwaSettings
    iwa: Iwa
    certificate: ServerCertificate | None
    directory: Directory


@dataclass(slots=True)
class _Exchange:
    """A request, and what becomes known of it; all that is in its line of the log."""

    request: web.BaseRequest
    step: str
    reference_id: str = field(default_factory=lambda: secrets.token_hex(_REFERENCE_BYTES))
    began: float = field(default_factory=time.perf_counter)
    ip: str = ""
    ticket: AcceptedTicket | None = None
    account: TicketAccount | None = None
    looked: Looked | None = None
    vouched: Vouched | None = None
    refused: EnrollmentRefused | None = None
    is_asked: bool = False  # no ticket was sent at all: nothing to log
    is_logged_already: bool = False  # that whoever it is comes too often, in this minute


class IwaApp:
    """``in_force`` gives what counts now, ``registration`` by what the org knows us."""

    def __init__(
        self,
        in_force: Callable[[], InForce],
        registration: Callable[[], Registration | None],
        key_id: str,
        metrics: IwaMetrics,
        log: LogWriter,
    ) -> None:
        self._in_force = in_force
        self._registration = registration
        self._key_id = key_id
        self._metrics = metrics
        self._log = log
        self._limiter = RateLimiter()
        self.problem = ""  # why the last step could not be taken, as long as none could
        self.began: Callable[[Any], None] = lambda _: None
        self.ended: Callable[[Any], None] = lambda _: None
        self.server = HttpServer(
            self._handle,
            server_name=_SERVER_NAME,
            access_log=None,
            keepalive_timeout=75.0,  # idle connections are ended sooner, by `Connections`
            max_field_size=MAX_FIELD_CHARACTERS + 1_024,
            auto_decompress=False,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.began(request.transport)
        try:
            return await self._answer(request)
        finally:
            self.ended(request.transport)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        now = self._in_force()
        path = request.path.removeprefix(now.settings.path) if _is_below(request, now.settings) else None
        match (path, request.method):
            case ("/device" | "/user", "POST") | ("" | "/", "GET" | "HEAD"):
                return await self._step(_Exchange(request, _STEPS[path or ""]), now)
            case ("/about", "GET" | "HEAD"):
                return _json_response(200, self._about(now.settings))
            case ("/device" | "/user", _):
                return _json_response(405, _not_here("POST only"), {"Allow": "POST"})
            case ("" | "/" | "/about", _):
                return _json_response(405, _not_here("GET only"), {"Allow": "GET, HEAD"})
        if request.path == "/healthz" and request.method in ("GET", "HEAD"):
            return _json_response(200, {"status": "alive"})
        return _json_response(404, _not_here("there is nothing here"))

    async def _step(self, exchange: _Exchange, now: InForce) -> web.Response:
        try:
            try:
                await self._take(exchange, now)
            except EnrollmentRefused as refusal:
                exchange.refused = refusal
            response = self._response(exchange, now.settings)
        except Exception:  # the boundary
            _logger.exception("defect, reference %s", exchange.reference_id)
            exchange.refused = EnrollmentRefused(EnrollmentRefusal.UNAVAILABLE, "an internal error")
            response = _json_response(500, refusal_document(exchange.refused, exchange.reference_id))
        self._note(exchange)
        return response

    async def _take(self, exchange: _Exchange, now: InForce) -> None:
        request, limits = exchange.request, now.settings.limits
        exchange.ip = _address_of(request, now.settings)
        self._spend(exchange, "address", caller_of_address(exchange.ip), limits.per_address)
        token = read_authorization(_only(request, "Authorization"))
        if token is None:
            exchange.is_asked = True
            raise EnrollmentRefused(EnrollmentRefusal.NEGOTIATE_FAILED, _NO_TICKET)
        asked = None
        if exchange.step != "page":
            asked = await read_asked(request, with_device_token=exchange.step == "user")
        bindings, must_be_bound = _bindings(exchange, asked, now)
        exchange.ticket = now.iwa.ticket(token, bindings, must_be_bound=must_be_bound)
        exchange.account = now.iwa.account(exchange.ticket)
        self._spend(exchange, "principal", exchange.account.principal, limits.per_principal)
        if asked is None:
            exchange.looked = await now.iwa.look(exchange.account)
        elif exchange.step == "device":
            exchange.vouched = await now.iwa.device(exchange.account, asked.binding)
        else:
            exchange.vouched = await now.iwa.user(exchange.account, asked.binding, asked.device_token)

    def _spend(self, exchange: _Exchange, what: str, caller: str, per_minute: int) -> None:
        now = time.time()
        if not self._limiter.take(caller, Budget(what, per_minute), now).allowed:
            first = self._limiter.take(caller, Budget(f"{what} in the log", 1), now)
            exchange.is_logged_already = not first.allowed
            raise EnrollmentRefused(
                EnrollmentRefusal.TOO_OFTEN, f"more than {per_minute} requests of one {what} in a minute"
            )

    def _response(self, exchange: _Exchange, settings: IwaSettings) -> web.Response:
        headers: dict[str, str] = {}
        if exchange.ticket is not None and exchange.ticket.answer:
            answer = base64.b64encode(exchange.ticket.answer).decode()
            headers["WWW-Authenticate"] = f"{SCHEME} {answer}"
        refusal = exchange.refused
        status = 200 if refusal is None else refusal_status(refusal.reason)
        if status == 401:
            headers["WWW-Authenticate"] = SCHEME
        elif status in (429, 503):
            headers["Retry-After"] = _RETRY_SECONDS
        if exchange.step == "page":
            shown = self._page(exchange, settings)
            return _response(status, shown.body, shown.content_type, {**headers, **dict(shown.headers)})
        if refusal is not None:
            return _json_response(status, refusal_document(refusal, exchange.reference_id), headers)
        assert exchange.vouched is not None, "what is not refused is vouched for"
        return _json_response(200, _token_document(exchange.step, exchange.vouched), headers)

    def _page(self, exchange: _Exchange, settings: IwaSettings) -> Shown:
        html = wants_html(exchange.request.headers.get("Accept"))
        name, reference_id = settings.name, exchange.reference_id
        if exchange.refused is not None:
            page = asking_page if exchange.is_asked else refused_page
            return page(exchange.refused, name, reference_id, html=html)
        assert exchange.looked is not None
        assert exchange.ticket is not None, "who was looked at came with a ticket"
        facts = {"connection": _connection(exchange.request, exchange.ticket), "address": exchange.ip}
        return known_page(exchange.looked, facts, name, reference_id, html=html)

    def _about(self, settings: IwaSettings) -> dict[str, Any]:
        registration = self._registration()
        return {
            "name": settings.name,
            "version": __version__,
            "url": settings.url,
            "org": settings.org_url,
            "id": None if registration is None else registration.iwa_id,
            "key_id": self._key_id,
            "realms": [each.realm for each in settings.realms],
            "service": settings.service,
            "channel_bindings": settings.channel_bindings.value,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def _note(self, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.began
        refusal = exchange.refused
        looked = None if exchange.looked is None else exchange.looked.refusal
        result = "ok" if refusal is None else refusal.reason.value
        if exchange.is_asked:  # every browser begins so
            result = "asked"
        self._metrics.requests.labels(exchange.step, result).inc()
        self._metrics.seconds.labels(exchange.step).observe(seconds)
        if exchange.is_asked or exchange.is_logged_already:
            return
        if refusal is not None and refusal.reason in _OUR_PROBLEMS:
            said = f"{refusal.reason}: {refusal.detail}"[:_MAX_PROBLEM_CHARACTERS]
            self.problem = "".join(character if character.isprintable() else " " for character in said)
        elif exchange.vouched is not None:
            self.problem = ""
        account, vouched, ticket = exchange.account, exchange.vouched, exchange.ticket
        refusal = refusal or looked
        self._log.note(
            f"iwa_{exchange.step}",
            reference_id=exchange.reference_id,
            result=result if looked is None else looked.reason.value,
            detail="" if refusal is None else refusal.detail,
            principal=None if ticket is None else ticket.principal,
            sid=None if account is None else account.sid,
            kind=None if account is None else account.kind.value,
            login=None if vouched is None else vouched.account.login,
            is_bound=None if ticket is None else ticket.is_bound,
            ip=exchange.ip,
            seconds=round(seconds, 6),
        )


_STEPS: Final = {"/device": "device", "/user": "user", "/": "page", "": "page"}


def _is_below(request: web.BaseRequest, settings: IwaSettings) -> bool:
    return request.path == settings.path or request.path.startswith(f"{settings.path}/")


def _token_document(step: str, vouched: Vouched) -> dict[str, Any]:
    seconds = int((vouched.expires - datetime.now(UTC)).total_seconds())
    return {f"{step}_token": vouched.token, "expires_in": seconds}


def _only(request: web.BaseRequest, name: str) -> str | None:
    """Raises EnrollmentRefused for a field that is there twice: which of both counts?"""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise refused(f"{name} is there {len(values)} times")
    return values[0] if values else None


def _address_of(request: web.BaseRequest, settings: IwaSettings) -> str:
    """Raises EnrollmentRefused."""
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    if not peer:
        raise refused("the connection is gone")
    chains, others = (
        [value.encode("latin-1", "replace") for value in request.headers.getall(name, [])]
        for name in ("X-Forwarded-For", "Forwarded")
    )
    try:
        address, _ = client_address(peer_address(peer[0]), chains, others, settings.trusted_proxies)
    except AddressesDisagree as disagree:
        raise refused(str(disagree)) from None
    return str(address)


def _bindings(exchange: _Exchange, asked: Asked | None, now: InForce) -> tuple[bytes | None, bool]:
    """What a ticket may be bound to, and whether it has to be. Agents bind each, and what they bind nobody
    can unbind; browsers, which bind by TLS or not at all, get a page that gives nothing away."""
    transport = exchange.request.transport
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    if tls is not None and now.certificate is not None:
        return now.certificate.bindings_of(tls), asked is not None
    if asked is None or now.settings.is_behind_tls:
        return None, False
    binding = asked.binding
    return request_binding(exchange.step, binding.nonce, binding.key_thumbprint), False


def _connection(request: web.BaseRequest, ticket: AcceptedTicket) -> str:
    if request.transport is None or request.transport.get_extra_info("ssl_object") is None:
        return "HTTP, without TLS"
    return "HTTPS, named in the ticket" if ticket.is_bound else "HTTPS, not named in the ticket"


def _not_here(detail: str) -> dict[str, Any]:
    return refusal_document(refused(detail), secrets.token_hex(_REFERENCE_BYTES))


def _json_response(status: int, document: Any, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return _response(status, body, "application/json", headers or {})


def _response(status: int, body: bytes, content_type: str, headers: dict[str, str]) -> web.Response:
    together = CIMultiDict(_HEADERS)
    together.update(headers)
    together["Content-Type"] = content_type
    return web.Response(status=status, body=body, headers=together)
