"""The org's HTTP server: from a request to a route's answer, with all that is the same for every route.

    request → route (404, 405) → who calls (401) → how often (429) → may they (403) → body (413, 408)
            → handler → answer

What a handler raises as ApiError is its answer. A store that is gone is answered with 503; what nobody
declared is a bug of ours: it is logged with the reference id, and answered with 500 (`_bug`).

The server is behind the gateway's own workers, on a socket that only they reach: they check the Host field,
bound heads and connections, and tell in `X-Forwarded-For`, `X-Forwarded-Host` and `X-Reference-Id` what they
know. None of these comes from outside.
"""

import asyncio
import json
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from gateway.model.store_errors import AlreadyExists, ReferenceMissing, StoreUnavailable, UnstorableValue
from gateway.server.http_server import HttpServer
from gateway.server.org.authentication import Tokens, presented_token
from gateway.server.org.call import Actor, Call, Client, StoreDoor
from gateway.server.org.enforcement import Enforcement
from gateway.server.org.errors import (
    ApiError,
    conflict,
    internal_error,
    invalid_token,
    not_allowed_now,
    not_permitted,
    not_well_formed,
    rate_limit_exceeded,
    request_timed_out,
    resource_not_found,
    store_unavailable,
    too_large,
    took_too_long,
    unsupported_media_type,
    validation_failed,
)
from gateway.server.org.openapi import document
from gateway.server.org.rate_limit import RateLimiter, Standing, caller_of_address
from gateway.server.org.route import API, GUARDED, PUBLIC, Answer, Budget, Route
from gateway.server.org.routing import Matched, RoutingTable
from gateway.server.org.store_threads import FewAtOnce
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.ports import Clock, Randomness
from gateway.services.refusals import InvalidValue, NotAllowedNow, NotFound

OPENAPI_PATH: Final = "/api/v1/openapi.json"
MAX_USER_AGENT_CHARACTERS: Final = 512
_MAX_HEADER_BYTES: Final = 64 * 1024
_KEEPALIVE_SECONDS: Final = 75.0
_LAST_USED_SECONDS: Final = 30.0
_REFERENCE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_AUTHORITY: Final = re.compile(r"[a-z0-9.-]{1,255}(?::[0-9]{1,5})?")
_REFERENCE_BYTES: Final = 8

# An API is neither framed nor sniffed nor kept, and runs no script.
_SERVER_NAME: Final = "devicetrust"  # and no version
_SECURITY_HEADERS: Final = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("Server", _SERVER_NAME),
    ("Strict-Transport-Security", "max-age=31536000"),
    ("X-Content-Type-Options", "nosniff"),
)

_logger = logging.getLogger("gateway.defect")


