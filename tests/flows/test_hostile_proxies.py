"""Behind proxies: whose address a policy, a bound and the log go by, and who may say so."""

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.gateway_process import GatewayProcess, gateway_process
from support.proxy_headers import proxy_header
from support.raw_tls import real_hello
from support.site import MTLS_DOMAIN, Site
from support.two_apps import ACS, WIKI, two_apps

ORG = "sso.example.test"
CHALLENGE = f"n0123456789abcdef.{MTLS_DOMAIN}"
CLIENT, LIAR = "203.0.113.9", "198.51.100.7"


@dataclass
class Behind:
    """A gateway to which this test is a trusted proxy, or not."""

    site: Site
    gateway: GatewayProcess

    def connect(self, header: bytes, server_name: str) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        plain = socket.create_connection(("127.0.0.1", self.site.https_port), timeout=10)
        plain.sendall(header)
        return context.wrap_socket(plain, server_hostname=server_name)

    def is_cut_off(self, header: bytes, source: str = "127.0.0.1") -> bool:
        """True if a ClientHello behind ``header`` is answered by nothing but the end."""
        address = ("127.0.0.1", self.site.https_port)
        try:
            with socket.create_connection(address, timeout=10, source_address=(source, 0)) as plain:
                plain.sendall(header + real_hello(WIKI))
                return plain.recv(1) == b""
        except ConnectionError:
            return True

    def ask(self, request: str, *fields: str, host: str = WIKI, header: bytes = b"") -> bytes:
        """The whole answer to one request."""
        lines = (f"{request} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", "")
        with self.connect(header, host) as connection:
            connection.sendall("\r\n".join(lines).encode())
            received = b""
            while piece := connection.recv(65_536):
                received += piece
        return received

    def logged(self, path: str) -> dict[str, object]:
        return self.gateway.wait_for_record(lambda record: record.get("path") == path)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Trusts what comes from 127.0.0.1, and nobody else."""
    site = Site(tmp_path_factory.mktemp("behind"))
    with two_apps(site) as configuration:
        configuration["trusted_proxies"] = ["127.0.0.1/32"]
        with gateway_process(configuration, site.directory) as gateway:
            yield Behind(site, gateway)


@pytest.fixture(scope="module")
def spoken_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """The same, with PROXY headers."""
    site = Site(tmp_path_factory.mktemp("spoken-for"))
    with two_apps(site) as configuration:
        configuration["trusted_proxies"] = ["127.0.0.1/32"]
        configuration["listen"]["proxy_protocol"] = True
        with gateway_process(configuration, site.directory) as gateway:
            yield Behind(site, gateway)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def told_app(response: bytes, name: str) -> list[str]:
    seen = json.loads(response.partition(b"\r\n\r\n")[2])
    return [value for key, value in seen["headers"] if key.lower() == name]


@pytest.mark.parametrize(
    ("fields", "chain"),
    [
        pytest.param((f"X-Forwarded-For: {LIAR}, {CLIENT}",), f"{CLIENT}, 127.0.0.1", id="X-Forwarded-For"),
        pytest.param((f"Forwarded: for={LIAR}, for={CLIENT}",), f"{CLIENT}, 127.0.0.1", id="Forwarded"),
        pytest.param(
            (f"Forwarded: for={CLIENT}", f"X-Forwarded-For: {CLIENT}"),
            f"{CLIENT}, 127.0.0.1",
            id="both alike",
        ),
        pytest.param((), "127.0.0.1", id="neither"),
    ],
)
def test_the_app_is_told_the_believed_chain(behind: Behind, fields: tuple[str, ...], chain: str) -> None:
    response = behind.ask("GET /page", *fields)
    assert told_app(response, "x-forwarded-for") == [chain]
    assert told_app(response, "forwarded") == []


@pytest.mark.parametrize("host", [WIKI, CHALLENGE])
def test_two_clients_in_one_request_are_refused(behind: Behind, host: str) -> None:
    fields = (f"X-Forwarded-For: {CLIENT}", f"Forwarded: for={LIAR}")
    assert status_of(behind.ask("GET /challenge?flow=x", *fields, host=host)) == 400


@pytest.mark.parametrize(
    ("path", "host", "fields", "status"),
    [
        pytest.param("/passes", WIKI, (), 200, id="an app"),
        pytest.param("/two-types", WIKI, ("Content-Type: a/b", "Content-Type: c/d"), 400, id="a refusal"),
        pytest.param("/no-challenge", CHALLENGE, (), 404, id="the mTLS host"),
        pytest.param("/no-page", ORG, (), 404, id="the org host"),
        pytest.param(f"/{'a' * 200}", WIKI, ("Host: twice",), 400, id="a long path"),
    ],
)
def test_every_log_line_has_the_client_and_not_the_proxy(
    behind: Behind, path: str, host: str, fields: tuple[str, ...], status: int
) -> None:
    response = behind.ask(f"GET {path}", f"X-Forwarded-For: {CLIENT}", *fields, host=host)
    assert status_of(response) == status
    assert behind.logged(path)["ip"] == CLIENT


def test_a_body_that_goes_wrong_is_logged_with_its_client(behind: Behind) -> None:
    head = f"POST {ACS} HTTP/1.1\r\nHost: {WIKI}\r\nX-Forwarded-For: {CLIENT}\r\nExpect: 100-continue\r\n"
    with behind.connect(b"", WIKI) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        assert b" 100 " in connection.recv(1_000)
        connection.sendall(b"xyz\r\n")
        assert status_of(connection.recv(65_536)) == 400
    record = behind.gateway.wait_for_record(
        lambda record: record.get("path") == ACS and record["status"] == 400
    )
    assert record["ip"] == CLIENT


def test_the_client_of_a_proxy_header_is_who_it_names(spoken_for: Behind) -> None:
    response = spoken_for.ask("GET /named", f"X-Forwarded-For: {LIAR}", header=proxy_header(CLIENT))
    assert told_app(response, "x-forwarded-for") == [CLIENT]
    assert spoken_for.logged("/named")["ip"] == CLIENT
    assert status_of(spoken_for.ask("GET /other", host=CHALLENGE, header=proxy_header("2001:db8::9"))) == 404
    assert spoken_for.logged("/other")["ip"] == "2001:db8::9"


def test_a_proxy_of_a_proxy_is_believed_in_turn(spoken_for: Behind) -> None:
    header = proxy_header("127.0.0.1")
    response = spoken_for.ask("GET /turn", f"X-Forwarded-For: {LIAR}, {CLIENT}", header=header)
    assert told_app(response, "x-forwarded-for") == [f"{CLIENT}, 127.0.0.1"]


def test_a_health_check_of_the_proxys_own_is_its_own(spoken_for: Behind) -> None:
    response = spoken_for.ask("GET /health", header=proxy_header(None, command=0x20))
    assert told_app(response, "x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("header", "source"),
    [
        pytest.param(b"", "127.0.0.1", id="no header"),
        pytest.param(b"PROXY TCP4 203.0.113.9 192.0.2.1 5 443\r\n", "127.0.0.1", id="version 1"),
        pytest.param(proxy_header(CLIENT), "127.0.0.2", id="not from a trusted proxy"),
        pytest.param(proxy_header(CLIENT) * 2, "127.0.0.1", id="two headers"),
    ],
)
def test_whoever_may_not_speak_for_others_is_cut_off(spoken_for: Behind, header: bytes, source: str) -> None:
    assert spoken_for.is_cut_off(header, source)


def test_who_is_cut_off_is_counted(spoken_for: Behind) -> None:
    before = spoken_for.gateway.metric("devicetrust_connections_shed_total", reason="proxy_protocol")
    assert spoken_for.is_cut_off(b"")
    after = spoken_for.gateway.metric("devicetrust_connections_shed_total", reason="proxy_protocol")
    assert after == before + 1
