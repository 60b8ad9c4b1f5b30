"""Bodies and tunnels that are large, slow, long or many: what the gateway holds of them in memory."""

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from support.app_side import HOST, AppSide, app_side, begun, raw_app_process
from support.memory import growth_while
from support.processes import free_port
from support.site import Site

# By hand, STREAM_MEGABYTES=2000 was tried, too.
MEGABYTES = int(os.environ.get("STREAM_MEGABYTES", "250"))
BYTES = MEGABYTES * 1_000_000
LIMITS = {"upstream_response_timeout": "2s", "body_timeout": "2s", "idle_timeout": "1s"}
UPGRADE = (
    f"GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppSide]:
    site = Site(tmp_path_factory.mktemp("site"))
    port = free_port()
    with (
        raw_app_process(site.directory, port),
        app_side(site, {"wiki": f"http://127.0.0.1:{port}"}, LIMITS) as running,
    ):
        with running.get("/echo") as response:  # so that all that is loaded once is loaded
            response.read()
        yield running


def download(side: AppSide, size: int) -> None:
    buffer = bytearray(1_048_576)
    with side.get(f"/down/{size}") as response:
        left = size
        while got := response.readinto(buffer):
            left -= got
        assert left == 0


def upload(side: AppSide, size: int) -> None:
    piece = bytes(1_000_000)
    with side.connect() as connection:
        head = f"PUT /up HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(size // len(piece)):
            connection.sendall(piece)
        with begun(connection, "PUT") as response:
            assert response.read() == b"%d" % size


def test_a_large_download_passes_in_constant_memory(side: AppSide) -> None:
    assert growth_while(side.gateway.process_id, lambda: download(side, BYTES)) < 16


def test_a_large_upload_passes_in_constant_memory(side: AppSide) -> None:
    assert growth_while(side.gateway.process_id, lambda: upload(side, BYTES)) < 16


def test_browsers_that_read_nothing_of_endless_downloads_hold_little(side: AppSide) -> None:
    def begin_and_wait() -> None:
        with ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(side.connect())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                connection.sendall(f"GET /down/{BYTES} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            time.sleep(1)

    assert growth_while(side.gateway.process_id, begin_and_wait) < 20 * 1.5


def test_bodies_for_an_app_that_reads_nothing_hold_little_and_are_refused_in_time(side: AppSide) -> None:
    def upload_and_wait() -> None:
        with ExitStack() as stack:
            connections = [stack.enter_context(side.connect()) for _ in range(20)]
            for connection in connections:
                head = f"PUT /deaf HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {BYTES}\r\n\r\n"
                connection.sendall(head.encode())
                connection.setblocking(False)
            ends = time.monotonic() + 1
            while time.monotonic() < ends:
                for connection in connections:
                    with suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                        connection.send(bytes(16_384))
                time.sleep(0.001)
            for connection in connections:
                connection.settimeout(10)
                with begun(connection, "PUT") as response:
                    assert response.status == 504

    assert growth_while(side.gateway.process_id, upload_and_wait) < 20 * 1.5


def test_many_tunnels_pass_pings_both_ways_for_longer_than_any_deadline(side: AppSide) -> None:
    with ExitStack() as stack:
        tunnels = []
        for _ in range(100):
            connection = stack.enter_context(side.connect())
            connection.sendall(UPGRADE)
            tunnel = stack.enter_context(connection.makefile("rb"))
            assert tunnel.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while tunnel.readline() != b"\r\n":
                pass
            tunnels.append((connection, tunnel))
        ends = time.monotonic() + 4
        rounds = 0
        while time.monotonic() < ends:
            rounds += 1
            word = b"ping %d\n" % rounds
            for connection, _ in tunnels:
                connection.sendall(word)
            for _, tunnel in tunnels:
                pings = 0
                while (line := tunnel.readline()) == b"ping\n":
                    pings += 1
                assert line == b"echo " + word
                assert pings or rounds == 1
            time.sleep(0.5)
        assert rounds > 2
        assert side.gateway.metric("devicetrust_connections", role="app") >= 100
