"""An app that answers with whatever bytes a test wants, and remembers every byte that it was sent."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class ByteApp:
    """`answers` maps the path of a request to the bytes that answer it; others are answered `OK`."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[bytes, bytes] = {}
        self._received: list[bytearray] = []
        self._lock = threading.Lock()

    def forget(self) -> None:
        with self._lock:
            self._received = []

    def received(self) -> bytes:
        """Everything since `forget`, connection by connection."""
        with self._lock:
            return b"\n----\n".join(bytes(connection) for connection in self._received)

    def opened(self) -> bytearray:
        with self._lock:
            self._received.append(bytearray())
            return self._received[-1]

    def note(self, connection: bytearray, data: bytes) -> None:
        with self._lock:
            if not any(connection is known for known in self._received):
                self._received.append(connection)
                connection.clear()
            connection += data


class _Connection(socketserver.BaseRequestHandler):
    app: ByteApp

    def handle(self) -> None:
        """Answer each request when all of it is there."""
        connection, waiting = self.app.opened(), b""
        with suppress(ConnectionError):
            while data := self.request.recv(65_536):
                self.app.note(connection, data)
                waiting += data
                while (end := _end_of_request(waiting)) is not None:
                    line, waiting = waiting.split(b"\r\n", 1)[0].split(b" "), waiting[end:]
                    answer = self.app.answers.get(line[1] if len(line) == 3 else b"", OK)
                    self.request.sendall(answer)
                    if answer is not OK:
                        return


def _end_of_request(data: bytes) -> int | None:
    """As the gateway frames it: what it was sent does not matter here."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        at = body.find(b"0\r\n\r\n")
        return None if at < 0 else len(head) + 4 + at + 5
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    end = len(head) + 4 + (0 if length is None else int(length[1]))
    return end if len(data) >= end else None


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def byte_app() -> Iterator[ByteApp]:
    app = ByteApp()
    handler = type("Connection", (_Connection,), {"app": app})
    with _Server(("127.0.0.1", 0), handler) as server:
        app.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="byte app")
        thread.start()
        try:
            yield app
        finally:
            server.shutdown()
            thread.join()
