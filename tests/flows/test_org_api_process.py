"""The API of a gateway that runs: over the org's own socket, with a token in its store."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway_process import GatewayProcess, gateway_process
from support.org_api import Api, answered
from support.org_world import issue_token
from support.site import Site
from support.two_apps import two_apps

from gateway.adapters.store import Store
from gateway.model.org import TokenScope


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


def test_a_change_is_answered_when_every_worker_has_applied_it(
    running: tuple[Site, GatewayProcess, Api],
) -> None:
    _, gateway, api = running
    user = answered(api, "POST", "/api/v1/users", {"profile": {"login": "ann@example.test"}})
    for step in ("suspend", "unsuspend", "deactivate"):
        answer = answered(api, "POST", f"/api/v1/users/{user['id']}/lifecycle/{step}")
        assert len(answer["enforcement"]["workers"]) == 2
        assert answer["enforcement"]["missing"] == []
    (org,) = gateway.orgs()
    os.kill(org, signal.SIGKILL)
    gateway.wait_for_records("org_started", 2)
    answer = answered(api, "POST", f"/api/v1/users/{user['id']}/lifecycle/activate")
    assert len(answer["enforcement"]["workers"]) == 2
    assert gateway.stderr_text() == ""
