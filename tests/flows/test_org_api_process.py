"""The API of a gateway that runs: over the org's own socket, with a token in its store."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway_process import GatewayProcess, gateway_process
from support.org_world import issue_token
from support.site import Site
from support.two_apps import two_apps
from typing_extensions import override

from gateway.adapters.store import Store
from gateway.model.org import TokenScope


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
        self._token = token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = _OverSocket(self._socket)
        headers = {"Authorization": f"SSWS {self._token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Site, GatewayProcess, Api]]:
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///var/org.db"
        configuration["listen"]["workers"] = 2
        store = Store.open(f"sqlite:///{tmp_path}/var/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        with gateway_process(configuration, site.directory) as gateway:
            gateway.wait_for_records("org_started", 1)
            yield site, gateway, Api(site, token)


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


def test_a_change_is_answered_when_every_worker_has_applied_it(
    running: tuple[Site, GatewayProcess, Api],
) -> None:
    _, gateway, api = running
    user = answered(api, "POST", "/api/v1/users", {"profile": {"login": "ann@example.test"}})
    for step in ("suspend", "unsuspend", "deactivate"):
        answer = answered(api, "POST", f"/api/v1/users/{user['id']}/lifecycle/{step}")
        assert answer["enforcement"]["missing"] == []
    (org,) = gateway.orgs()
    os.kill(org, signal.SIGKILL)
    gateway.wait_for_records("org_started", 2)
    answered(api, "POST", f"/api/v1/users/{user['id']}/lifecycle/activate")
    assert gateway.stderr_text() == ""
