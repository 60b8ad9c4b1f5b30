"""One address of an app: its connections, how many there may be, and whether it is worth trying.

connections   idle, or in use by one exchange; MAX_IDLE_CONNECTIONS are kept, `max_upstream_connections` may
              be open, and who comes when all are in use waits in line
health        gateway/proxy/upstream_health.py; what fails and what answers is told to it from here
names         looked up off the loop (server/name_lookup.py); of several addresses the one that connects first
              is taken, with a head start for each (RFC 8305)
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from typing import Final, Protocol

import aiohappyeyeballs

from gateway.model.settings import Limits, Upstream
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.proxy.whole_response import WholeResponses
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import AddressInfo, NameLookup, NameUnknown, with_port
from gateway.server.upstream import UpstreamConnection, UpstreamFailed

# Idle connections kept to one address. More than this many requests at once open new ones.
MAX_IDLE_CONNECTIONS: Final = 128
# A request that must not be sent twice takes only a connection that was in use this recently: the app may be
# closing one that was idle, and then nobody could tell whether the request arrived.
FRESH_SECONDS: Final = 2.0
# RFC 8305 §5: how long one of several addresses has before the next one is tried beside it.
_NEXT_ADDRESS_SECONDS: Final = 0.25
# Of the time to connect, so that a resolver that hangs is named as what it is.
_LOOKUP_SHARE: Final = 0.5

# What a request that waits in line is given: a connection, or the right to open one at this server.
Turn = tuple["UpstreamServer", UpstreamConnection | None]


class HealthReport(Protocol):
    """Who is told when an address goes out and comes back."""

    def upstream_down(self, upstream: Upstream, kind: str, pause_seconds: float) -> None: ...

    def upstream_up(self, upstream: Upstream) -> None: ...


class UpstreamServer:
    """Shared by all apps that have this address."""

    def __init__(
        self,
        upstream: Upstream,
        tls: ssl.SSLContext | None,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        limits: Limits,
        names: NameLookup,
        health: UpstreamHealth,
        report: HealthReport,
    ) -> None:
        self.upstream = upstream
        self.health = health
        self._tls = tls
        self._loop = loop
        self._deadlines = deadlines
        self._limits = limits
        self._names = names
        self._report = report
        self._has_name = upstream.scheme != "unix" and not _is_ip_address(upstream.host)
        self._idle: deque[UpstreamConnection] = deque()
        self._open: set[UpstreamConnection] = set()
        self._reserved = 0  # connections that are being opened, or may be
        self._probes: set[UpstreamConnection] = set()
        self._line: dict[asyncio.Future[Turn], None] = {}
        self._closed = False
        self.in_use = 0  # connections that an exchange has, or that are being opened for one
        self.whole_responses = WholeResponses(limits.max_head_bytes)

    def take_idle(self, safe_to_repeat: bool) -> UpstreamConnection | None:
        """The connection that was used last, if one is idle and open."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_open:
                self._open.discard(connection)
                continue
            if not safe_to_repeat and self._deadlines.after(-FRESH_SECONDS) > connection.idle_since:
                self._idle.append(connection)
                return None
            self.in_use += 1
            return connection
        return None

    # In line.

    def stand_in_line(self, waiter: "asyncio.Future[Turn]") -> None:
        """The next connection that is free goes to this one, as the future's result."""
        self._line[waiter] = None

    def leave_line(self, waiter: "asyncio.Future[Turn]") -> None:
        self._line.pop(waiter, None)

    def reserve(self) -> None:
        """Take the right to `open` one connection. Whoever has it opens or gives it back."""
        self._reserved += 1
        self.in_use += 1
        while self._idle and len(self._open) + self._reserved > self._limits.max_upstream_connections:
            # Idle ones that this request must not use stand in its way.
            connection = self._idle.popleft()
            self._open.discard(connection)
            connection.abort()

    def give_back(self) -> None:
        self._reserved -= 1
        self.in_use -= 1
        self._next_in_line(None)

    def _next_in_line(self, connection: UpstreamConnection | None) -> bool:
        """Let the first in line have the connection, or the room that there is. True if somebody took it."""
        while self._line:
            waiter = next(iter(self._line))
            del self._line[waiter]
            if waiter.done():
                continue
            if connection is None:
                self._reserved += 1
                self.in_use += 1
            waiter.set_result((self, connection))
            return True
        return False

    # Opening.

    async def open(self, seconds: float) -> UpstreamConnection:
        """A new connection within this time, by a right that was reserved. Raises UpstreamFailed."""
        probe = self.health.out
        connection: UpstreamConnection | None = None
        try:
            connection = await self._connect(seconds)
        except UpstreamFailed as failure:
            self.failed(failure.kind)
            raise
        finally:
            if connection is None:
                self.give_back()
        self._reserved -= 1
        self._open.add(connection)
        if probe:
            self._probes.add(connection)
        return connection

    async def _connect(self, seconds: float) -> UpstreamConnection:
        upstream = self.upstream
        try:
            async with asyncio.timeout(seconds):
                connection = await self._dial(seconds)
        except TimeoutError as error:
            self._names.doubt(upstream.host)
            raise UpstreamFailed("connect_timeout", 504, "connecting to the app took too long") from error
        except NameUnknown as error:
            raise UpstreamFailed("resolve", 502, f"no address of {upstream.host}: {error}") from error
        except ssl.SSLError as error:
            raise UpstreamFailed("tls", 502, f"the app's TLS was refused: {error.reason}") from error
        except OSError as error:
            raise UpstreamFailed("connect", 502, f"cannot connect to the app: {error}") from error
        if not connection.is_open:
            raise UpstreamFailed("connect", 502, "the app closed the connection at once")
        return connection

    async def _dial(self, seconds: float) -> UpstreamConnection:
        upstream = self.upstream
        tls_name = upstream.host if self._tls is not None else None

        def factory() -> UpstreamConnection:
            return UpstreamConnection(self, self._deadlines, self._limits)

        if upstream.scheme == "unix":
            return (await self._loop.create_unix_connection(factory, upstream.path))[1]
        if not self._has_name:
            _, connection = await self._loop.create_connection(
                factory, upstream.host, upstream.port, ssl=self._tls, server_hostname=tls_name
            )
            return connection
        connected = await self._first_to_answer(seconds)
        try:
            _, connection = await self._loop.create_connection(
                factory, sock=connected, ssl=self._tls, server_hostname=tls_name
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _first_to_answer(self, seconds: float) -> socket.socket:
        """A socket to one of the name's addresses, looked up once more if none of them answers."""
        host = self.upstream.host
        found = await self._names.addresses(host, seconds * _LOOKUP_SHARE)
        try:
            return await self._race(found)
        except OSError:
            if not self._names.doubt(host):
                raise
            again = await self._names.addresses(host, seconds * _LOOKUP_SHARE)
            if again == found:
                raise
            return await self._race(again)

    async def _race(self, found: tuple[AddressInfo, ...]) -> socket.socket:
        return await aiohappyeyeballs.start_connection(
            [with_port(address, self.upstream.port) for address in found],
            happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
            interleave=1,
            loop=self._loop,
        )

    # What becomes of a connection. Called by it.

    def release(self, connection: UpstreamConnection) -> None:
        """The exchange is over and the connection may have another one."""
        self.answered(connection)
        self.put_back(connection)

    def put_back(self, connection: UpstreamConnection) -> None:
        if self._closed or self.health.out or not connection.is_open:
            connection.abort()
        elif self._line and self._next_in_line(connection):
            pass
        elif len(self._idle) >= MAX_IDLE_CONNECTIONS:
            connection.abort()
        else:
            self.in_use -= 1
            self._idle.append(connection)

    def answered(self, connection: UpstreamConnection) -> None:
        """The app gave a whole answer, or switched protocols."""
        self.health.answers += 1
        if self._probes and connection in self._probes:
            self._probes.discard(connection)
            if self.health.out:
                self.health.answered_probe(self._loop.time())
                self._report.upstream_up(self.upstream)

    def failed(self, kind: str) -> None:
        """The app failed, before or inside an answer. ``kind`` is that of UpstreamFailed."""
        pause_seconds = self.health.failed(self._loop.time())
        if pause_seconds is not None:
            self._abort_idle()
            self._report.upstream_down(self.upstream, kind, pause_seconds)

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is closed."""
        self._probes.discard(connection)
        if connection not in self._open:
            return
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        else:
            self.in_use -= 1
            self._next_in_line(None)

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is released."""
        self._closed = True
        self._abort_idle()

    def _abort_idle(self) -> None:
        while self._idle:
            connection = self._idle.pop()
            self._open.discard(connection)
            connection.abort()


def upstream_tls(upstream: Upstream, roots_pem: bytes | None = None) -> ssl.SSLContext | None:
    """Verified TLS to an https upstream, against the system's roots or the given ones. Raises
    ssl.SSLError."""
    if upstream.scheme != "https":
        return None
    # What is not ASCII is in the text between certificates, and no part of any.
    roots = None if roots_pem is None else roots_pem.decode("ascii", "ignore")
    context = ssl.create_default_context(cadata=roots)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
