"""Browser, gateway and app over real sockets: who says what, who waits for whom, who hangs up."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from support.pki import Authority
from support.proxy_in_process import (
    HOST,
    WEB,
    app_server,
    client_of,
    gateway_before,
    request_head,
    unix_app_server,
    until,
)

from gateway.model.settings import Limits, Upstream
from gateway.server import deadlines
from gateway.server.upstream import UpstreamConnection

GET = b"GET /page HTTP/1.1\r\nHost: wiki.apps.example.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUICK = Limits(
    handshake_timeout_seconds=0.2,
    request_head_timeout_seconds=0.2,
    idle_timeout_seconds=0.3,
    body_timeout_seconds=0.2,
    min_body_bytes_per_second=1,
    upstream_connect_timeout_seconds=0.2,
    upstream_response_timeout_seconds=0.2,
)
MEGABYTE = 1_048_576


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)


async def hello_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request without a body, as long as it is asked."""
    while True:
        await request_head(reader)
        writer.write(OK)


async def nobody(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Closes at once."""


# One request after the other.


async def test_both_connections_are_kept_and_used_again() -> None:
    connections = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await hello_app(reader, writer)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        for _ in range(3):
            client.send(GET)
            assert await client.response() == (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok")

        assert len(connections) == 1
        assert gateway.forwarder.statuses == [200, 200, 200]


async def test_the_app_sees_the_request_without_what_is_hop_by_hop() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_head(reader))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(
            b"GET /a?b=%20c HTTP/1.1\r\nHost: wiki.apps.example.test\r\nConnection: keep-alive, X-Once\r\n"
            b"X-Once: 1\r\nTE: gzip\r\nX-Device-Trust: trusted\r\nx_device_trust_user: root\r\n"
            b"Accept: */*\r\n\r\n"
        )
        await client.response()

    assert seen == [b"GET /a?b=%20c HTTP/1.1\r\nHost: wiki\r\nAccept: */*\r\n\r\n"]


async def test_the_connection_closes_when_the_browser_asks_for_it() -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: wiki\r\nConnection: close\r\n\r\n")
            assert (await client.rest()).endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\nok")
        async with client_of(gateway) as client:
            client.send(b"GET / HTTP/1.0\r\nHost: wiki\r\n\r\n")
            assert (await client.rest()).endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\nok")


async def test_http_1_0_may_ask_to_be_kept() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nHost: wiki\r\nConnection: keep-alive\r\n\r\n")
            head, body = await client.response()
            assert b"Connection: keep-alive" in head
            assert body == b"ok"


@pytest.mark.parametrize("cuts", [0, 1, 7], ids=["in one piece", "byte by byte", "in pieces of seven bytes"])
async def test_a_small_post_to_a_new_connection_arrives_whole(cuts: int) -> None:
    """Head and body come together while the connection to the app is not there yet."""
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        seen.append(await reader.readexactly(11))
        writer.write(OK)

    request = b'POST /api HTTP/1.1\r\nHost: wiki\r\nContent-Length: 11\r\n\r\n{"a": "b!"}'
    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        if not cuts:
            client.send(request)
        for at in range(0, len(request) if cuts else 0, cuts or 1):
            client.send(request[at : at + cuts])
            await asyncio.sleep(0)
        assert (await client.response())[1] == b"ok"
        assert seen == [b'{"a": "b!"}']
        assert await client.is_open()


async def test_chunked_bodies_pass_both_ways() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            seen.append(await request_head(reader))
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            await asyncio.sleep(0.01)
            writer.write(b"6;x=y\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n")

    head = b"POST /up HTTP/1.1\r\nHost: wiki\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(head, b"3;ext\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n")
        assert b"Transfer-Encoding: chunked" in await client.head()
        assert await client.exactly(26) == b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"

        client.send(head + b"3\r\nabc\r\n")  # the head with a part of the body, on the kept connection
        await asyncio.sleep(0.01)
        client.send(b"2\r\nde\r\n0\r\n\r\n")
        await client.head()
        assert await client.exactly(26) == b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"

    assert b"Transfer-Encoding: chunked" in seen[0]
    assert b"Content-Length" not in seen[0]
    assert seen[1] == b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    assert seen[3] == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


async def test_a_body_without_a_length_ends_with_the_apps_connection() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(GET)
            assert b"Transfer-Encoding: chunked" in await client.head()
            assert await client.exactly(15) == b"5\r\nhello\r\n0\r\n\r\n"
            assert await client.is_open()
        async with client_of(gateway) as client:
            client.send(b"GET / HTTP/1.0\r\nHost: wiki\r\nConnection: keep-alive\r\n\r\n")
            assert await client.rest() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        pytest.param(b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", id="HEAD"),
        pytest.param(b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="HEAD, chunked"),
        pytest.param(b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n", id="304"),
        pytest.param(b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    ],
)
async def test_answers_without_a_body_leave_both_connections_usable(method: bytes, answer: bytes) -> None:
    connections = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        for _ in range(2):
            await request_head(reader)
            writer.write(answer)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        for _ in range(2):
            client.send(method + b" / HTTP/1.1\r\nHost: wiki\r\n\r\n")
            assert await client.head() == answer
        assert len(connections) == 1


async def test_an_answer_without_content_has_no_transfer_encoding() -> None:
    """RFC 9112 §6.1: a server must not send one with 204, some do."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        assert await client.head() == b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_early_hints_pass_and_continue_stays_between_gateway_and_app() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        assert await client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        assert (await client.response())[1] == b"ok"


# Many requests at once.


async def test_pipelined_requests_are_answered_in_order() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await request_head(reader)).split()[1]
            await asyncio.sleep(0.05 if path == b"/slow" else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

    paths = [b"/slow", b"/own?first", b"/b", b"/own?second", b"/slow", b"/c"]
    requests = b"".join(b"GET %s HTTP/1.1\r\nHost: wiki\r\n\r\n" % path for path in paths)
    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(requests)
        bodies = [(await client.response())[1] for _ in paths]
    assert bodies == [b"/slow", b"first", b"/b", b"second", b"/slow", b"/c"]


async def test_two_thousand_pipelined_requests_answered_at_once_are_a_loop() -> None:
    async with (
        app_server(nobody) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"GET /own?x HTTP/1.1\r\nHost: wiki\r\n\r\n" * 2_000)
        for _ in range(2_000):
            assert (await client.response())[1] == b"x"


async def test_two_thousand_pipelined_requests_to_the_app_are_a_loop() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(GET * 2_000)
        for _ in range(2_000):
            assert (await client.response())[1] == b"ok"


async def test_a_body_that_nobody_wanted_does_not_reach_the_next_request() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"POST /own?x HTTP/1.1\r\nHost: wiki\r\nContent-Length: %d\r\n\r\n" % (len(GET) * 10))
        assert (await client.response())[1] == b"x"
        client.send(GET * 10)
        client.send(b"GET /own?y HTTP/1.1\r\nHost: wiki\r\n\r\n")
        assert (await client.response())[1] == b"y"


