"""Whatever requests, apps and browsers do: no server has more connections than it may, and none is lost."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.upstreams_without_sockets import Server, pool_of

from gateway.model.settings import Limits
from gateway.server.upstream import UpstreamFailed

MOST = 2
LIMITS = Limits(max_upstream_connections=MOST, max_upstream_queue=3, upstream_queue_timeout_seconds=5.0)
STEPS = st.sampled_from(
    (
        *("request", "request", "request", "answered", "answered", "answered", "browser leaves"),
        *("closed in use", "closed idle", "connects fail", "connects work", "failed"),
        *("a moment passes", "a moment passes", "a moment passes"),
    )
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60), st.integers(1, 3))
def test_connections_are_bounded_and_none_is_lost(steps: list[str], servers: int) -> None:
    asyncio.run(_play(steps, servers))


async def _play(steps: list[str], number: int) -> None:
    Server.works = True
    pool = pool_of(number, LIMITS)
    servers = pool.servers
    in_use: list[Any] = []
    requests: list[asyncio.Task[None]] = []

    async def request(safe_to_repeat: bool) -> None:
        in_use.append(pool.take_idle(safe_to_repeat) or await pool.connect())

    for step in steps:
        match step:
            case "request":
                requests.append(asyncio.create_task(request(len(requests) % 2 == 0)))
            case "browser leaves" if running := [task for task in requests if not task.done()]:
                running[-1].cancel()
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
            case "a moment passes":  # what stands between two of these happens at once
                await asyncio.sleep(0)
        for server in servers:
            assert server.in_use == len(server._open) + server._reserved - len(server._idle)
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
