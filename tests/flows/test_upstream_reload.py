"""An app's servers while the configuration changes under requests, and when they have all they may have."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.app_side import AppSide, app_side, raw_app_process
from support.processes import free_port
from support.site import Site


class World:
    def __init__(self, side: AppSide, ports: list[int], nobody: int) -> None:
        self.side = side
        self.ports = ports
        self.nobody = nobody

    def configure(self, upstream: list[int], **limits: Any) -> None:
        """Take over a configuration with servers at these ports."""
        configuration = json.loads(json.dumps(self.side.configuration))
        configuration["apps"][0]["upstream"] = [f"http://127.0.0.1:{port}" for port in upstream]
        configuration["limits"] |= limits
        gateway = self.side.gateway
        before = sum(record["event"] == "reloaded" for record in gateway.log_records())
        gateway.write(configuration)
        deadline = time.monotonic() + 10
        while sum(record["event"] == "reloaded" for record in gateway.log_records()) == before:
            assert time.monotonic() < deadline, gateway.output()
            time.sleep(0.02)

    def downs(self) -> int:
        return sum(record["event"] == "upstream_down" for record in self.side.gateway.log_records())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = Site(tmp_path_factory.mktemp("site"))
    first, second, nobody = free_port(), free_port(), free_port()
    upstreams: dict[str, str | list[str]] = {"wiki": f"http://127.0.0.1:{first}"}
    with (
        raw_app_process(site.directory, first),
        raw_app_process(site.directory, second),
        app_side(site, upstreams, {"upstream_queue_timeout": "1s"}) as side,
    ):
        yield World(side, [first, second], nobody)


def test_a_request_ends_at_the_server_where_it_began_and_the_next_goes_to_the_new_one(world: World) -> None:
    with world.side.get("/trickle/20") as response:
        assert response.read(1) == b"x"
        world.configure([world.ports[1]])
        with world.side.get("/echo") as next_response:
            assert next_response.headers["Server"] == f"raw-{world.ports[1]}"
        assert response.read() == b"x" * 19


def test_a_server_that_is_out_stays_out_over_a_reload(world: World) -> None:
    world.configure([world.nobody, world.ports[0]])
    with world.side.connect() as connection:
        while not world.downs():
            assert world.side.ask(connection).startswith(b"GET /echo")
        world.configure([world.ports[1], world.nobody], max_upstream_connections=100)
        assert world.side.gateway.metric("devicetrust_upstreams_out", app="wiki") == 1
        world.configure([world.ports[1]])
        assert world.side.gateway.metric("devicetrust_upstreams_out", app="wiki") == 0


def test_a_browser_for_which_there_is_no_connection_is_told_when_to_come_again(world: World) -> None:
    world.configure([world.ports[0]], max_upstream_connections=1, max_upstream_queue=1)
    with world.side.get("/trickle/30") as running:
        waited: list[int] = []

        def wait_in_line() -> None:
            with world.side.get("/late") as late:
                waited.append(late.status)

        waiting = threading.Thread(target=wait_in_line)
        waiting.start()
        time.sleep(0.3)
        with world.side.get("/refused") as refused:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "2"
        waiting.join(10)
        assert waited == [503]  # after its second in line
        assert len(running.read()) == 30
    assert world.side.error_of("/refused") == "busy"
    with world.side.get("/echo") as response:
        assert response.status == 200
