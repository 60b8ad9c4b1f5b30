"""Who holds on to connections of the metrics listener keeps neither a probe out nor the supervisor from its
descriptors."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.server.metrics_listener import MAX_CONNECTIONS, MetricsListener


class Scrapes:
    """Ends when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def scrape(self) -> bytes:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        return f"# scrape {number}\n".encode()


@pytest.fixture
async def scrapes() -> Scrapes:
    return Scrapes()


@pytest.fixture
async def port(scrapes: Scrapes) -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    listener = MetricsListener(scrapes.scrape, lambda: ["starting"])
    await listener.start(listening)
    yield listening.getsockname()[1]
    await listener.stop()


async def asked(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n".encode())
    return reader, writer


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def get(port: int, path: str) -> bytes:
    return await answered(*await asked(port, path))


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


async def test_who_asks_while_the_workers_are_asked_gets_the_same_page(port: int, scrapes: Scrapes) -> None:
    asking = [await asked(port, "/metrics") for _ in range(5)]
    assert b" 200 OK" in await get(port, "/healthz"), "which came after them"
    scrapes.may_end.set()
    for each in asking:
        assert (await answered(*each)).endswith(b"# scrape 1\n")
    assert (await get(port, "/metrics")).endswith(b"# scrape 2\n")