async def test_a_smuggled_request_is_answered_400_and_never_forwarded() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await request_head(reader))
            writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: wiki\r\n\r\n"
        )
        assert (await client.rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert seen == []


async def test_a_defect_of_ours_is_one_500_and_ends_only_its_connection() -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(b"GET /defect HTTP/1.1\r\nHost: wiki\r\n\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 500 ")
        async with client_of(gateway) as client:
            # Begun by the app's answer to the request before it, not by bytes of the browser.
            client.send(GET + b"GET /defect HTTP/1.1\r\nHost: wiki\r\n\r\n")
            assert (await client.response())[1] == b"ok"
            assert (await client.rest()).startswith(b"HTTP/1.1 500 ")
        assert [type(error) for error in gateway.forwarder.defects] == [ZeroDivisionError] * 2
        gateway.forwarder.defects.clear()


async def test_a_defect_while_connecting_to_the_app_is_a_500_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect() -> UpstreamConnection:
        raise ZeroDivisionError("a defect of ours")

    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        monkeypatch.setattr(gateway.forwarder.pool, "connect", connect)
        async with client_of(gateway) as client:
            client.send(GET)
            assert (await client.rest()).startswith(b"HTTP/1.1 500 ")
        assert [type(error) for error in gateway.forwarder.defects] == [ZeroDivisionError]
        gateway.forwarder.defects.clear()


# Other protocols.

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: wiki\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def test_a_websocket_is_a_tunnel_both_ways() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_head(reader))
        writer.write(SWITCHED + b"early")
        while data := await reader.read(100):
            writer.write(data.upper())
        seen.append(b"closed")

    async with app_server(app) as upstream, gateway_before(upstream, limits=QUICK) as gateway:
        async with client_of(gateway) as client:
            client.send(UPGRADE + b"eager ")
            head = await client.head()
            assert b"HTTP/1.1 101 Switching Protocols\r\n" in head
            assert head.count(b"Upgrade: websocket\r\n") == 1
            assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
            assert await client.exactly(11) == b"earlyEAGER "
            await asyncio.sleep(0.4)  # longer than every limit: nothing need be said in a tunnel
            client.send(b"\x81\x00GET / HTTP/1.1\r\n\r\n")
            assert await client.exactly(20) == b"\x81\x00GET / HTTP/1.1\r\n\r\n"
        await until(lambda: seen[-1] == b"closed")
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in seen[0]
    assert gateway.forwarder.statuses == [101]


