"""A gateway process in front of an app process that misbehaves as it is asked to (`support.raw_app`)."""

import contextlib
import http.client
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from support import messages, raw_app
from support.gateway_process import GatewayProcess, gateway_process
from support.processes import ChildProcess
from support.site import Site

HOST = "wiki.apps.example.test"


class AppSide:
    """``site.directory`` is where everything is written."""

    def __init__(self, site: Site, gateway: GatewayProcess, configuration: Mapping[str, Any]) -> None:
        self.configuration = configuration
        self.site = site
        self.gateway = gateway

    def connect(self, host: str = HOST) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        plain = socket.create_connection(("127.0.0.1", self.site.https_port), timeout=20)
        return context.wrap_socket(plain, server_hostname=host)

    @contextlib.contextmanager
    def get(self, path: str, host: str = HOST) -> Iterator[http.client.HTTPResponse]:
        """The response to a GET on a connection of its own; its body is not read yet."""
        with self.connect(host) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            with begun(connection) as response:
                yield response

    def ask(self, connection: ssl.SSLSocket, path: str = "/echo", host: str = HOST) -> bytes:
        """The body of the answer to a GET on a connection that stays open."""
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        with begun(connection) as response:
            return response.read()

    def error_of(self, path: str, app: str = "wiki") -> str | None:
        """What the log's line about the request to this path says of the app."""
        record = self.gateway.wait_for_record(
            lambda r: r["event"] == "request" and r["path"] == path and r["app"] == app
        )
        error: str | None = record["upstream_error"]
        return error


def begun(connection: ssl.SSLSocket, method: str = "GET") -> http.client.HTTPResponse:
    """The next response on a connection, with its head read. It keeps the connection open."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return response


@contextlib.contextmanager
def raw_app_process(directory: Path, port: int, *certificate: Path) -> Iterator[ChildProcess]:
    """The app, listening; with a certificate and its key by TLS."""
    command = [sys.executable, raw_app.__file__, str(port), *map(str, certificate)]
    process = ChildProcess(f"app-{port}", command, directory)
    try:
        process.wait_until_listening(port)
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def app_side(
    site: Site, upstreams: Mapping[str, str | list[str]], limits: Mapping[str, Any]
) -> Iterator[AppSide]:
    """A gateway with one app for each entry, on ``NAME.apps.example.test``."""
    keys = messages.key_descriptor(messages.rsa_key())
    (site.directory / "idp.xml").write_text(messages.idp_entity(keys, sso="https://idp.example.test/sso"))
    policy = {"name": "Everyone", "rules": []}
    (site.directory / "policy.yaml").write_text(yaml.safe_dump(policy))
    provider = {"name": "idp", "protocol": "saml2", "metadata": "idp.xml"}
    apps = [
        {
            "name": name,
            "host": f"{name}.apps.example.test",
            "upstream": upstream,
            "protocol": "saml2",
            "identity_provider": "idp",
            "entity_id": f"https://{name}.apps.example.test",
            "assertion_endpoints": ["/saml/acs"],
            "policy": "policy.yaml",
        }
        for name, upstream in upstreams.items()
    ]
    configuration = {**site.configuration([provider], apps), "limits": dict(limits)}
    with gateway_process(configuration, site.directory) as gateway:
        yield AppSide(site, gateway, configuration)
