"""The API of a gateway that runs in processes of its own: over the org's socket, with a token of its own."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

from support.site import Site
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


class Api:
    def __init__(self, site: Site, token: str) -> None:
        self._socket = site.directory / "var/keys/org"
        self.token = token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = _OverSocket(self._socket)
        headers = {"Authorization": f"SSWS {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None


def answered(api: Api, method: str, path: str, body: Any = None) -> Any:
    """The first answer that is not 503: the store may not be open yet."""
    deadline = time.monotonic() + 20
    while True:
        status, value = api.ask(method, path, body)
        if status != 503:
            assert 200 <= status < 300, value
            return value
        assert time.monotonic() < deadline
        time.sleep(0.05)