async def test_the_app_may_end_the_tunnel() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED + b"bye")

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(UPGRADE)
        await client.head()
        assert await client.rest() == b"bye"


async def test_an_app_that_declines_the_upgrade_is_still_spoken_http_with() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(UPGRADE + GET)
        assert (await client.response())[1] == b"ok"
        assert (await client.response())[1] == b"ok"


async def test_an_upgrade_waits_for_the_requests_before_it() -> None:
    """What follows the upgrade is the tunnel's, even while an earlier request is not answered yet."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await request_head(reader)).startswith(b"GET /page"):
            await asyncio.sleep(0.02)
            writer.write(OK)
            await request_head(reader)
        writer.write(SWITCHED)
        writer.write((await reader.readexactly(5)).upper())

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET + UPGRADE + b"frame")
        assert (await client.response())[1] == b"ok"
        assert b" 101 " in await client.head()
        assert await client.exactly(5) == b"FRAME"


async def test_an_app_that_switches_unasked_is_an_error() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(SWITCHED)
        await reader.read()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 502 ")


# The app fails.


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        pytest.param(b"", 502, "closed_before_response", id="before it says anything"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConte", 502, "closed_in_response", id="inside the head"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", 502, "bad_response", id="in another protocol"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            502,
            "bad_response",
            id="with two lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, 502, "bad_response", id="with an endless head"
        ),
    ],
)
async def test_an_app_that_dies_is_a_502(answer: bytes, status: int, kind: str) -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(answer)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 %d " % status)
        assert gateway.forwarder.failures == [kind]


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"], ids=["with a length", "chunked"]
)
async def test_an_app_that_dies_inside_the_body_cuts_the_browser_off(framing: bytes) -> None:
    """The browser must not take a part for the whole."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n5\r\nhello\r\n" % framing)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        await client.head()
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        assert gateway.forwarder.failures == ["closed_in_response"]


async def test_nobody_listens_is_a_502() -> None:
    async with app_server(nobody) as upstream:
        pass
    async with gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 502 ")
        assert gateway.forwarder.failures == ["connect"]


async def test_a_slow_app_is_a_504() -> None:
    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=QUICK) as gateway,
        client_of(gateway) as client,
    ):
        client.send(GET)
        assert (await client.response())[0].startswith(b"HTTP/1.1 504 ")


async def test_an_app_that_keeps_answering_is_not_slow() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.06)
            writer.write(b"x")

    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=QUICK) as gateway,
        client_of(gateway) as client,
    ):
        client.send(GET)
        assert (await client.response())[1] == b"x" * 8


async def test_an_upload_may_last_longer_than_the_app_may_think() -> None:
    """The app has nothing to answer before it has everything."""

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await reader.readexactly(8)
        writer.write(OK)

    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=QUICK) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.06)
            client.send(b"x")
        assert (await client.response())[1] == b"ok"


