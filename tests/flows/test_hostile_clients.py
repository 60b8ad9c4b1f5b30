"""Clients that are slow on purpose, go away at the worst moment, or come in too large a number."""

import asyncio
import contextlib
import gc
import ssl
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from OpenSSL import SSL
from support.proxy_in_process import (
    HOST,
    Running,
    app_server,
    client_of,
    gateway_before,
    request_head,
    until,
)
from support.raw_tls import drain, pyopenssl_client, real_hello

from gateway.model.settings import Limits
from gateway.server import deadlines

PATIENT = Limits()
GET = f"GET /page HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
POST = f"POST /page HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 40000\r\n\r\n".encode() + b"b" * 40_000
ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"7d0\r\n%s\r\n" % bytes(2_000) * 9
BOUND_SECONDS = 10


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)


async def answering_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the whole request before it answers in chunks."""
    while True:
        head = await request_head(reader)
        if b"Content-Length" in head:
            await reader.readexactly(40_000)
        writer.write(ANSWER + b"0\r\n\r\n")
        await writer.drain()


async def still_answers(gateway: Running) -> bool:
    """Somebody else is served, and nothing is left of who was there before."""
    await until(lambda: not gateway.connections and gateway.admission.connections == 0)
    async with client_of(gateway) as client:
        client.send(GET)
        head = await client.head()
    return head.startswith(b"HTTP/1.1 200 ")


@contextlib.asynccontextmanager
async def plain_connection(
    gateway: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """All that still comes; it has to end."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), BOUND_SECONDS)
    return b""


# Slow on purpose.


async def test_a_client_hello_in_drips_is_cut_off() -> None:
    limits = replace(PATIENT, handshake_timeout_seconds=0.3)
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            for byte in real_hello(HOST)[:-1]:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
                if reader.at_eof():
                    break
            assert await ends(reader) == b""
        assert gateway.report.results == ["timeout"]
        assert await still_answers(gateway)


async def test_a_handshake_that_stops_in_the_middle_is_cut_off() -> None:
    limits = replace(PATIENT, handshake_timeout_seconds=0.3)
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            writer.write(real_hello(HOST))
            assert len(await ends(reader)) > 500  # the server's flight, then the end
        assert gateway.report.results == ["timeout"]
        assert await still_answers(gateway)


