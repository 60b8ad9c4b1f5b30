"""The load generator, against servers that behave in known ways."""

import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.load_client import ask, paced
from benchmarks.series import percentile


@contextmanager
def server(on_request: Callable[[int], None]) -> Iterator[int]:
    """Answers 200 after ``on_request``, which gets the number of the request; its port."""
    numbers = iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            on_request(next(numbers))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


def latencies(port: int) -> list[float]:
    """Of 200 requests at 200 a second, on one connection."""
    result = paced(
        {
            "process": os.getpid(),
            "port": port,
            "server_name": "localhost",
            "target": "/",
            "count": 200,
            "per_second": 200,
            "connections": 1,
            "tls": False,
        }
    )
    assert result["statuses"] == {200: 200}
    assert len(result["latencies_ms"]) == 200
    return list(result["latencies_ms"])


def test_a_stall_is_charged_to_every_request_that_was_due_meanwhile() -> None:
    def stall_once(number: int) -> None:
        if number == 50:
            time.sleep(0.4)

    with server(stall_once) as port:
        seen = latencies(port)
    # 80 requests were due in the 400 ms. A generator that waits for answers would have seen one slow one.
    assert sum(latency > 100 for latency in seen) >= 50
    assert percentile(seen, 99) > 300


def test_the_rate_does_not_depend_on_how_fast_the_answers_are() -> None:
    began = time.monotonic()
    with server(lambda _: None) as port:
        latencies(port)
    assert time.monotonic() - began >= 0.95


@pytest.mark.parametrize("stays_open", [True, False])
def test_it_asks_over_a_unix_socket_on_few_connections_or_many(tmp_path: Path, stays_open: bool) -> None:
    path = str(tmp_path / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(20)
    connections = []

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(1_000):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        with suppress(OSError):
            while True:
                connections.append(listening.accept()[0])
                threading.Thread(target=serve, args=(connections[-1],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    request = base64.b64encode(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").decode()
    result = ask(
        {
            "process": os.getpid(),
            "port": 0,
            "path": path,
            "requests": [request] * 6,
            "threads": 2,
            "stays_open": stays_open,
        }
    )
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    assert result["statuses"] == {200: 6}
    assert len(result["latencies_ms"]) == result["operations"] == 6
    assert len(connections) == (2 if stays_open else 6)
