"""The gateway's connection machinery in this process, in front of an upstream that a test writes itself.

No policy and no sign-on: a `Forwarder` stands where the gateway's handlers are and sends every request to the
app. What a test wants to know of the inside (statuses, failures, defects) is kept in lists.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.pki import Authority

from gateway.model.http import Headers
from gateway.model.settings import IPNetwork, Limits, Upstream
from gateway.proxy.headers import request_headers
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.admission import Admission
from gateway.server.channel import Channel, Speaker
from gateway.server.collect import Collect, HeldBodies
from gateway.server.deadlines import Deadlines
from gateway.server.exchange import Requester
from gateway.server.forward import Errand, ForwardExchange
from gateway.server.http2_connection import Http2Connection
from gateway.server.http_connection import HttpConnection
from gateway.server.name_lookup import NameLookup
from gateway.server.upstream import UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.server.upstream_server import UpstreamServer, upstream_tls
from gateway.server.visit import Visit
from gateway.tls.contexts import ServerCertificate, app_context
from gateway.tls.session import HostContext

HOST = "wiki.apps.example.test"
WEB = Authority.create_root("Web root")
_CREDENTIAL = WEB.issue_server([HOST])
_CONTEXT = HostContext(
    app_context(ServerCertificate((_CREDENTIAL.certificate,), _CREDENTIAL.key)), asks_for_certificate=False
)

AppServer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Forwarder:
    """A `Handler` that forwards. ``/own`` is answered at once, ``/collect`` with the body that was sent."""

    pool: UpstreamPool
    max_body_bytes: int | None = None
    statuses: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    defects: list[BaseException] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    requesters: list[Requester] = field(default_factory=list)

    def begin(self, start: RequestStart, connection: Requester) -> None:
        head = start.head
        self.requesters.append(connection)
        if head.path == b"/own":
            connection.answer(200, (), head.query)
        elif head.path == b"/collect":

            async def answer(body: bytes) -> None:
                connection.answer(200, (), body)

            Collect(
                connection,
                1_000,
                answer,
                lambda _: self._too_large(connection),
                lambda: connection.answer(503, (), b"", close=True),
                self.tasks,
                HeldBodies(),
            )
        elif head.path == b"/defect":
            raise ZeroDivisionError("a defect of ours")
        else:
            self._forward(start, connection)

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        connection.answer(refused.status, (), refused.detail.encode(), close=True)

    def failed(self, error: BaseException, connection: Requester) -> None:
        self.defects.append(error)
        if connection.can_answer:
            connection.answer(500, (), b"defect", close=True)
        else:
            connection.channel.abort()

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # as the gateway's boundary does
            self.failed(error, connection)

    def _too_large(self, connection: Requester) -> None:
        connection.answer(413, (), b"too large", close=True)

    def _forward(self, start: RequestStart, connection: Requester) -> None:
        fields = request_headers(start.head.headers, host=b"wiki", added=(), cookie=None)

        def failed(failure: UpstreamFailed, begun: bool) -> None:
            self.failures.append(failure.kind)
            if begun:
                connection.channel.abort()
            else:
                connection.answer(failure.status, (), failure.kind.encode(), close=True)

        def seen(_status: int, _headers: Headers) -> None:
            pass

        ForwardExchange(
            connection,
            start,
            self.pool,
            Errand(start.head.method, start.head.target, tuple(fields)),
            self.max_body_bytes,
            seen,
            self.statuses.append,
            failed,
        ).run()


class Report:
    """Counts handshakes by their result."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.shed: list[str] = []
        self.open = 0

    def handshake(self, server_name: str | None, result: str, seconds: float) -> None:
        self.results.append(result)

    def connection_opened(self, server_name: str) -> str:
        self.open += 1
        return "app"

    def connection_closed(self, role: str) -> None:
        self.open -= 1


@dataclass
class HealthChanges:
    """What an administrator would read in the log: ``down KIND`` and ``up``."""

    seen: list[str] = field(default_factory=list)

    def upstream_down(self, upstream: Upstream, kind: str, pause_seconds: float) -> None:
        self.seen.append(f"down {kind}")

    def upstream_up(self, upstream: Upstream) -> None:
        self.seen.append("up")


@dataclass
class Running:
    port: int
    forwarder: Forwarder
    connections: set[Channel]
    report: Report
    admission: Admission
    servers: tuple[UpstreamServer, ...]
    health_changes: HealthChanges
    speakers: list[Http2Connection | HttpConnection]
    host: str = "127.0.0.1"


def _tls_of(upstream: Upstream) -> ssl.SSLContext | None:
    return upstream_tls(upstream, Path(upstream.ca_file).read_bytes() if upstream.ca_file else None)


