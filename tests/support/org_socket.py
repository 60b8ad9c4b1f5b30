"""The org of a gateway that runs, asked over its own Unix socket."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typing_extensions import override


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sso.example.test", timeout=20)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class OrgSocket:
    """``keys_directory`` is the gateway's."""

    def __init__(self, keys_directory: Path, token: str) -> None:
        self._socket = keys_directory / "org"
        self._token = token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON of the answer or None). Raises OSError where nobody listens."""
        connection = _OverSocket(self._socket)
        headers = {"Authorization": f"SSWS {self._token}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text else None

    def events(self, question: str = "") -> list[dict[str, Any]]:
        """Up to 1,000 events of the System Log that fit a filter, once the org and its store answer."""
        path = "/api/v1/logs?limit=1000" + (f"&filter={quote(question)}" if question else "")
        deadline = time.monotonic() + 20
        while True:
            try:
                status, value = self.ask("GET", path)
            except OSError:
                status, value = 503, None
            if status != 503:
                assert status == 200, value
                events: list[dict[str, Any]] = value
                return events
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def wait_for_events(self, count: int, question: str = "") -> list[dict[str, Any]]:
        deadline = time.monotonic() + 20
        while True:
            events = self.events(question)
            if len(events) >= count:
                return events
            assert time.monotonic() < deadline, events
            time.sleep(0.05)