@pytest.mark.parametrize(
    ("request_bytes", "repeated"),
    [
        pytest.param(GET, True, id="GET is repeated"),
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: wiki\r\n\r\n", True, id="HEAD is repeated"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 0\r\n\r\n", False, id="POST is not repeated"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 2\r\n\r\nab",
            False,
            id="GET with a body is not repeated",
        ),
        pytest.param(b"DELETE / HTTP/1.1\r\nHost: wiki\r\n\r\n", False, id="DELETE is not repeated"),
    ],
)
async def test_a_kept_connection_that_dies_under_a_request(request_bytes: bytes, repeated: bool) -> None:
    """The app closes as the next request arrives: nobody can tell whether it was acted on."""
    heads: list[bytes] = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request_head(reader))
        if len(heads) != 2:
            writer.write(OK if heads[-1].startswith(b"GET") else OK.removesuffix(b"ok"))
            if len(heads) == 1:
                heads.append(await request_head(reader))

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        await client.response()
        client.send(request_bytes)
        head = await client.head()

    assert head.startswith(b"HTTP/1.1 200 " if repeated else b"HTTP/1.1 502 ")
    assert len(heads) == (3 if repeated else 2)


# Back-pressure.


async def test_a_slow_reader_of_fifty_megabytes_holds_no_memory() -> None:
    size = 50 * MEGABYTE

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(50):
            writer.write(bytes(MEGABYTE))
            await writer.drain()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(GET)
        await client.head()
        got = most = 0
        transport = next(iter(gateway.connections))._transport
        assert transport is not None
        while got < size:
            got += len(await client.exactly(min(262_144, size - got)))
            most = max(most, transport.get_write_buffer_size())
            if got < 4 * MEGABYTE:
                await asyncio.sleep(0.005)
        assert most < 2 * MEGABYTE


async def test_a_slow_app_holds_no_memory_of_an_upload() -> None:
    size = 50 * MEGABYTE
    go_on = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await go_on.wait()
        left = size
        while left:
            left -= len(await reader.read(262_144))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: wiki\r\nContent-Length: %d\r\n\r\n" % size)

        async def upload() -> None:
            for _ in range(50):
                client.send(bytes(MEGABYTE))
                await client.writer.drain()

        uploading = asyncio.create_task(upload())
        await asyncio.sleep(0.2)
        assert not uploading.done()  # the gateway has stopped to read
        go_on.set()
        await uploading
        assert (await client.response())[1] == b"ok"


async def test_a_browser_is_read_again_after_an_app_that_answered_early() -> None:
    """The app answers without reading the body, most of which waits on its way to it."""
    size = 8 * MEGABYTE

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request_head(reader)
        if head.startswith(b"POST"):
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            await asyncio.sleep(0.3)
            return
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: %d\r\n\r\n" % size, bytes(size))
        head, body = await client.response()
        assert head.startswith(b"HTTP/1.1 401 ")
        assert body == b"no"


async def test_a_browser_that_reads_nothing_does_not_hold_the_app_for_ever() -> None:
    gone = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
                await writer.drain()
        finally:
            gone.set()

    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=QUICK) as gateway,
        client_of(gateway) as client,
    ):
        client.writer.transport.pause_reading()
        client.send(GET)
        await asyncio.wait_for(gone.wait(), 2)
        await until(lambda: not gateway.connections)
        assert gateway.forwarder.statuses == [200]  # answered, but not to its end
        assert gateway.report.open == 0


# The browser goes away, or is too slow, or sends too much.


async def test_a_browser_that_leaves_takes_its_request_along() -> None:
    left = asyncio.Event()

    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(GET)
            await until(lambda: bool(gateway.connections))
            await asyncio.sleep(0.02)
        await asyncio.wait_for(left.wait(), 2)
        assert gateway.forwarder.statuses == [499]


async def test_a_browser_that_leaves_in_an_upload_cuts_the_app_off() -> None:
    left = asyncio.Event()

    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        try:
            await reader.readexactly(100)
        except (asyncio.IncompleteReadError, ConnectionError):
            left.set()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 100\r\n\r\nhalf of it")
            await asyncio.sleep(0.02)
        await asyncio.wait_for(left.wait(), 2)
        assert gateway.forwarder.statuses == [499]


async def test_a_413_reaches_a_browser_that_still_sends() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"POST /collect HTTP/1.1\r\nHost: wiki\r\nContent-Length: 5000000\r\n\r\n")

        async def upload() -> None:
            for _ in range(40):
                client.send(bytes(100_000))
                await client.writer.drain()

        uploading = asyncio.create_task(upload())
        assert (await client.response())[0].startswith(b"HTTP/1.1 413 ")
        assert await client.rest() == b""
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)


