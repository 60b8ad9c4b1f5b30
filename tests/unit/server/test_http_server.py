"""What comes to our HTTP servers and is no HTTP: answered, and no word of it in the log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.server.http_server import HttpServer


async def handle(request: web.BaseRequest) -> web.Response:
    if request.path == "/defect":
        raise ValueError("a defect of ours")
    await request.read()
    return web.Response(text="well")


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    server = HttpServer(handle, server_name="ours", access_log=None, max_field_size=1_000)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await server.shutdown(1.0)


async def answer(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(10.0):
        got = await reader.read()
    writer.close()
    return got


_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.1\r\nHost: x\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        _HEAD + b"X: " + b"a" * 2_000 + b"\r\n\r\n",
        _HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + b"\r\n",
        _HEAD + b"Content-Length: -5\r\n\r\n",
        _HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ],
    ids=["TLS", "NUL", "version", "URL", "long", "many", "length", "two lengths", "chunk"],
)
async def test_what_is_no_http_is_answered_and_not_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as port:
        got = await answer(port, sent)
        assert got.startswith(b"HTTP/1.0 400 ")
        assert b"\r\nServer: ours\r\n" in got
        assert b"aiohttp" not in got
        assert caplog.text == ""
        assert (await answer(port, _HEAD + b"Connection: close\r\n\r\n")).endswith(b"well")


@pytest.mark.parametrize("body", [b"zz\r\n\r\n", b"5\r\nabc", b""])
async def test_who_breaks_off_in_a_body_is_not_logged(caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    async with served() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(body)
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.05)
    assert caplog.text == ""


async def test_a_defect_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as port:
        got = await answer(port, b"GET /defect HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 500 " in got.partition(b"\r\n")[0]
    assert "a defect of ours" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
