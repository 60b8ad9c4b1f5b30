"""Many requests on one connection: the second with the same fields goes a short way, by the same rules."""

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from support.gateway_process import GatewayProcess, gateway_process
from support.site import Site
from support.two_apps import PAYROLL, WIKI, two_apps

SPOOFED = b"X-Device-Trust: trusted\r\nx_device_trust_user: root\r\nX-Forwarded-For: 10.0.0.1\r\n"


class Tab:
    """One connection of a browser that sends the same fields each time."""

    def __init__(self, connection: ssl.SSLSocket, host: str, fields: bytes = b"") -> None:
        self._connection = connection
        self._fields = b"Host: " + host.encode() + b"\r\n" + fields + b"\r\n"

    def get(self, target: bytes, method: bytes = b"GET") -> tuple[int, dict[str, Any]]:
        self._connection.sendall(method + b" " + target + b" HTTP/1.1\r\n" + self._fields)
        response = http.client.HTTPResponse(self._connection, method=method.decode())
        response.begin()
        body = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "")
        return response.status, json.loads(body) if is_json and body else {}


def connect(site: Site, host: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=site.web.pem.decode())
    plain = socket.create_connection(("127.0.0.1", site.https_port), timeout=10)
    return context.wrap_socket(plain, server_hostname=host)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, GatewayProcess]]:
    site = Site(tmp_path_factory.mktemp("site"))
    with two_apps(site) as configuration, gateway_process(configuration, site.directory) as gateway:
        yield site, gateway


@pytest.fixture
def connection(world: tuple[Site, GatewayProcess]) -> Iterator[ssl.SSLSocket]:
    site, _ = world
    with connect(site, WIKI) as raw:
        yield raw


def names(seen: dict[str, Any]) -> set[str]:
    return {name.lower().replace("_", "-") for name, _ in seen["headers"]}


def test_what_is_spoofed_is_removed_from_the_second_request_as_from_the_first(
    connection: ssl.SSLSocket,
) -> None:
    tab = Tab(connection, WIKI, SPOOFED)
    seen = [tab.get(b"/echo?n=%d" % number)[1] for number in range(3)]
    assert [one["target"] for one in seen] == ["/echo?n=0", "/echo?n=1", "/echo?n=2"]
    assert seen[0]["headers"] == seen[1]["headers"] == seen[2]["headers"]
    assert not any(name.startswith("x-device-trust") for name in names(seen[1]))
    forwarded = [value for name, value in seen[1]["headers"] if name.lower() == "x-forwarded-for"]
    assert forwarded == ["127.0.0.1"]


def test_a_target_that_needs_a_look_gets_it_on_the_second_request_too(connection: ssl.SSLSocket) -> None:
    tab = Tab(connection, WIKI)
    assert tab.get(b"/echo")[0] == 200
    assert tab.get(b"/.devicetrust/x")[0] == 404
    assert tab.get(b"/%2edevicetrust/x")[0] == 404
    status, seen = tab.get(b"/echo?a=b&dt_ticket=made-up")
    assert (status, seen["target"]) == (200, "/echo?a=b")
    assert tab.get(b"/echo?SAMLResponse=x")[0] == 400  # and the connection is closed behind it


def test_a_head_request_after_a_get_has_no_body(connection: ssl.SSLSocket) -> None:
    tab = Tab(connection, WIKI)
    assert tab.get(b"/echo")[0] == 200
    assert tab.get(b"/echo", b"HEAD") == (501, {})  # the app knows no HEAD, and sends no body for it
    assert tab.get(b"/echo")[1]["method"] == "GET"


def test_a_field_more_is_another_request(connection: ssl.SSLSocket) -> None:
    assert "x-one" not in names(Tab(connection, WIKI).get(b"/echo")[1])
    assert "x-one" in names(Tab(connection, WIKI, b"X-One: 1\r\n").get(b"/echo")[1])
    assert "x-one" not in names(Tab(connection, WIKI).get(b"/echo")[1])


def test_another_host_on_the_same_connection_is_a_421_however_often_it_is_tried(
    connection: ssl.SSLSocket,
) -> None:
    assert Tab(connection, WIKI).get(b"/echo")[0] == 200
    assert Tab(connection, PAYROLL).get(b"/echo")[0] == 421


def test_each_request_is_counted_and_logged_with_its_own_reference(
    world: tuple[Site, GatewayProcess], connection: ssl.SSLSocket
) -> None:
    _, gateway = world
    tab = Tab(connection, WIKI)
    before = gateway.metric("devicetrust_requests_total", app="wiki", status="200")
    for number in range(3):
        tab.get(b"/echo/kept-alive-%d?secret=1" % number)
    gateway.wait_for_record(lambda r: r.get("path") == "/echo/kept-alive-2")
    lines = [r for r in gateway.log_records() if str(r.get("path", "")).startswith("/echo/kept-alive-")]
    assert [(r["status"], r["method"], r["app"], r["ip"]) for r in lines] == [
        (200, "GET", "wiki", "127.0.0.1")
    ] * 3
    assert len({r["reference_id"] for r in lines}) == 3
    assert gateway.metric("devicetrust_requests_total", app="wiki", status="200") == before + 3


def test_an_app_that_needs_a_session_asks_for_it_on_every_request(
    world: tuple[Site, GatewayProcess],
) -> None:
    """`enforcement: session` never goes the short way: without a session each request is a stranger's."""
    site, _ = world
    with connect(site, PAYROLL) as raw:
        tab = Tab(raw, PAYROLL, b"Cookie: app=1\r\nAuthorization: Bearer x\r\n")
        for _ in range(3):
            assert not {"cookie", "authorization"} & names(tab.get(b"/echo")[1])
