"""Browsers that ask and ask, on connections that they keep for a while: what goes wrong meanwhile is a
failure."""

import http.client
import socket
import ssl
import threading
import time
from types import TracebackType
from typing import Self

REQUESTS_ON_A_CONNECTION = 20


class SteadyLoad:
    """In threads, as long as the block lasts. ``failures`` says what went wrong, ``answered`` what went
    right."""

    def __init__(self, port: int, host: str, trusted_pem: str, path: str = "/echo", clients: int = 4) -> None:
        self._address = ("127.0.0.1", port)
        self._host = host
        self._tls = ssl.create_default_context(cadata=trusted_pem)
        self._path = path
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]
        self.failures: list[str] = []
        self.answered = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for_more(self, count: int, seconds: float = 20.0) -> None:
        """Until so many more answers have come."""
        wanted, deadline = self.answered + count, time.monotonic() + seconds
        while self.answered < wanted:
            assert time.monotonic() < deadline, (self.answered, wanted, self.failures)
            time.sleep(0.01)

    def _ask_on(self) -> None:
        while not self._ends.is_set():
            asked = 0
            try:
                with (
                    socket.create_connection(self._address, timeout=20) as plain,
                    self._tls.wrap_socket(plain, server_hostname=self._host) as connection,
                ):
                    while asked < REQUESTS_ON_A_CONNECTION and not self._ends.is_set():
                        asked += 1
                        if not self._ask(connection):
                            break
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"request {asked} of a connection: {error!r}")

    def _ask(self, connection: ssl.SSLSocket) -> bool:
        """True if the connection stays."""
        connection.sendall(f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        if response.status != 200:
            self.failures.append(f"status {response.status}")
        self.answered += 1
        time.sleep(0.002)
        return not response.will_close
