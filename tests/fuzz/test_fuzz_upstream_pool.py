"""Whatever requests, apps and browsers do: no server has more connections than it may, and none is lost."""

import asyncio
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from support.proxy_in_process import HealthChanges

from gateway.model.settings import Limits, Upstream
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import NameLookup
from gateway.server.upstream import UpstreamConnection, UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.server.upstream_server import UpstreamServer

MOST = 2
LIMITS = Limits(max_upstream_connections=MOST, max_upstream_queue=3, upstream_queue_timeout_seconds=5.0)
STEPS = st.sampled_from(
    (
        *("request", "request", "request", "answered", "answered", "answered", "browser leaves"),
        *("closed in use", "closed idle", "connects fail", "connects work", "failed", "wait"),
    )
)


class Connection:
    """Stands for an `UpstreamConnection` whose socket the test closes."""

    def __init__(self, owner: UpstreamServer) -> None:
        self.owner = owner
        self.is_open = True
        self.idle_since = 0.0

    def abort(self) -> None:
        """As with a transport: the end is reported, later."""
        if self.is_open:
            self.is_open = False
            asyncio.get_running_loop().call_soon(self.owner.forget, self)


class Server(UpstreamServer):
    """Connects to nobody."""

    works = True

    async def _connect(self, seconds: float) -> UpstreamConnection:
        await asyncio.sleep(0)
        if not Server.works:
            raise UpstreamFailed("connect", 502, "told to fail")
        return cast(UpstreamConnection, Connection(self))


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60), st.integers(1, 3))
def test_connections_are_bounded_and_none_is_lost(steps: list[str], servers: int) -> None:
    asyncio.run(_play(steps, servers))


async def _play(steps: list[str], number: int) -> None:
    loop = asyncio.get_running_loop()
    Server.works = True
    names, deadlines, changes = NameLookup(loop), Deadlines(loop), HealthChanges()
    servers = tuple(
        Server(
            Upstream("http", "127.0.0.1", port),
            *(None, loop, deadlines, LIMITS, names, UpstreamHealth(), changes),
        )
        for port in range(1, number + 1)
    )
    pool = UpstreamPool(servers, LIMITS, loop)
    in_use: list[Any] = []
    requests: list[asyncio.Task[None]] = []

    async def request(safe_to_repeat: bool) -> None:
        in_use.append(pool.take_idle(safe_to_repeat) or await pool.connect())

    for step in steps:
        match step:
            case "request":
                requests.append(asyncio.create_task(request(len(requests) % 2 == 0)))
            case "browser leaves" if requests:
                requests.pop().cancel()
            case "answered" if in_use:
                connection = in_use.pop(0)
                connection.owner.release(connection)
            case "closed in use" if in_use:
                in_use.pop().abort()
            case "closed idle":
                for server in servers:
                    if server._idle:
                        server._idle[0].abort()
            case "connects fail" | "connects work":
                Server.works = step == "connects work"
            case "failed":
                servers[0].failed("timeout")
        await asyncio.sleep(0)
        for server in servers:
            assert 0 <= server.in_use <= MOST
            assert len(server._open) + server._reserved <= MOST
        assert 0 <= pool._waiting <= LIMITS.max_upstream_queue

    # In the end everybody is answered or refused: whoever waits gets a turn.
    Server.works = True
    for _ in range(200):
        await asyncio.sleep(0)
        if in_use:
            connection = in_use.pop(0)
            connection.owner.release(connection)
    assert all(request_task.done() for request_task in requests)
    for request_task in requests:
        if not request_task.cancelled() and (error := request_task.exception()) is not None:
            assert isinstance(error, UpstreamFailed)
    assert [server.in_use for server in servers] == [0] * number
    assert pool._waiting == 0
    assert not any(server._line for server in servers)
