"""The org process beside the workers: kept running, handed on, and no matter to sign-ons when it is gone."""

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gateway_process import GatewayProcess, gateway_process
from support.site import Site
from support.steady_load import SteadyLoad
from support.two_apps import WIKI, two_apps

STORE = "sqlite:///var/org.db"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Site, dict[str, Any]]]:
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        configuration["store"] = STORE
        (tmp_path / "var").mkdir()
        yield site, configuration


@pytest.fixture
def running(world: tuple[Site, dict[str, Any]]) -> Iterator[tuple[Site, GatewayProcess]]:
    site, configuration = world
    with gateway_process(configuration, site.directory) as gateway:
        yield site, gateway


def answer(site: Site) -> bytes:
    """The first line of what the org answers on its own socket."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(str(site.directory / "var/keys/org"))
        asking.sendall(b"GET /nothing HTTP/1.1\r\nHost: sso.example.test\r\nConnection: close\r\n\r\n")
        return asking.recv(65_536).partition(b"\r\n")[0]


def test_it_is_started_replaced_whenever_it_ends_and_ended_with_the_gateway(
    running: tuple[Site, GatewayProcess],
) -> None:
    site, gateway = running
    gateway.wait_for_records("org_started", 1)
    assert b"404" in answer(site)
    assert stat.S_IMODE((site.directory / "var/keys/org").stat().st_mode) == 0o600
    with SteadyLoad(site.https_port, WIKI, site.web.pem.decode()) as load:
        for count in range(1, 4):
            (victim,) = gateway.orgs()
            os.kill(victim, signal.SIGKILL)
            record = gateway.wait_for_records("org_exited", count)[-1]
            assert (record["process"], record["exit_status"]) == (victim, -signal.SIGKILL)
            gateway.wait_for_records("org_started", count + 1)
            load.wait_for_more(20)
    assert load.failures == []
    assert b"404" in answer(site)
    (last,) = gateway.orgs()
    gateway.reload()
    gateway.wait_for_records("reloaded", 1)
    assert gateway.orgs() == [last]
    gateway.stop()
    assert not Path(f"/proc/{last}").exists()
    assert gateway.stderr_text() == ""


def test_another_gateway_that_takes_over_brings_its_own(
    world: tuple[Site, dict[str, Any]], running: tuple[Site, GatewayProcess]
) -> None:
    site, first = running
    first.wait_for_records("org_started", 1)
    (former,) = first.orgs()
    second = GatewayProcess(world[1], site.directory, arguments=("--take-over",), name="second")
    try:
        second.wait_for_records("started", 1, 60)
        first.wait()
        second.wait_until_ready()
        (own,) = second.orgs()
        assert own != former
        assert not Path(f"/proc/{former}").exists()
        assert b"404" in answer(site)
        second.stop()
    finally:
        second.kill()


def test_the_supervisor_that_is_killed_takes_it_along(world: tuple[Site, dict[str, Any]]) -> None:
    site, configuration = world
    gateway = GatewayProcess(configuration, site.directory)
    try:
        gateway.wait_for_records("org_started", 1)
        (org,) = gateway.orgs()
    finally:
        gateway.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{org}").exists() and "Z" not in Path(f"/proc/{org}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
