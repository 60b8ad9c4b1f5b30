"""The connections to one app, spread over its servers.

    least connections   among the servers that are up, the one with the fewest exchanges; equals in turn
    probe               a server that is out gets one request when its pause is over
    all out             the one that is due first is tried rather than nobody
    retries             a connect that fails goes on to another server at once: nothing was sent yet
    line                when every server has as many connections as it may, requests wait, bounded and timed

Any server takes any request: keeping a person with one server is not done here. Apps with sessions in the
memory of one process need a shared store, or one address.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.model.settings import Limits
from gateway.server.upstream import UpstreamConnection, UpstreamFailed
from gateway.server.upstream_server import Turn, UpstreamServer

# Servers tried for one request. All share `upstream_connect_timeout`.
MAX_TRIES: Final = 3
# What a browser is told when the line is full. Exchanges end every moment.
RETRY_AFTER_SECONDS: Final = 2


class UpstreamPool:
    """Of one app. ``servers`` is not empty."""

    def __init__(
        self, servers: tuple[UpstreamServer, ...], limits: Limits, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.servers = servers
        self.limits = limits
        self._loop = loop
        self._only = servers[0] if len(servers) == 1 else None
        self._rotations = tuple(servers[at:] + servers[:at] for at in range(len(servers)))
        self._turn = 0
        self._waiting = 0

    def take_idle(self, safe_to_repeat: bool) -> UpstreamConnection | None:
        """An idle connection for this request, None if one has to be opened (`connect`)."""
        if self._only is not None:
            return self._only.take_idle(safe_to_repeat)
        server = self._choose()
        if server is None or server.health.out:
            return None
        connection = server.take_idle(safe_to_repeat)
        if connection is not None:
            self._next_turn()
        return connection

    async def connect(self) -> UpstreamConnection:
        """A connection for one request, new or one that became free. Raises UpstreamFailed."""
        seconds_left = self.limits.upstream_connect_timeout_seconds
        queue_ends = self._loop.time() + self.limits.upstream_queue_timeout_seconds
        tried: list[UpstreamServer] = []
        for tries_left in range(min(MAX_TRIES, len(self.servers)), 0, -1):
            server, connection = await self._turn_at_a_server(tried, queue_ends)
            if connection is not None:
                return connection
            began = self._loop.time()
            try:
                return await server.open(seconds_left / tries_left)
            except UpstreamFailed:
                if tries_left == 1:
                    raise
                tried.append(server)
                seconds_left -= self._loop.time() - began
        raise AssertionError("no server was tried")

    async def _turn_at_a_server(self, tried: Sequence[UpstreamServer], queue_ends: float) -> Turn:
        """A right to open a connection, or a connection. Raises UpstreamFailed."""
        while True:
            server = self._choose(tried)
            if server is not None:
                self._next_turn()
                now = self._loop.time()
                if server.health.probe_due(now):
                    server.health.begin_probe(now)
                server.reserve()
                return server, None
            if self._waiting >= self.limits.max_upstream_queue:
                raise UpstreamFailed(
                    "busy", 503, "all connections to the app are in use", RETRY_AFTER_SECONDS
                )
            servers = [server for server in self.servers if server not in tried]
            server, connection = await self._wait_in_line(servers, queue_ends)
            if connection is None or connection.is_open:
                return server, connection

    def _next_turn(self) -> None:
        self._turn = (self._turn + 1) % len(self.servers)

    async def _wait_in_line(self, servers: Sequence[UpstreamServer], queue_ends: float) -> Turn:
        waiter: asyncio.Future[Turn] = self._loop.create_future()
        for server in servers:
            server.stand_in_line(waiter)
        self._waiting += 1
        try:
            async with asyncio.timeout_at(queue_ends):
                return await waiter
        except TimeoutError as error:
            _pass_on(waiter)
            raise UpstreamFailed(
                "busy", 503, "no connection to the app became free in time", RETRY_AFTER_SECONDS
            ) from error
        except asyncio.CancelledError:
            _pass_on(waiter)
            raise
        finally:
            self._waiting -= 1
            for server in servers:
                server.leave_line(waiter)

    def _choose(self, tried: Sequence[UpstreamServer] = ()) -> UpstreamServer | None:
        """The server for the next request; None if it has to wait in line."""
        best: UpstreamServer | None = None
        most = fewest = self.limits.max_upstream_connections
        some_are_out = up_but_full = False
        for server in self._rotations[self._turn]:
            if server.health.out:
                some_are_out = True
            elif server in tried:
                continue
            elif server.in_use < fewest:
                best, fewest = server, server.in_use
            else:
                up_but_full = True
        if not some_are_out:
            return best
        out = [s for s in self.servers if s.health.out and s.in_use < most and s not in tried]
        due_first = min(out, key=lambda server: server.health.retry_at, default=None)
        if due_first is not None and due_first.health.probe_due(self._loop.time()):
            return due_first
        return best if best is not None or up_but_full else due_first


def _pass_on(waiter: "asyncio.Future[Turn]") -> None:
    """Its turn came at the same moment as its end: the next in line has it."""
    if waiter.done() and not waiter.cancelled():
        server, connection = waiter.result()
        if connection is None:
            server.give_back()
        else:
            server.put_back(connection)
