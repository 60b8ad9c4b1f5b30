"""The agent's HTTP client through real proxies: the TLS handshake in the tunnel is with the server itself."""

import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from support.needed_parts import needs
from support.pki import Authority
from support.processes import free_port
from support.proxies import missing_proxies, squid, tinyproxy
from typing_extensions import override

from gateway.agent.proxies.chooser import ProxyChooser
from gateway.agent.proxies.transport import ProxiedTransport, ProxyFailed

pytestmark = [pytest.mark.real, needs("proxies", missing_proxies)]
LOGIN = ("alice", "s3cret")
PROXIES = {"squid": squid, "tinyproxy": tinyproxy}


@dataclass(frozen=True, slots=True)
class Site:
    """An mTLS server that answers with the common name of the client; and what its clients need."""

    port: int
    client: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/enroll/discovery"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        certificate = self.connection.getpeercert() or {}
        names = [value for pairs in certificate.get("subject", ()) for _, value in pairs]
        self._say({"client": names})

    def do_POST(self) -> None:
        self._say({"got": self.rfile.read(int(self.headers["Content-Length"])).decode()})

    def _say(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    authority = Authority.create_root("Test Root")
    ca = directory / "ca.pem"
    ca.write_bytes(authority.pem)
    server_files = authority.issue_server(["localhost"]).write(directory, "server")
    client_files = authority.issue_client(None, None, common_name="ws1").write(directory, "client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_files.certificate, server_files.private_key)
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    client = ssl.create_default_context(cafile=str(ca))
    client.load_cert_chain(client_files.certificate, client_files.private_key)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Site(server.server_address[1], client)
    server.shutdown()
    server.server_close()
    thread.join()


def client_by(
    site: Site,
    copies: Path,
    *,
    http_proxy: str | None = None,
    pac: str | None = None,
    inside: bool = False,
    environment: dict[str, str] | None = None,
) -> httpx.Client:
    location = None
    if pac is not None:
        file = copies / "proxy.pac"
        file.write_text(f"function FindProxyForURL(url, host) {{ {pac} }}")
        location = file.as_uri()
    chooser = ProxyChooser(
        http_proxy=http_proxy, pac_location=location, environment=environment or {}, copies=copies
    )
    hosts = ["localhost"] if inside else []
    return httpx.Client(transport=ProxiedTransport(chooser, site.client, inside_hosts=hosts), timeout=20)


@pytest.mark.parametrize("kind", PROXIES)
def test_client_certificate_and_body_pass_through_a_proxy(kind: str, site: Site, tmp_path: Path) -> None:
    with (
        PROXIES[kind]([site.port]) as proxy,
        client_by(site, tmp_path, http_proxy=proxy.url) as client,
    ):
        assert client.get(site.url).json() == {"client": ["ws1"]}
        assert client.post(site.url, content=b"csr").json() == {"got": "csr"}
        proxy.process.wait_until(
            lambda: f"localhost:{site.port}" in proxy.log.read_text(errors="replace"), "it logs the tunnel"
        )


@pytest.mark.parametrize("kind", PROXIES)
def test_a_proxy_that_wants_a_login_is_told_of_in_a_sentence(kind: str, site: Site, tmp_path: Path) -> None:
    with PROXIES[kind]([site.port], login=LOGIN) as proxy:
        answers = {}
        for who, url in (
            ("nobody", proxy.url),
            ("wrong", proxy.url_for("alice", "wr0ng")),
            ("alice", proxy.url_for(*LOGIN)),
        ):
            with client_by(site, tmp_path, http_proxy=url) as client:
                try:
                    answers[who] = client.get(site.url).text
                except ProxyFailed as error:
                    answers[who] = str(error)
    assert f"the proxy {proxy.url} asks for a login (407)" in answers["nobody"]
    assert "refuses the user 'alice' or the password" in answers["wrong"]
    assert "wr0ng" not in answers["wrong"]
    assert json.loads(answers["alice"]) == {"client": ["ws1"]}


def test_a_proxy_that_does_not_allow_the_port_is_named_with_it(site: Site, tmp_path: Path) -> None:
    with (
        squid([1]) as proxy,
        client_by(site, tmp_path, http_proxy=proxy.url) as client,
        pytest.raises(ProxyFailed, match=rf"does not connect to localhost:{site.port} \(403"),
    ):
        client.get(site.url)


def test_a_file_names_a_dead_proxy_and_then_one_that_works(site: Site, tmp_path: Path) -> None:
    dead = free_port()
    with tinyproxy([site.port]) as proxy:
        pac = f'return "PROXY 127.0.0.1:{dead}; PROXY 127.0.0.1:{proxy.port}";'
        with client_by(site, tmp_path, pac=pac) as client:
            assert client.get(site.url).json() == {"client": ["ws1"]}
        assert f"localhost:{site.port}" in proxy.log.read_text()


def test_when_no_way_works_each_is_said(site: Site, tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    pac = f'return "PROXY 127.0.0.1:{one}; PROXY 127.0.0.1:{two}";'
    with client_by(site, tmp_path, pac=pac) as client, pytest.raises(ProxyFailed) as failed:
        client.get(site.url)
    assert f"127.0.0.1:{one}" in str(failed.value)
    assert f"127.0.0.1:{two}" in str(failed.value)


def test_a_host_inside_is_reached_directly_although_a_proxy_is_set(site: Site, tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with client_by(site, tmp_path, http_proxy=dead, inside=True) as client:
        assert client.get(site.url).json() == {"client": ["ws1"]}
    with (
        client_by(site, tmp_path, environment={"https_proxy": dead}) as client,
        pytest.raises(ProxyFailed, match="cannot be reached by the proxy"),
    ):
        client.get(site.url)
