"""What passes between browser and app besides heads and bodies: questions before a body, fields behind it,
codings, parts, and answers that have none. The app is written byte for byte."""

import asyncio
import gzip

import pytest
from support.proxy_in_process import AppServer, app_server, client_of, gateway_before, request_head, until

from gateway.model.settings import Upstream
from gateway.server import forward

HEAD = b" / HTTP/1.1\r\nHost: wiki.apps.example.test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ASKS = b"POST" + HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
CHUNKED_REQUEST = b"POST" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# Expect: 100-continue.


async def test_the_app_is_asked_and_its_answer_is_the_browsers() -> None:
    seen = []
    wants_it = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_head(reader))
        await wants_it.wait()
        writer.write(CONTINUE)
        seen.append(await reader.readexactly(3))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(ASKS)
        await until(lambda: len(seen) == 1)
        assert await client.is_open()  # nothing was said to the browser yet
        wants_it.set()
        assert await client.head() == CONTINUE
        client.send(b"abc")
        assert (await client.response())[1] == b"ok"
    assert seen[0].count(b"Expect: 100-continue\r\n") == 1
    assert seen[1] == b"abc"


async def test_an_app_that_refuses_the_body_spares_the_browser_from_sending_it() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(ASKS)
        head, body = await client.response()
        assert head.startswith(b"HTTP/1.1 417 ")
        assert b"Connection: close\r\n" in head  # what the browser sends now cannot be told from a request
        assert body == b"no"


async def test_an_app_that_does_not_know_the_question_gets_the_body_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forward, "CONTINUE_SECONDS", 0.05)

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await reader.readexactly(3)
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(ASKS)
        assert await client.head() == CONTINUE
        client.send(b"abc")
        assert (await client.response())[1] == b"ok"


async def test_a_browser_is_not_told_to_send_what_there_is_nobody_to_take() -> None:
    async with gateway_before(Upstream("http", "127.0.0.1", 1)) as gateway, client_of(gateway) as client:
        client.send(ASKS)
        assert (await client.response())[0].startswith(b"HTTP/1.1 502 ")


async def test_a_browser_that_asks_and_does_not_wait_is_told_nothing() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_head(reader))
        seen.append(await reader.readexactly(3))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(ASKS + b"abc")
        assert (await client.response())[1] == b"ok"


async def test_many_100s_of_an_app_are_one_for_the_browser() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(CONTINUE * 3)
        await reader.readexactly(3)
        writer.write(CONTINUE + OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(ASKS)
        assert await client.head() == CONTINUE
        client.send(b"abc")
        assert await client.response() == (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"ok")


# Trailers.

TRAILERS = (
    b"Checksum: abc\r\nX-Device-Trust-User: root\r\nx_ssl_client_cert: 1\r\nHost: evil\r\n"
    b"Authorization: Basic x\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\nContent_Length: 7\r\n"
    b"Set-Cookie: a=b\r\nIf-Match: *\r\nCONTENT_TYPE: text/html\r\ngrpc-status: 0\r\n"
)
PASSED = b"Checksum: abc\r\ngrpc-status: 0\r\n"


async def test_trailers_of_a_request_pass_without_what_would_mean_something_in_a_head() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(CHUNKED_REQUEST + b"3\r\nabc\r\n0\r\n" + TRAILERS + b"\r\n")
        assert (await client.response())[1] == b"ok"
        client.send(b"GET" + HEAD + b"\r\n")  # the next request is read where it begins
    assert seen == [b"3\r\nabc\r\n0\r\n" + PASSED + b"\r\n"]


async def test_trailers_that_come_later_and_in_pieces_pass_too() -> None:
    seen = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        for byte in CHUNKED_REQUEST + b"3\r\nabc\r\n0\r\nChecksum: abc\r\n\r\n":
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.response())[1] == b"ok"
    assert seen[0].endswith(b"0\r\nChecksum: abc\r\n\r\n")


@pytest.mark.parametrize(
    ("asked", "passed"),
    [
        pytest.param(b"TE: trailers\r\n", PASSED, id="to who takes them"),
        pytest.param(b"Connection: TE\r\nTE: gzip;q=0.5, Trailers\r\n", PASSED, id="among others"),
        pytest.param(b"", b"", id="not to who did not say so"),
        pytest.param(b"TE: gzip\r\n", b"", id="not to who takes something else"),
    ],
)
async def test_trailers_of_a_response_pass_where_they_are_wanted(asked: bytes, passed: bytes) -> None:
    heads = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await request_head(reader))
            writer.write(CHUNKED + b"3\r\nabc\r\n0\r\n" + TRAILERS + b"\r\n")

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        for _ in range(2):  # the second time, the fields of the request are known
            client.send(b"GET" + HEAD + asked + b"\r\n")
            await client.head()
            end = b"3\r\nabc\r\n0\r\n" + passed + b"\r\n"
            assert await client.exactly(len(end)) == end
    for head in heads:
        assert (b"Connection: TE\r\nTE: trailers\r\n" in head) == bool(passed)