async def test_a_body_past_its_bound_is_a_413() -> None:
    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with (
        app_server(app) as upstream,
        gateway_before(upstream, max_body_bytes=1_000) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"POST / HTTP/1.1\r\nHost: wiki\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"3e9\r\n" + bytes(1_001))
        assert (await client.response())[0].startswith(b"HTTP/1.1 413 ")


async def test_a_collected_body_is_answered_with_what_was_sent() -> None:
    async with (
        app_server(nobody) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        for body in (b"", b"abc", bytes(1_000)):
            client.send(
                b"POST /collect HTTP/1.1\r\nHost: wiki\r\nContent-Length: %d\r\n\r\n" % len(body), body
            )
            assert (await client.response())[1] == body


async def test_a_head_that_never_ends_is_a_408() -> None:
    async with (
        app_server(nobody) as upstream,
        gateway_before(upstream, limits=QUICK) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"GET / HTTP/1.1\r\n")
        sending = asyncio.create_task(dribble(client.writer, b"X: y\r\n"))
        assert (await client.response())[0].startswith(b"HTTP/1.1 408 ")
        sending.cancel()


async def dribble(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while True:
        await asyncio.sleep(0.05)
        writer.write(piece)


async def test_a_body_that_never_comes_is_cut_off() -> None:
    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = replace(QUICK, upstream_response_timeout_seconds=10.0)  # the app is not to blame
    async with app_server(app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        async with client_of(gateway) as client:
            client.send(b"POST / HTTP/1.1\r\nHost: wiki\r\nContent-Length: 5\r\n\r\n")
            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
        await until(lambda: not gateway.connections)
        assert gateway.forwarder.statuses == [499]


async def test_a_connection_that_says_nothing_is_closed() -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream, limits=QUICK) as gateway:
        async with client_of(gateway) as client:
            client.send(GET)
            await client.response()
            assert await client.rest() == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        assert await asyncio.wait_for(reader.read(), 2) == b""  # not even a ClientHello
        writer.close()
        await until(lambda: not gateway.connections)
        assert gateway.report.results == ["ok", "timeout"]
        assert gateway.report.open == 0


async def test_an_unknown_server_name_gets_an_alert() -> None:
    context = ssl.create_default_context(cadata=WEB.pem.decode())
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            await asyncio.open_connection(
                "127.0.0.1", gateway.port, ssl=context, server_hostname="other.example.test"
            )
        await until(lambda: gateway.report.results == ["unknown_name"])


# Where apps and gateways may live.


async def test_an_app_behind_a_unix_socket(tmp_path: Path) -> None:
    async with (
        unix_app_server(hello_app, tmp_path / "app.sock") as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        client.send(GET)
        assert (await client.response())[1] == b"ok"


@pytest.mark.parametrize(
    ("trusted", "names", "status"),
    [
        pytest.param(True, ["127.0.0.1"], 200, id="of the configured authority"),
        pytest.param(False, ["127.0.0.1"], 502, id="of another authority"),
        pytest.param(True, ["other.example.test"], 502, id="for another name"),
    ],
)
async def test_an_app_behind_https_is_verified(
    trusted: bool, names: list[str], status: int, tmp_path: Path
) -> None:
    authority = Authority.create_root("App root")
    files = authority.issue_server(names).write(tmp_path, "app")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.private_key)
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.pem if trusted else Authority.create_root("App root").pem)

    async with app_server(hello_app, tls=context) as plain:
        upstream = Upstream("https", "127.0.0.1", plain.port, ca_file=str(roots))
        async with gateway_before(upstream) as gateway, client_of(gateway) as client:
            client.send(GET)
            assert (await client.response())[0].startswith(b"HTTP/1.1 %d " % status)
            assert gateway.forwarder.failures == ([] if status == 200 else ["tls"])


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def test_the_gateway_listens_on_the_machines_loopback_whatever_its_family() -> None:
    listen = "::1" if has_ipv6() else "127.0.0.1"
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream, listen=listen) as gateway,
        client_of(gateway) as client,
    ):
        client.send(GET)
        assert (await client.response())[1] == b"ok"
        assert next(iter(gateway.connections)).peer_host == listen
        assert next(iter(gateway.connections)).server_name == HOST
