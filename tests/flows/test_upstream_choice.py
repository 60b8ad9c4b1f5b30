"""Several servers of one app: which one a request goes to, what becomes of those that fail, and who waits."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from support.proxy_in_process import (
    AppServer,
    Client,
    Running,
    app_server,
    client_of,
    gateway_before,
    request_head,
    until,
)

from gateway.model.settings import Limits, Upstream
from gateway.proxy import upstream_health
from gateway.server import deadlines, name_lookup

GET = b"GET /page HTTP/1.1\r\nHost: wiki.apps.example.test\r\n\r\n"
POST = b"POST /page HTTP/1.1\r\nHost: wiki.apps.example.test\r\nContent-Length: 2\r\n\r\nab"
LIMITS = Limits(upstream_response_timeout_seconds=0.2)


@pytest.fixture(autouse=True)
def quick_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(upstream_health, "FIRST_PAUSE_SECONDS", 0.2)


def named(name: bytes) -> AppServer:
    """Answers every request with its name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request_head(reader)
            if head.startswith(b"POST"):
                await reader.readexactly(2)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name))

    return answer


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_head(reader)
    writer.write(b"what?\r\n\r\n")


def nobody_there() -> Upstream:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Upstream("http", "127.0.0.1", probe.getsockname()[1])


async def ask(client: Client, request: bytes = GET) -> bytes:
    """The answer's body, or its status where that is not 200."""
    client.send(request)
    head, body = await client.response()
    status = head.split()[1]
    return body if status == b"200" else status


@contextlib.asynccontextmanager
async def browsers(gateway: Running, number: int) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client_of(gateway)) for _ in range(number)]


# Which server.


async def test_servers_take_turns_and_keep_one_connection_each() -> None:
    async with (
        app_server(named(b"a")) as first,
        app_server(named(b"b")) as second,
        app_server(named(b"c")) as third,
        gateway_before(first, second, third) as gateway,
        client_of(gateway) as client,
    ):
        assert [await ask(client) for _ in range(6)] == [b"a", b"b", b"c"] * 2
        assert [len(server._open) for server in gateway.servers] == [1, 1, 1]


async def test_a_server_that_is_slow_gets_fewer_requests() -> None:
    async with (
        app_server(silent) as slow,
        app_server(named(b"quick")) as quick,
        gateway_before(slow, quick) as gateway,
        browsers(gateway, 2) as (waiting, client),
    ):
        waiting.send(GET)
        await until(lambda: gateway.servers[0].in_use == 1)
        assert [await ask(client) for _ in range(5)] == [b"quick"] * 5


# Servers that fail.


@pytest.mark.parametrize("request_bytes", [GET, POST], ids=["GET", "POST"])
async def test_a_request_whose_connect_is_refused_goes_to_the_next_server(request_bytes: bytes) -> None:
    async with (
        app_server(named(b"up")) as up,
        gateway_before(nobody_there(), nobody_there(), up) as gateway,
        client_of(gateway) as client,
    ):
        for _ in range(12):
            assert await ask(client, request_bytes) == b"up"
        assert gateway.forwarder.failures == []
        assert gateway.health_changes.seen == ["down connect"] * 2


