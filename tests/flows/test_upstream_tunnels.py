"""The ends of a tunnel: what was said last arrives, whoever says it, and neither side is left open."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from support.proxy_in_process import (
    HOST,
    WEB,
    Client,
    Running,
    app_server,
    client_of,
    gateway_before,
    request_head,
    until,
)

from gateway.model.settings import Limits
from gateway.server import deadlines

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: wiki\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LIMITS = Limits(upstream_response_timeout_seconds=0.2)


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)


@asynccontextmanager
async def tunnel_through(gateway: Running) -> AsyncIterator[Client]:
    async with client_of(gateway) as client:
        client.send(UPGRADE)
        assert b" 101 " in await client.head()
        yield client


@pytest.mark.parametrize("size", [3, 100_000, 3_000_000])
async def test_what_a_browser_says_as_it_leaves_reaches_the_app(size: int) -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        seen.append(await reader.read())

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with tunnel_through(gateway) as client:
            client.send(b"x" * size)
            client.writer.close()
            await client.writer.wait_closed()
        await until(lambda: bool(seen))
        assert len(seen[0]) == size
        await until(lambda: gateway.servers[0].in_use == 0)


async def test_an_app_may_finish_what_it_says_when_the_browser_is_done() -> None:
    """The browser's close_notify is the end of one direction only (RFC 8446 §6.1)."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        said = await reader.read()
        await asyncio.sleep(0.05)
        writer.write(said.upper())

    def speak(port: int) -> bytes:
        context = ssl.create_default_context(cadata=WEB.pem.decode())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:

            def until_done(step: object, *arguments: object) -> bytes:
                while True:
                    try:
                        result: bytes = step(*arguments)  # type: ignore[operator]
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        incoming.write(plain.recv(65_536))
                    else:
                        plain.sendall(outgoing.read())
                        return result

            until_done(tls.do_handshake)
            until_done(tls.write, UPGRADE)
            until_done(tls.read, 1_000)
            until_done(tls.write, b"the last word")
            with pytest.raises(ssl.SSLWantReadError):
                tls.unwrap()
            plain.sendall(outgoing.read())
            received = b""
            while piece := plain.recv(65_536):
                received += piece
            incoming.write(received)
            return tls.read(1_000)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        assert await asyncio.to_thread(speak, gateway.port) == b"THE LAST WORD"
        await until(lambda: not gateway.connections and gateway.servers[0].in_use == 0)


async def test_what_an_app_says_as_it_leaves_reaches_the_browser() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        writer.write(b"x" * 3_000_000)

    async with (
        app_server(app) as upstream,
        gateway_before(upstream) as gateway,
        tunnel_through(gateway) as client,
    ):
        assert len(await client.rest()) == 3_000_000


async def test_an_app_that_takes_nothing_does_not_hold_a_tunnel_whose_browser_left() -> None:
    gone = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        await gone.wait()

    async with app_server(app) as upstream, gateway_before(upstream, limits=LIMITS) as gateway:
        async with tunnel_through(gateway) as client:
            client.send(b"x" * 30_000_000)
            await asyncio.sleep(0.1)
        await until(lambda: not gateway.connections)
        await until(lambda: gateway.servers[0].in_use == 0)
        gone.set()


async def test_a_tunnel_to_an_app_behind_tls_ends_with_the_browsers_last_word(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("app")
    files = WEB.issue_server(["127.0.0.1"]).write(directory, "app")
    (directory / "roots.pem").write_bytes(WEB.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.private_key)
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        seen.append(await reader.read())

    async with app_server(app, tls=context) as plain:
        upstream = replace(plain, ca_file=str(directory / "roots.pem"))
        async with gateway_before(upstream) as gateway:
            async with tunnel_through(gateway) as client:
                client.send(b"bye")
                client.writer.close()
                await client.writer.wait_closed()
            await until(lambda: seen == [b"bye"])
            await until(lambda: gateway.servers[0].in_use == 0)