@pytest.mark.parametrize(
    ("path", "framing", "drip"),
    [
        ("/page", "Content-Length: 100000", b"a"),
        ("/page", "Transfer-Encoding: chunked", b"1\r\na\r\n"),
        ("/collect", "Content-Length: 900", b"a"),
    ],
    ids=["with a length", "chunked", "into memory"],
)
async def test_a_body_in_drips_is_cut_off(path: str, framing: str, drip: bytes) -> None:
    limits = replace(PATIENT, body_timeout_seconds=0.3, min_body_bytes_per_second=1_000)

    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with app_server(app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as client, asyncio.timeout(BOUND_SECONDS):
            client.send(f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n\r\n".encode())
            while gateway.connections:
                client.send(drip)
                await asyncio.sleep(0.01)
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        await until(lambda: not gateway.connections)


async def test_heads_one_after_the_other_in_drips_are_cut_off() -> None:
    limits = replace(PATIENT, request_head_timeout_seconds=0.3)
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as client, asyncio.timeout(BOUND_SECONDS):
            client.send(b"GET / HTTP/1.1\r\n")
            while gateway.connections:
                client.send(b"X: y\r\n")
                await asyncio.sleep(0.01)
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        assert await still_answers(gateway)


async def test_many_answers_that_nobody_reads_end() -> None:
    """Each is small; together they fill all buffers on the way."""
    limits = replace(
        PATIENT, body_timeout_seconds=0.3, idle_timeout_seconds=0.3, handshake_timeout_seconds=0.8
    )
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # uvloop's has it
            client.send(GET * 400)
            await until(lambda: not gateway.connections, BOUND_SECONDS)
        assert await still_answers(gateway)


# Gone at the worst moment.


CUTS = [*range(1, 12), 40, 90, 150, 250, 500, 1_000, 1_500, 2_000, 3_000, 10_000, 30_000, 41_500]


@pytest.mark.parametrize("how", ["reset", "half-closed"])
async def test_a_client_that_ends_after_any_number_of_bytes(how: str) -> None:
    """In the handshake, in the head, in the body: whatever it has sent by then."""
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        for cut in CUTS:
            async with plain_connection(gateway) as (reader, writer):
                await _send_some(reader, writer, cut)
                if how == "reset":
                    writer.transport.abort()
                else:
                    writer.write_eof()
                    await ends(reader)
        assert await still_answers(gateway)
        gateway.forwarder.failures.clear()


async def _send_some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: int) -> None:
    """A handshake and a POST, until ``cut`` bytes are sent."""
    client = pyopenssl_client(HOST)
    sent, asked = 0, False
    async with asyncio.timeout(BOUND_SECONDS):
        while sent < cut:
            if not asked:
                try:
                    client.do_handshake()
                    client.sendall(POST)
                    asked = True
                except SSL.WantReadError:
                    pass
            if outgoing := drain(client)[: cut - sent]:
                writer.write(outgoing)
                await writer.drain()
                sent += len(outgoing)
            elif data := await reader.read(65_536):
                client.bio_write(data)
            else:
                return


async def test_a_client_that_leaves_after_any_part_of_the_answer() -> None:
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        for cut in (1, 20, 100, 2_000, 2_100, 17_000, 18_000):
            async with client_of(gateway) as client:
                client.send(GET)
                await client.exactly(cut)
                client.writer.transport.abort()
        assert await still_answers(gateway)


async def test_a_half_closed_client_still_gets_its_answer() -> None:
    """It said close_notify: it sends no more, and may wait for what it asked (RFC 8446 §6.1)."""
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            client = pyopenssl_client(HOST)
            received = b""
            async with asyncio.timeout(BOUND_SECONDS):
                while True:
                    try:
                        client.do_handshake()
                        break
                    except SSL.WantReadError:
                        writer.write(drain(client))
                        client.bio_write(await reader.read(65_536))
                client.sendall(GET)
                client.shutdown()
                writer.write(drain(client))
                while data := await reader.read(65_536):
                    client.bio_write(data)
                    with contextlib.suppress(SSL.WantReadError, SSL.ZeroReturnError):
                        while piece := client.recv(65_536):
                            received += piece
            assert received.startswith(b"HTTP/1.1 200 ")
            assert received.endswith(b"0\r\n\r\n")
        assert await still_answers(gateway)


# Too many.


async def test_connections_past_a_bound_are_reset_and_those_before_them_go_on() -> None:
    limits = replace(PATIENT, max_connections_per_address=4)
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as first, contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(plain_connection(gateway))
            await until(lambda: gateway.admission.connections == 4)
            for _ in range(5):
                async with plain_connection(gateway) as (reader, _writer):
                    assert await ends(reader) == b""
            first.send(GET)
            assert (await first.head()).startswith(b"HTTP/1.1 200 ")
        assert gateway.report.shed == ["connections_per_address"] * 5
        assert await still_answers(gateway)


async def test_a_flood_of_handshakes_does_not_stop_who_is_signed_on() -> None:
    """200 ClientHellos at once, whose senders never go on."""
    limits = replace(PATIENT, max_handshakes=150)
    async with app_server(answering_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as signed_on, contextlib.AsyncExitStack() as stack:
            for _ in range(200):
                with contextlib.suppress(ConnectionError):
                    _, writer = await stack.enter_async_context(plain_connection(gateway))
                    writer.write(real_hello(HOST))
            for _ in range(5):
                signed_on.send(GET)
                assert (await signed_on.head()).startswith(b"HTTP/1.1 200 ")
                await signed_on.reader.readuntil(b"\r\n0\r\n\r\n")
            await until(lambda: gateway.report.shed == ["handshakes"] * 50)
        assert await still_answers(gateway)


async def test_tls_inside_of_tls_is_no_request() -> None:
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(real_hello(HOST))
            assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
        assert await still_answers(gateway)


async def test_http_in_the_clear_gets_no_answer() -> None:
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            writer.write(GET)
            assert await ends(reader) == b""
        assert gateway.report.results == ["not_tls"]
        assert await still_answers(gateway)


async def test_bytes_before_the_handshake_end_it() -> None:
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            writer.write(b"\x17\x03\x03\x00\x05early" + real_hello(HOST))
            assert await ends(reader) == b""
        assert await still_answers(gateway)


async def test_bytes_behind_the_client_hello_end_it() -> None:
    """Neither is it early data, which nobody was offered, nor does it wait for the keys."""
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            writer.write(real_hello(HOST) + b"\x17\x03\x03\x00\x20" + bytes(32))
            await ends(reader)
        assert gateway.report.results == ["handshake_failed"]
        assert await still_answers(gateway)


async def test_a_client_that_speaks_only_tls_1_1_is_refused() -> None:
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        async with plain_connection(gateway) as (reader, writer):
            hello = real_hello(HOST, newest=ssl.TLSVersion.TLSv1_2)
            writer.write(hello[:9] + b"\x03\x02" + hello[11:])  # RFC 5246 §7.4.1.2: client_version
            assert await ends(reader) == b"\x15\x03\x02\x00\x02\x02\x46"  # alert: protocol_version
        assert await still_answers(gateway)


async def test_what_a_connection_held_is_free_when_it_ends_and_not_when_the_collector_comes() -> None:
    """20 KB of OpenSSL's are behind each session, of which the garbage collector knows nothing."""
    async with app_server(answering_app) as upstream, gateway_before(upstream) as gateway:
        gc.collect()
        gc.disable()
        try:
            held: list[weakref.ref[object]] = []
            for cut in (0, 1, 100):
                async with client_of(gateway) as client:
                    client.send(GET[: len(GET) - cut])
                    if cut == 0:
                        await client.head()
                    await until(lambda: gateway.report.open == 1)
                    channel = next(iter(gateway.connections))
                    parts = (channel, channel._speaker, channel._session._connection)
                    held.extend(weakref.ref(part) for part in parts)
                    del channel, parts
                    client.writer.transport.abort()
                await until(lambda: not gateway.connections)
                gateway.speakers.clear()
                gateway.forwarder.requesters.clear()
            await asyncio.sleep(0)
            assert [ref() for ref in held] == [None] * 9
        finally:
            gc.enable()