async def test_a_request_that_may_have_arrived_is_not_sent_to_another_server() -> None:
    seen = []

    async def dies(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        seen.append(await request_head(reader))

    async with (
        app_server(dies) as first,
        app_server(named(b"up")) as second,
        gateway_before(first, second) as gateway,
        client_of(gateway) as client,
    ):
        assert await ask(client, POST) == b"502"
        assert len(seen) == 1
        assert gateway.forwarder.failures == ["closed_before_response"]


@pytest.mark.parametrize(
    ("broken", "kind", "status"),
    [
        pytest.param(silent, "timeout", b"504", id="never answers"),
        pytest.param(garbage, "bad_response", b"502", id="answers garbage"),
    ],
)
async def test_a_server_that_fails_three_times_is_passed_over(
    broken: AppServer, kind: str, status: bytes
) -> None:
    async with (
        app_server(broken) as first,
        app_server(named(b"up")) as second,
        gateway_before(first, second, limits=LIMITS) as gateway,
    ):
        answers = []
        for _ in range(12):
            async with client_of(gateway) as client:
                answers.append(await ask(client))
            if gateway.health_changes.seen:
                break
        assert answers.count(status) == 3
        assert gateway.health_changes.seen == [f"down {kind}"]
        async with client_of(gateway) as client:
            assert [await ask(client) for _ in range(4)] == [b"up"] * 4


async def test_a_server_that_is_back_is_found_by_one_request_after_its_pause() -> None:
    gone = nobody_there()
    async with (
        app_server(named(b"up")) as up,
        gateway_before(gone, up) as gateway,
        client_of(gateway) as client,
    ):
        for _ in range(8):
            assert await ask(client) == b"up"
        assert gateway.health_changes.seen == ["down connect"]
        async with app_server(named(b"back"), port=gone.port):
            assert await ask(client) == b"up"  # its pause is not over
            await asyncio.sleep(0.25)
            assert await ask(client) == b"back"
            assert gateway.health_changes.seen == ["down connect", "up"]
            assert {await ask(client) for _ in range(4)} == {b"back", b"up"}


async def test_when_all_are_out_requests_are_still_tried() -> None:
    answering = asyncio.Event()

    async def sometimes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answering.is_set():
            await named(b"up")(reader, writer)

    async with (
        app_server(sometimes) as first,
        app_server(sometimes) as second,
        gateway_before(first, second, limits=LIMITS) as gateway,
    ):
        for _ in range(8):
            async with client_of(gateway) as client:
                assert await ask(client) == b"502"
        assert all(server.health.out for server in gateway.servers)
        answering.set()
        async with client_of(gateway) as client:
            assert await ask(client) == b"up"
        assert gateway.health_changes.seen[-1] == "up"


async def test_a_kept_connection_that_dies_is_no_failure_of_the_server() -> None:
    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await request_head(reader)  # and closes instead of answering

    async with (
        app_server(answers_once) as only,
        gateway_before(only) as gateway,
        client_of(gateway) as client,
    ):
        for _ in range(10):
            assert await ask(client) == b"ok"
        assert gateway.health_changes.seen == []


async def test_a_server_that_closes_after_each_answer_is_up() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    async with app_server(closes) as only, gateway_before(only) as gateway, client_of(gateway) as client:
        for _ in range(4):
            assert await ask(client) == b"ok"
        assert gateway.servers[0].health.answers == 4
        await until(lambda: gateway.servers[0].in_use == 0)


# As many connections as there may be.


class Gate:
    """An app that answers when it is told to, and counts whom it has."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.connections = 0
        self.requests = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            await request_head(reader)
            self.requests += 1
            await self.open.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def test_more_requests_than_connections_wait_for_one_that_becomes_free() -> None:
    gate = Gate()
    limits = Limits(max_upstream_connections=2)
    async with (
        app_server(gate.answer) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        browsers(gateway, 7) as clients,
    ):
        for client in clients:
            client.send(GET)
        await until(lambda: gate.requests == 2 and gateway.forwarder.pool._waiting == 5)
        gate.open.set()
        assert [(await client.response())[1] for client in clients] == [b"ok"] * 7
        assert gate.connections == 2
        assert gateway.servers[0].in_use == 0


async def test_a_full_line_is_a_503_at_once_and_a_long_wait_one_later() -> None:
    gate = Gate()
    limits = Limits(max_upstream_connections=1, max_upstream_queue=1, upstream_queue_timeout_seconds=0.2)
    async with (
        app_server(gate.answer) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        browsers(gateway, 3) as (served, waits, refused),
    ):
        served.send(GET)
        await until(lambda: gate.requests == 1)
        waits.send(GET)
        await until(lambda: gateway.forwarder.pool._waiting == 1)
        assert await ask(refused) == b"503"
        assert (await waits.response())[0].startswith(b"HTTP/1.1 503 ")
        assert gateway.forwarder.failures == ["busy", "busy"]
        gate.open.set()
        assert (await served.response())[1] == b"ok"
        assert gateway.health_changes.seen == []
        async with client_of(gateway) as client:
            assert await ask(client) == b"ok"


async def test_a_browser_that_leaves_the_line_leaves_its_place_to_the_next() -> None:
    gate = Gate()
    limits = Limits(max_upstream_connections=1)
    async with (
        app_server(gate.answer) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        browsers(gateway, 3) as (served, leaves, waits),
    ):
        for number, client in enumerate((served, leaves, waits)):
            client.send(GET)
            await until(lambda n=number: gate.requests + gateway.forwarder.pool._waiting == n + 1)
        leaves.close()
        await until(lambda: gateway.forwarder.pool._waiting == 1)
        gate.open.set()
        assert (await served.response())[1] == b"ok"
        assert (await waits.response())[1] == b"ok"
        assert gate.connections == 1


async def test_a_connection_that_dies_makes_room_for_who_waits() -> None:
    connections = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await request_head(reader)
        if len(connections) > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    limits = Limits(max_upstream_connections=1)
    async with (
        app_server(app) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        browsers(gateway, 2) as (first, second),
    ):
        first.send(GET)
        await until(lambda: len(connections) == 1)
        second.send(GET)
        await until(lambda: gateway.forwarder.pool._waiting == 1)
        connections[0].transport.abort()
        assert (await first.response())[0].startswith(b"HTTP/1.1 502 ")
        assert (await second.response())[1] == b"ok"


async def test_idle_connections_make_room_for_a_request_that_must_not_use_them() -> None:
    """A POST goes to a fresh connection only; the idle one must not keep it waiting."""
    limits = Limits(max_upstream_connections=1)
    async with (
        app_server(named(b"ok")) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        client_of(gateway) as client,
    ):
        assert await ask(client) == b"ok"
        (connection,) = gateway.servers[0]._idle
        connection.idle_since -= 10
        assert await ask(client, POST) == b"ok"
        assert not connection.is_open


async def test_who_waits_goes_to_whichever_server_is_free_first() -> None:
    first, second = Gate(), Gate()
    limits = Limits(max_upstream_connections=1)
    async with (
        app_server(first.answer) as a,
        app_server(second.answer) as b,
        gateway_before(a, b, limits=limits) as gateway,
        browsers(gateway, 3) as clients,
    ):
        for client in clients:
            client.send(GET)
        await until(lambda: gateway.forwarder.pool._waiting == 1)
        second.open.set()
        await until(lambda: second.requests == 2)
        first.open.set()
        assert [(await client.response())[1] for client in clients] == [b"ok"] * 3


# Names.


async def test_a_name_is_looked_up_and_its_address_that_answers_is_taken() -> None:
    """``localhost`` is often ::1 first, where this app does not listen."""
    async with (
        app_server(named(b"ok")) as upstream,
        gateway_before(replace(upstream, host="localhost")) as gateway,
        client_of(gateway) as client,
    ):
        assert await ask(client) == b"ok"


class Zone:
    """What DNS says of ``app.internal``: an address, or None for a name that is gone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
        self.address = address
        loop = asyncio.get_running_loop()
        self._system = loop.getaddrinfo
        monkeypatch.setattr(loop, "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, *arguments: Any, **options: Any) -> Any:
        if host != "app.internal":
            return await self._system(host, *arguments, **options)
        if self.address is None:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, 0))]


