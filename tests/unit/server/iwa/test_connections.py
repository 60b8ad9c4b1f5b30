"""Connections of the IWA web app: whoever is silent or has too many loses them, nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from support.processes import free_port

from gateway.model.settings import Address
from gateway.server.iwa import connections as module
from gateway.server.iwa.connections import Connections
from gateway.server.listening import listen


@asynccontextmanager
async def served(limit: int, seconds: float = 0.0) -> AsyncIterator[int]:
    """A port where each request takes so many seconds."""

    async def handle(request: web.BaseRequest) -> web.Response:
        connections.began(request.transport)
        try:
            await asyncio.sleep(seconds)
            return web.Response(text="well")
        finally:
            connections.ended(request.transport)

    server = web.Server(handle)
    connections = Connections(server, limit)
    port = free_port()
    await connections.listen(listen(Address("127.0.0.1", port), "test", 1)[0][0], None)
    sweeping = asyncio.create_task(connections.sweep())
    try:
        yield port
    finally:
        sweeping.cancel()
        connections.close()
        await server.shutdown(1.0)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: iwa\r\n\r\n")
    return await reader.read(4_096)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(5.0):
            return await reader.read(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.05)


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async with served(10) as port:
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        slow, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(b"GET / HTTP/1.1\r\nX: ")
        assert await is_closed(silent)
        assert await is_closed(slow)
        silent_writer.close()
        slow_writer.close()


async def test_a_request_that_takes_longer_is_answered() -> None:
    async with served(10, seconds=0.6) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b"well" in await ask(reader, writer)
        assert await is_closed(reader)  # and then it was idle
        writer.close()


async def test_for_one_more_than_allowed_the_oldest_goes() -> None:
    async with served(3) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in opened:
            assert b"well" in await ask(reader, writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b"well" in await ask(reader, writer)
        assert await is_closed(opened[0][0])
        assert b"well" in await ask(*opened[1])
        for _, each in (*opened, (reader, writer)):
            each.close()