class OrgApp:
    """Answers requests by ``routes``, and with the OpenAPI document of them, which refers to ``schemas``.
    ``base_url`` gives what the org is reached by from outside, `https://host[:port]`, and ``configuration``
    what gateway.yaml says, both at the time."""

    def __init__(
        self,
        routes: Sequence[Route],
        schemas: Mapping[str, Any],
        store: StoreDoor,
        enforcement: Enforcement,
        clock: Clock,
        randomness: Randomness,
        base_url: Callable[[], str],
        configuration: Callable[[], OrgConfiguration] = OrgConfiguration,
        api_requests_per_minute: Callable[[], int] = lambda: API.requests_per_minute,
    ) -> None:
        self._table = RoutingTable((*routes, self._openapi_route(routes, schemas)))
        self._store = store
        self._strangers_store = FewAtOnce(store)
        self._enforcement = enforcement
        self._clock = clock
        self._randomness = randomness
        self._base_url = base_url
        self._configuration = configuration
        self._api_requests_per_minute = api_requests_per_minute
        self._tokens = Tokens(store, clock)
        self._limiter = RateLimiter()
        self._runner = web.ServerRunner(
            HttpServer(
                self._handle,
                server_name=_SERVER_NAME,
                access_log=None,
                keepalive_timeout=_KEEPALIVE_SECONDS,
                max_line_size=_MAX_HEADER_BYTES,
                max_field_size=_MAX_HEADER_BYTES,
                auto_decompress=False,
            )
        )

    async def start(self, listening: socket.socket) -> None:
        """``listening`` (a Unix or TCP socket) is the app's from now on."""
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def run(self) -> None:
        """What is to be done beside requests; until cancelled."""
        while True:
            await asyncio.sleep(_LAST_USED_SECONDS)
            await self._write_last_used()

    async def stop(self) -> None:
        """Requests that run are given a moment to finish."""
        await self._runner.cleanup()

    async def _write_last_used(self) -> None:
        try:
            await self._tokens.write_last_used()
        except StoreUnavailable:
            return  # it is tried again

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        exchange = _Exchange(request, self._randomness)
        try:
            answer = await self._answer(request, exchange)
        except ApiError as error:
            answer = exchange.error_answer(error, exchange.reference_id)
        except Exception as bug:  # noqa: BLE001  # the boundary
            answer = self._bug(bug, exchange)
        return _response(answer, exchange)

    async def _answer(self, request: web.BaseRequest, exchange: "_Exchange") -> Answer:
        matched = self._matched(request, exchange)
        route = matched.route
        try:
            async with asyncio.timeout(route.timeout_seconds):
                actor = await self._actor(request, route, exchange)
                body = await _body(request, route.max_body_bytes)
                exchange.is_read = True
                return await route.handler(self._call(request, matched, actor, body, exchange))
        except TimeoutError:
            raise (took_too_long() if exchange.is_read else request_timed_out()) from None
        except StoreUnavailable:
            raise store_unavailable() from None
        except NotFound as missing:
            raise resource_not_found(missing.identifier, missing.kind) from None
        except InvalidValue as invalid:
            raise validation_failed(invalid.field, str(invalid)) from None
        except NotAllowedNow as refused:
            raise not_allowed_now(str(refused)) from None
        except AlreadyExists as taken:
            raise conflict(f"{taken.what}: is taken already") from None
        except ReferenceMissing:
            raise conflict("something that it refers to is not there, or something refers to it") from None
        except UnstorableValue as unstorable:
            raise validation_failed("value", str(unstorable)) from None

    def _matched(self, request: web.BaseRequest, exchange: "_Exchange") -> Matched:
        try:
            matched = self._table.match(request.method, exchange.raw_path)
        except ApiError:
            self._spend(exchange.address_caller, PUBLIC, exchange)
            raise
        exchange.error_answer = matched.route.error_answer or _error_answer
        return matched

    async def _actor(self, request: web.BaseRequest, route: Route, exchange: "_Exchange") -> Actor | None:
        address = exchange.address_caller
        if route.scope is None:
            self._spend(address, route.budget, exchange)
            return None
        token = presented_token(request.headers.get("Authorization", ""))
        if token is None or (not self._tokens.is_known(token) and self._is_guessing(address)):
            self._spend(address, GUARDED, exchange)
            raise invalid_token()
        try:
            actor = await self._tokens.actor(token)
        except ApiError:
            self._spend(address, GUARDED, exchange)
            raise
        self._spend(actor.token.id, route.budget, exchange)
        if not actor.may(route.scope, route.okta_scope):
            raise not_permitted()
        return actor

    def _is_guessing(self, address: str) -> bool:
        """Whoever showed too many tokens that are none costs the store nothing more."""
        return not self._limiter.look(address, GUARDED, self._clock.now().timestamp()).allowed

    def _spend(self, caller: str, budget: Budget, exchange: "_Exchange") -> None:
        now = self._clock.now().timestamp()
        if budget is API:
            budget = replace(budget, requests_per_minute=self._api_requests_per_minute())
        exchange.standing = self._limiter.take(caller, budget, now)
        if not exchange.standing.allowed:
            raise rate_limit_exceeded(max(1, int(exchange.standing.reset - now)))

    def _call(
        self,
        request: web.BaseRequest,
        matched: Matched,
        actor: Actor | None,
        body: bytes,
        exchange: "_Exchange",
    ) -> Call:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Call(
            method=request.method,
            path=exchange.raw_path,
            parameters=matched.parameters,
            query=exchange.query,
            headers=headers,
            body=body,
            actor=actor,
            client=Client(exchange.ip, headers.get("user-agent", "")[:MAX_USER_AGENT_CHARACTERS]),
            store=self._strangers_store if actor is None else self._store,
            enforcement=self._enforcement,
            clock=self._clock,
            randomness=self._randomness,
            base_url=self._reached_by(headers.get("x-forwarded-host", "")),
            reference_id=exchange.reference_id,
            configuration=self._configuration(),
        )

    def _reached_by(self, authority: str) -> str:
        """Behind a port mapping the browser's port is another one; the host never is."""
        base_url = self._base_url()
        host = base_url.removeprefix("https://").partition(":")[0]
        authority = authority.lower()
        if _AUTHORITY.fullmatch(authority) is None or authority.partition(":")[0] != host:
            return base_url
        return f"https://{authority}"

    def _bug(self, bug: Exception, exchange: "_Exchange") -> Answer:
        _logger.error("defect, reference %s", exchange.reference_id, exc_info=bug)
        return exchange.error_answer(internal_error(), exchange.reference_id)

    def _openapi_route(self, routes: Sequence[Route], schemas: Mapping[str, Any]) -> Route:
        async def openapi(call: Call) -> Answer:
            return Answer(json=document(self._table.routes, schemas, call.base_url))

        operation = {
            "summary": "This document",
            "operationId": "getOpenApi",
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                }
            },
        }
        return Route("GET", OPENAPI_PATH, None, openapi, operation, budget=PUBLIC, max_body_bytes=0)