@contextlib.asynccontextmanager
async def gateway_before(
    *upstreams: Upstream,
    limits: Limits | None = None,
    listen: str = "127.0.0.1",
    max_body_bytes: int | None = None,
    trusted_proxies: tuple[IPNetwork, ...] = (),
    proxy_protocol: bool = False,
) -> AsyncIterator[Running]:
    """Listen on loopback and forward to these servers of one app. A defect in our own code fails the test at
    the end, unless the test took it out of the list."""
    loop = asyncio.get_running_loop()
    limits = limits or Limits()
    deadlines = Deadlines(loop)
    deadlines.start()
    names, changes = NameLookup(loop), HealthChanges()
    servers = tuple(
        UpstreamServer(upstream, _tls_of(upstream), loop, deadlines, limits, names, UpstreamHealth(), changes)
        for upstream in upstreams
    )
    forwarder = Forwarder(UpstreamPool(servers, limits, loop), max_body_bytes)
    connections: set[Channel] = set()
    speakers: list[Http2Connection | HttpConnection] = []
    report = Report()

    admission = Admission(
        loop, deadlines, limits, lambda reason, _: report.shed.append(reason), capacity=10_000
    )

    def speaker(channel: Channel) -> Speaker:
        made: Http2Connection | HttpConnection
        if channel.application_protocol == b"h2":
            made = Http2Connection(channel, forwarder, limits, deadlines)
        else:
            made = HttpConnection(channel, forwarder, limits)
        speakers.append(made)
        return made

    def channel(visit: Visit) -> Channel:
        return Channel(
            lambda name: _CONTEXT if name == HOST else None,
            speaker,
            report,
            deadlines,
            limits.handshake_timeout_seconds,
            connections,
            visit,
        )

    def accept() -> Visit:
        return Visit(admission, channel, report, lambda: trusted_proxies, proxy_protocol=proxy_protocol)

    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    server = await loop.create_server(accept, listen, 0)
    try:
        yield Running(
            server.sockets[0].getsockname()[1],
            forwarder,
            connections,
            report,
            admission,
            servers,
            changes,
            speakers,
            listen,
        )
    finally:
        server.close()
        for left in list(connections):
            left.abort()
        for upstream_server in servers:
            upstream_server.close()
        names.stop()
        deadlines.stop()
        await asyncio.sleep(0.02)
        loop.set_exception_handler(None)
    assert not forwarder.defects, forwarder.defects
    assert not problems, problems


class _Apps:
    """The connections of one upstream, so that none outlives its test."""

    def __init__(self, answer: AppServer) -> None:
        self._answer = answer
        self._running: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run ``answer``, close the connection behind it, and do not mind a gateway that went away."""
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                await self._answer(reader, writer)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._running.discard(task)

    async def stop(self, server: asyncio.Server) -> None:
        server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running)


@contextlib.asynccontextmanager
async def app_server(
    answer: AppServer, *, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Upstream]:
    """An upstream that runs ``answer`` for each connection."""
    apps = _Apps(answer)
    server = await asyncio.start_server(apps.serve, "127.0.0.1", port, ssl=tls, limit=2**22)
    try:
        yield Upstream("https" if tls else "http", "127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        await apps.stop(server)


@contextlib.asynccontextmanager
async def unix_app_server(answer: AppServer, path: Path) -> AsyncIterator[Upstream]:
    apps = _Apps(answer)
    server = await asyncio.start_unix_server(apps.serve, path)
    try:
        yield Upstream("unix", path=str(path))
    finally:
        await apps.stop(server)


class Client:
    """A browser's connection, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), 5)

    async def response(self) -> tuple[bytes, bytes]:
        """(head, body) of a response with Content-Length."""
        head = await self.head()
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return head, await self.exactly(int(value))
        return head, b""

    async def rest(self) -> bytes:
        """All until the gateway closes."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            return await asyncio.wait_for(self.reader.read(), 5)
        return b""

    async def is_open(self) -> bool:
        """Nothing arrives and nothing closes for a moment."""
        try:
            await asyncio.wait_for(self.reader.read(1), 0.1)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client_of(gateway: Running) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cadata=WEB.pem.decode())
    reader, writer = await asyncio.open_connection(
        gateway.host, gateway.port, ssl=context, server_hostname=HOST, limit=2**22
    )
    client = Client(reader, writer)
    try:
        yield client
    finally:
        client.close()


async def request_head(reader: asyncio.StreamReader) -> bytes:
    """What the app sees of the next request's head."""
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    """Wait for something inside to happen."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
