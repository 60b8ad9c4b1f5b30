"""Somebody who sends just enough to be waited for."""

import asyncio

import pytest
from support.proxy_in_process import app_server, client_of, gateway_before, request_head, until

from gateway.model.settings import Limits
from gateway.server import deadlines

BODY_SECONDS = 0.3


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)


async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_head(reader)
    await reader.readexactly(12)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(("path", "status"), [(b"/collect", b"408"), (b"/streamed", b"200")])
async def test_a_body_that_drips_may_go_on_only_where_nobody_holds_it(path: bytes, status: bytes) -> None:
    """A byte earns more time than it needs, but not where the whole body has one deadline."""
    limits = Limits(body_timeout_seconds=BODY_SECONDS, min_body_bytes_per_second=2)
    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        client_of(gateway) as client,
    ):
        client.send(b"POST %s HTTP/1.1\r\nHost: wiki\r\nContent-Length: 12\r\n\r\n" % path)
        for _ in range(12):
            client.send(b"x")
            await asyncio.sleep(BODY_SECONDS / 4)
            if not gateway.connections:
                break
        assert (await client.head()).split()[1] == status
        client.close()
        await until(lambda: not gateway.connections)