async def test_a_name_that_nobody_knows_is_a_502(monkeypatch: pytest.MonkeyPatch) -> None:
    Zone(monkeypatch, None)
    async with gateway_before(Upstream("http", "app.internal", 80)) as gateway, client_of(gateway) as client:
        assert await ask(client) == b"502"
        assert gateway.forwarder.failures == ["resolve"]


async def test_when_dns_is_gone_new_connections_go_to_the_last_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = Zone(monkeypatch, "127.0.0.1")
    monkeypatch.setattr(name_lookup, "FRESH_SECONDS", 0.0)
    async with (
        app_server(named(b"ok")) as upstream,
        gateway_before(replace(upstream, host="app.internal")) as gateway,
        client_of(gateway) as client,
    ):
        assert await ask(client) == b"ok"
        zone.address = None
        for _ in range(3):
            gateway.servers[0]._idle.pop().abort()
            assert await ask(client) == b"ok"


async def test_an_app_that_moved_is_found_by_a_new_lookup_in_the_same_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """127.0.0.2 stands for the old machine, where nobody listens any more."""
    zone = Zone(monkeypatch, "127.0.0.2")
    monkeypatch.setattr(name_lookup, "AGAIN_SECONDS", 0.0)
    async with (
        app_server(named(b"ok")) as upstream,
        gateway_before(replace(upstream, host="app.internal")) as gateway,
        client_of(gateway) as client,
    ):
        await gateway.servers[0]._names.addresses("app.internal", 1.0)
        zone.address = "127.0.0.1"
        assert await ask(client) == b"ok"
        assert gateway.health_changes.seen == []