class _Exchange:
    """What is known of a request before anything is decided, and where it stands."""

    def __init__(self, request: web.BaseRequest, randomness: Randomness) -> None:
        self.raw_path, _, self.query = request.raw_path.partition("?")
        reference_id = request.headers.get("X-Reference-Id", "")
        if _REFERENCE.fullmatch(reference_id) is None:
            reference_id = randomness.bytes(_REFERENCE_BYTES).hex()
        self.reference_id = reference_id
        # Only what the workers believed is in it, the client first.
        self.ip = request.headers.get("X-Forwarded-For", "").partition(",")[0].strip()
        self.address_caller = caller_of_address(self.ip)
        self.standing: Standing | None = None
        self.is_read = False
        self.error_answer: Callable[[ApiError, str], Answer] = _error_answer


async def _body(request: web.BaseRequest, limit_bytes: int) -> bytes:
    """Raises ApiError. What is beyond the limit is not read."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise unsupported_media_type("Content-Encoding is not supported")
    if (request.content_length or 0) > limit_bytes:
        raise too_large(limit_bytes)
    if not request.can_read_body:
        return b""
    if limit_bytes == 0:  # nor is it waited for
        raise too_large(limit_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit_bytes:
                raise too_large(limit_bytes)
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
        raise not_well_formed("The body broke off") from None
    return bytes(body)


def _error_answer(error: ApiError, reference_id: str) -> Answer:
    return Answer(error.status, error.body(reference_id), tuple(error.headers.items()))


def _response(answer: Answer, exchange: _Exchange) -> web.Response:
    headers = CIMultiDict(_SECURITY_HEADERS)
    headers["X-Okta-Request-Id"] = exchange.reference_id
    body = answer.body
    if answer.json is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(answer.json, ensure_ascii=False, separators=(",", ":")).encode()
    if exchange.standing is not None:
        headers.extend(exchange.standing.headers)
    for name, value in answer.headers:
        if name == "Link":
            headers.add(name, value)
        else:
            headers[name] = value
    response = web.Response(status=answer.status, body=body or None, headers=headers)
    if headers.get("Connection") == "close":
        response.force_close()
    return response
