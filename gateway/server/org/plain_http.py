"""The plain HTTP listener of the org: CRLs, certificates of authorities and OCSP, and nothing else.

It is open to the world without a worker before it, so that it believes no header about where a request comes
from, and bounds its connections itself.
"""

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from gateway.model.settings import Address
from gateway.model.store_errors import StoreUnavailable
from gateway.server.http_server import HttpServer
from gateway.server.org.call import Call, Client, StoreDoor
from gateway.server.org.enforcement import Enforcement
from gateway.server.org.errors import ApiError
from gateway.server.org.rate_limit import RateLimiter, caller_of_address
from gateway.server.org.route import PUBLIC, Answer, Route
from gateway.server.org.routing import RoutingTable
from gateway.server.org.store_threads import FewAtOnce
from gateway.services.ports import Clock, Randomness

MAX_CONNECTIONS: Final = 1_024
# Of one address, or IPv6 /64: a whole office may come from one, but one must not keep all others out.
MAX_CONNECTIONS_PER_ADDRESS: Final = 256
# Whatever a client does: a list of 100 MB at 2 MB/s has time, and a connection that is held open ends.
MAX_CONNECTION_SECONDS: Final = 60.0
_KEEPALIVE_SECONDS: Final = 10.0
_REQUEST_SECONDS: Final = 30.0
_MAX_LINE_BYTES: Final = 4_096
_MAX_FIELD_BYTES: Final = 8_192
_REFERENCE_BYTES: Final = 8
_SERVER_NAME: Final = "devicetrust"

_logger = logging.getLogger("gateway.defect")


class PlainHttp:
    """Answers requests by ``routes``, none of which may need a token."""

    def __init__(
        self,
        routes: Sequence[Route],
        store: StoreDoor,
        enforcement: Enforcement,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        assert all(route.scope is None for route in routes)
        self._table = RoutingTable(routes)
        self._store = FewAtOnce(store)
        self._enforcement = enforcement
        self._clock = clock
        self._randomness = randomness
        self._limiter = RateLimiter()
        self._server = _BoundedServer(
            self._handle,
            server_name=_SERVER_NAME,
            access_log=None,
            logger=_logger,  # for defects of ours, which are answered with 500
            keepalive_timeout=_KEEPALIVE_SECONDS,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_FIELD_BYTES,
            auto_decompress=False,
        )
        self._listening: list[asyncio.Server] = []

    async def start(self, addresses: Sequence[Address]) -> None:
        """Raises OSError with the address where one cannot be listened on. Two gateways may listen at once,
        while one takes over from the other."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            try:
                server = await loop.create_server(
                    self._server, address.host, address.port, reuse_port=True, family=_family(address)
                )
            except OSError as error:
                await self.stop()
                where = f"listen.http {address.host}:{address.port}"
                raise OSError(error.errno, os.strerror(error.errno or 0), where) from None
            self._listening.append(server)

    @property
    def ports(self) -> list[int]:
        return [each.getsockname()[1] for server in self._listening for each in server.sockets]

    async def stop(self) -> None:
        for server in self._listening:
            server.close()
        self._listening.clear()
        await self._server.shutdown(timeout=1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                answer = await self._answer(request)
        except ApiError as error:
            answer = _text(error.status, error.summary)
        except StoreUnavailable:
            answer = _text(503, "the store is not available")
        except TimeoutError:
            answer = _text(408, "it took too long")
        headers = {
            "Server": _SERVER_NAME,
            "X-Content-Type-Options": "nosniff",
            **dict(answer.headers),
        }
        return web.Response(status=answer.status, body=answer.body or None, headers=headers)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        ip = request.remote or ""
        caller = caller_of_address(ip)
        if not self._limiter.take(caller, PUBLIC, self._clock.now().timestamp()).allowed:
            return _text(429, "too many requests")
        raw_path, _, query = request.raw_path.partition("?")
        matched = self._table.match(request.method, raw_path)
        limit = matched.route.max_body_bytes
        if request.content_length is not None and request.content_length > limit:
            return _text(413, "too large")
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > limit:
                return _text(413, "too large")
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(
            method=request.method,
            path=raw_path,
            parameters=matched.parameters,
            query=query,
            headers=headers,
            body=bytes(body),
            actor=None,
            client=Client(ip, headers.get("user-agent", "")[:512]),
            store=self._store,
            enforcement=self._enforcement,
            clock=self._clock,
            randomness=self._randomness,
            base_url="",
            reference_id=self._randomness.bytes(_REFERENCE_BYTES).hex(),
        )
        return await matched.route.handler(call)


class _BoundedServer(HttpServer):
    """So many connections, so many of one address, each for so long."""

    def __init__(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **more: Any
    ) -> None:
        super().__init__(handler, **more)
        self._callers: dict[RequestHandler, str] = {}
        self._by_caller: Counter[str] = Counter()

    @override
    def __call__(self) -> Any:
        if len(self.connections) >= MAX_CONNECTIONS:
            return _Refusal()
        handler = super().__call__()
        asyncio.get_running_loop().call_later(MAX_CONNECTION_SECONDS, handler.force_close)
        return handler

    @override
    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        caller = caller_of_address(peer[0] if peer else "")
        self._callers[handler] = caller
        self._by_caller[caller] += 1
        if self._by_caller[caller] > MAX_CONNECTIONS_PER_ADDRESS:
            transport.close()

    @override
    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        caller = self._callers.pop(handler)
        self._by_caller[caller] -= 1
        if not self._by_caller[caller]:
            del self._by_caller[caller]


class _Refusal(asyncio.Protocol):
    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def _text(status: int, sentence: str) -> Answer:
    return Answer(status, headers=(("Content-Type", "text/plain"),), body=sentence.encode() + b"\n")
