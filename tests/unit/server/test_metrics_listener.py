"""Who holds on to connections of the metrics listener keeps neither a probe out nor the supervisor from its
descriptors."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.server.metrics_listener import MAX_CONNECTIONS, MetricsListener


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def scrape() -> bytes:
        return b"# nothing\n"

    listening = socket.create_server(("127.0.0.1", 0))
    listener = MetricsListener(scrape, lambda: ["starting"])
    await listener.start(listening)
    yield listening.getsockname()[1]
    await listener.stop()


async def get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_of_too_many_connections_the_oldest_go(port: int) -> None:
    crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS + 40)]
    assert b" 200 OK" in await get(port, "/healthz")
    closed = 0
    for reader, writer in crowd[:40]:
        try:
            closed += await asyncio.wait_for(reader.read(), 10) == b""
        except ConnectionResetError:
            closed += 1
        writer.close()
    assert closed == 40
    _, newest = crowd[-1]
    newest.write(b"GET /readyz HTTP/1.1\r\nHost: metrics\r\n\r\n")
    assert b" 503 " in await asyncio.wait_for(crowd[-1][0].readline(), 10)
    for _, writer in crowd[40:]:
        writer.close()