@pytest.mark.parametrize("field", [b"Content-Length: 7", b"Transfer-Encoding: chunked"])
async def test_a_message_that_is_framed_again_behind_its_body_is_refused(field: bytes) -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(CHUNKED + b"0\r\n" + field + b"\r\n\r\n")

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with client_of(gateway) as client:
            client.send(CHUNKED_REQUEST + b"0\r\n" + field + b"\r\n\r\n")
            assert (await client.response())[0].startswith(b"HTTP/1.1 400 ")
        async with client_of(gateway) as client:
            client.send(b"GET" + HEAD + b"\r\n")
            assert (await client.response())[0].startswith(b"HTTP/1.1 502 ")


async def test_trailers_that_never_end_are_refused() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        while True:
            writer.write(b"X: " + b"a" * 1_000 + b"\r\n")
            await writer.drain()

    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(b"GET" + HEAD + b"TE: trailers\r\n\r\n")
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
        assert gateway.forwarder.failures == ["bad_response"]


# Bodies and answers as they are.


def says(answer: bytes) -> AppServer:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request_head(reader)
            writer.write(answer)

    return app


_PACKED = gzip.compress(b"hello" * 100, mtime=0)


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        pytest.param(
            b"GET" + HEAD + b"Accept-Encoding: gzip, br\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_PACKED)
            + _PACKED,
            id="gzip",
        ),
        pytest.param(
            b"GET" + HEAD + b"\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: x-unheard-of\r\nContent-Length: 3\r\n\r\n\x00\xff\x01",
            id="a coding that nobody knows",
        ),
        pytest.param(
            b"GET" + HEAD + b'Range: bytes=0-2\r\nIf-Range: "v1"\r\n\r\n',
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-2/10\r\n"
            b'ETag: "v1"\r\nContent-Length: 3\r\n\r\nabc',
            id="a part",
        ),
        pytest.param(
            b"GET" + HEAD + b"Range: bytes=0-0,-1\r\n\r\n",
            b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\n"
            b"Content-Length: 7\r\n\r\n--x\r\n\r\n",
            id="several parts",
        ),
        pytest.param(
            b"GET" + HEAD + b"Range: bytes=99-\r\n\r\n",
            b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n",
            id="no such part",
        ),
        pytest.param(
            b"GET" + HEAD + b'If-None-Match: "v1"\r\n\r\n',
            b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nContent-Length: 5000\r\n\r\n',
            id="not modified",
        ),
        pytest.param(
            b"HEAD" + HEAD + b"\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5000\r\n\r\n",
            id="a head",
        ),
        pytest.param(
            b"DELETE" + HEAD + b"\r\n", b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", id="nothing to say"
        ),
        pytest.param(
            b"GET" + HEAD + b"\r\n", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", id="reset"
        ),
        pytest.param(
            b"GET" + HEAD + b"\r\n",
            b"HTTP/1.1 299 \r\nContent-Length: 2\r\nX: \xe4\xf6\r\n\r\nok",
            id="a status that nobody knows, without words",
        ),
        pytest.param(
            b"GET" + HEAD + b"\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n" + OK,
            id="early hints",
        ),
    ],
)
async def test_what_the_app_answers_arrives_byte_for_byte(request_bytes: bytes, answer: bytes) -> None:
    async with (
        app_server(says(answer)) as upstream,
        gateway_before(upstream) as gateway,
        client_of(gateway) as client,
    ):
        for _ in range(3):
            client.send(request_bytes)
            assert await client.exactly(len(answer)) == answer
        assert await client.is_open()
        assert len(gateway.servers[0]._open) == 1


async def test_pipelined_requests_of_all_kinds_are_answered_in_order() -> None:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request_head(reader)
            if head.startswith(b"POST"):
                body = await reader.readuntil(b"0\r\n\r\n")
                writer.write(CHUNKED + body)
            elif head.startswith(b"HEAD"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            else:
                await asyncio.sleep(0.01)
                writer.write(OK)

    post = CHUNKED_REQUEST + b"3\r\nabc\r\n0\r\n\r\n"
    get, head = b"GET" + HEAD + b"\r\n", b"HEAD" + HEAD + b"\r\n"
    posted = CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"
    headed = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    order = [
        (post, posted),
        (get, OK),
        (head, headed),
        (post, posted),
        (post, posted),
        (head, headed),
        (get, OK),
    ]
    async with app_server(app) as upstream, gateway_before(upstream) as gateway, client_of(gateway) as client:
        client.send(b"".join(request for request, _ in order * 20))
        expected = b"".join(answer for _, answer in order * 20)
        assert await client.exactly(len(expected)) == expected
