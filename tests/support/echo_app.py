"""An app behind the gateway that says what it got: method, target, headers and body as JSON.

``/login`` sends a SAML AuthnRequest to the identity provider, ``/slow`` answers after a second, ``/socket``
switches to a protocol that echoes lines, ``/app-headers`` answers with headers that are the gateway's own.
"""

import base64
import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

from typing_extensions import override

REQUEST_ID = "_request1"
SSO_URL = "https://idp.example.test/sso"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/login":
            self._answer(302, b"", {"Location": f"{SSO_URL}?SAMLRequest={quote(_authn_request())}"})
        elif self.path == "/slow":
            time.sleep(1.0)
            self._echo()
        elif self.path == "/socket":
            self._switch()
        elif self.path == "/app-headers":
            self._answer(200, b"", {"X-Device-Trust": "trusted", "X-App": "1"})
        else:
            self._echo()

    def do_POST(self) -> None:
        self._echo()

    def do_PUT(self) -> None:
        self._echo()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """The tests look at answers, not at this server's log."""

    def _echo(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": self.headers.items(),
            "body": body.decode("latin-1"),
        }
        self._answer(200, json.dumps(seen).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _switch(self) -> None:
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        self.close_connection = True
        while line := self.rfile.readline():
            self.wfile.write(b"echo " + line)
            self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the gateway cuts off is what some tests are about."""


@contextmanager
def echo_app(address: str = "127.0.0.1") -> Iterator[int]:
    """Runs the app; its port."""
    server = _Server((address, 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, name="echo app", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _authn_request() -> str:
    xml = (
        f'<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="{REQUEST_ID}" '
        'Version="2.0" IssueInstant="2026-01-01T00:00:00Z"/>'
    )
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(xml.encode()) + packer.flush()).decode()
