"""Fetching CRLs from servers that are slow, broken or hostile: an answer in bounds, or the one exception."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.adapters.crl_fetch import CrlFetchFailed, Fetched, Validators, _next_url, fetch_crl

LIMIT = 10_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/ca.crl"))


@asynccontextmanager
async def answering(*pieces: bytes, then_wait: bool = False) -> AsyncIterator[str]:
    """A server that says exactly these bytes, whatever it is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if then_wait:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ca.crl"


async def fetch(url: str, known: Validators | None = None, within_seconds: float = 5.0) -> Fetched | None:
    return await fetch_crl(url, known, within_seconds=within_seconds, limit_bytes=LIMIT)


async def failure(url: str, known: Validators | None = None, within_seconds: float = 5.0) -> str:
    with pytest.raises(CrlFetchFailed) as failed:
        await fetch(url, known, within_seconds)
    return failed.value.detail


def redirect(location: str, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": location})


async def test_a_request_asks_for_plain_bytes_and_carries_no_cookie() -> None:
    requests: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append(request)
        answer = redirect("/again.crl") if request.path == "/ca.crl" else web.Response(body=b"crl")
        answer.set_cookie("track", "1")
        return answer

    async with serving(handler) as url:
        # By name, because a cookie jar takes nothing from an address anyway.
        fetched = await fetch(url.replace("127.0.0.1", "localhost"))
    assert fetched is not None
    assert fetched.content.memory[:] == b"crl"
    assert [request.headers["Accept-Encoding"] for request in requests] == ["identity", "identity"]
    assert "Cookie" not in requests[1].headers
    assert "If-None-Match" not in requests[1].headers


async def test_the_next_request_is_conditional_and_an_unmodified_crl_is_not_sent_again() -> None:
    seen: list[tuple[str | None, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")))
        if seen[-1][0]:
            return web.Response(status=304)
        return web.Response(
            body=b"crl", headers={"ETag": '"7"', "Last-Modified": "Mon, 01 Jun 2026 12:00:00 GMT"}
        )

    async with serving(handler) as url:
        first = await fetch(url)
        assert first is not None
        assert await fetch(url, first.validators) is None
    assert seen == [(None, None), ('"7"', "Mon, 01 Jun 2026 12:00:00 GMT")]


async def test_not_modified_is_no_answer_to_an_unconditional_request() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=304)

    async with serving(handler) as url:
        assert await failure(url) == "answered with status 304"
        assert await failure(url, Validators(url, None, None)) == "answered with status 304"


async def test_validators_are_sent_only_to_the_address_that_gave_them() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/ca.crl":
            assert "If-None-Match" not in request.headers
            return redirect("/real.crl")
        return web.Response(
            body=request.headers.get("If-None-Match", "none").encode(), headers={"ETag": '"1"'}
        )

    async with serving(handler) as url:
        first = await fetch(url)
        assert first is not None
        assert (first.content.memory[:], first.validators.url) == (b"none", url.replace("ca.crl", "real.crl"))
        second = await fetch(url, first.validators)
        assert second is not None
        assert second.content.memory[:] == b'"1"'


@pytest.mark.parametrize(
    "entity_tag",
    ['"' + "a" * 300 + '"', '"\udcff"', '"a\tb"'],
    ids=["too long", "not ASCII", "control character"],
)
async def test_a_validator_that_could_not_be_sent_back_is_dropped(entity_tag: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: {entity_tag}\r\n\r\n".encode(
        "utf-8", "surrogateescape"
    )
    async with answering(head + b"crl") as url:
        fetched = await fetch(url)
        assert fetched is not None
        assert fetched.validators.entity_tag is None


@pytest.mark.parametrize(("redirects", "arrives"), [(3, True), (4, False)])
async def test_three_redirects_are_followed_and_no_more(redirects: int, arrives: bool) -> None:
    async def handler(request: web.Request) -> web.Response:
        step = int(request.query.get("step", "0"))
        return web.Response(body=b"crl") if step == redirects else redirect(f"/ca.crl?step={step + 1}")

    async with serving(handler) as url:
        if arrives:
            assert await fetch(url) is not None
        else:
            assert await failure(url) == "more than 3 redirects"


async def test_a_redirect_loop_ends() -> None:
    count = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return redirect(str(request.url), 307)

    async with serving(handler) as url:
        assert await failure(url) == "more than 3 redirects"
    assert count == 4


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/ca.crl", "javascript:alert(1)", "data:,crl", ""],
)
async def test_a_redirect_that_leaves_http_is_not_followed(location: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return redirect(location)

    async with serving(handler) as url:
        assert await failure(url) == "a redirect to nowhere, or to something other than http(s)"


@pytest.mark.parametrize("location", ["http://[", "https://127.0.0.1:99999/"])
async def test_a_redirect_to_an_address_that_is_none_is_the_servers_fault(location: str) -> None:
    async def handler(request: web.Request) -> web.Response:
        return redirect(location)

    async with serving(handler) as url:
        assert "not a usable answer" in await failure(url)


@pytest.mark.parametrize("status", [204, 206, 300, 404, 500, 503])
async def test_only_a_complete_answer_counts(status: int) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with serving(handler) as url:
        assert await failure(url) == f"answered with status {status}"


async def test_a_content_length_beyond_the_limit_is_refused_before_the_body_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n"
    async with answering(head, then_wait=True) as url:
        assert await failure(url) == "its answer is larger than 10000 bytes"


async def test_an_endless_body_is_cut_off_at_the_limit() -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 50_000_000:
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    async with serving(handler) as url:
        assert await failure(url) == "its answer is larger than 10000 bytes"
    assert sent < 20_000_000  # what fits into the buffers of the two sockets


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * LIMIT)

    async with serving(handler) as url:
        fetched = await fetch(url)
        assert fetched is not None
        assert len(fetched.content.memory) == LIMIT


LIES = {
    "a body shorter than its Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "a body longer than its Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ncrl and more",
    "two different Content-Lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a negative Content-Length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "a chunk that never ends": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nabc",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "no HTTP at all": b"\x00\x01\x02\x03 hello\r\n\r\n",
    "nothing": b"",
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
}


@pytest.mark.parametrize("said", LIES.values(), ids=LIES.keys())
async def test_a_lying_server_gives_the_one_exception(said: bytes) -> None:
    async with answering(said) as url:
        assert "not a usable answer" in await failure(url)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_a_compressed_answer_is_refused_before_anything_is_inflated(encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 5_000_000)
    assert len(bomb) < LIMIT

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": encoding})

    async with serving(handler) as url:
        assert await failure(url) == "answered with an encoding, which was not asked for"


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\n",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"cr"),
    ],
    ids=["says nothing", "stops in its head", "stops in its body"],
)
async def test_a_server_that_stalls_is_left_when_the_time_is_over(pieces: tuple[bytes, ...]) -> None:
    began = asyncio.get_running_loop().time()
    async with answering(*pieces, then_wait=True) as url:
        assert await failure(url, within_seconds=0.2) == "no complete answer within 0.2 s"
    assert asyncio.get_running_loop().time() - began < 1.0


async def test_the_time_counts_for_all_redirects_together() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(0.12)
        return redirect("/ca.crl")

    async with serving(handler) as url:
        assert await failure(url, within_seconds=0.2) == "no complete answer within 0.2 s"


async def test_a_server_that_is_not_there_is_named() -> None:
    async with answering() as url:
        pass
    assert (await failure(url)).startswith("no connection: Cannot connect to host 127.0.0.1:")


async def test_https_is_not_left_for_http() -> None:
    """Whoever wrote https wanted to know which server said so."""
    assert _next_url("https://ca.test/a.crl", "b.crl") == "https://ca.test/b.crl"
    assert _next_url("http://ca.test/a.crl", "https://ca.test/b.crl") == "https://ca.test/b.crl"
    with pytest.raises(CrlFetchFailed):
        _next_url("https://ca.test/a.crl", "http://ca.test/b.crl")
