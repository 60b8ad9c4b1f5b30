"""The load generator, against servers that behave in known ways."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.load_client import paced
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
