"""What somebody without a trusted device tries, against a gateway that runs as a process.

Every test is an attack that some app behind some gateway has fallen for.
"""

import contextlib
import gzip
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from support import messages
from support.browser import Step
from support.gateway_process import GatewayProcess, gateway_process
from support.site import Site
from support.two_apps import ACS, PAYROLL, WIKI, two_apps

FORM = "Content-Type: application/x-www-form-urlencoded"


@dataclass
class Target:
    """The attacked gateway: the wiki gates sign-ons, payroll every request."""

    site: Site
    gateway: GatewayProcess

    def send(self, request: bytes, host: str = WIKI) -> bytes:
        """All that comes back for these bytes, until the gateway closes."""
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        with (
            socket.create_connection(("127.0.0.1", self.site.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(request)
            received = b""
            try:
                while piece := connection.recv(65_536):
                    received += piece
            except (ssl.SSLError, ConnectionError):
                pass
            return received

    def message(self, number: int, host: str = WIKI) -> bytes:
        """A form with a Response that the identity provider has signed just now."""
        recipient = self.site.public_base(host) + ACS
        now, name = datetime.now(UTC), f"_attack-{host}-{number}"
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=self.site.user,
            recipient=recipient,
            audiences=((f"https://{host}",),),
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        return messages.body_of(messages.saml_form(signed))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = Site(tmp_path_factory.mktemp("attacked"))
    with two_apps(site) as configuration, gateway_process(configuration, site.directory) as gateway:
        yield Target(site, gateway)


def request(line: str, *fields: str, body: bytes = b"", host: str = WIKI) -> bytes:
    """One request that asks for the connection to be closed behind it."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    lines = (f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *length, *fields, "", "")
    return "\r\n".join(lines).encode() + body


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def seen_by_app(response: bytes) -> dict[str, Any]:
    assert status_of(response) == 200, response
    seen: dict[str, Any] = json.loads(response.partition(b"\r\n\r\n")[2])
    return seen


def headers_of(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key.lower() == name.lower()]


# Around the gateway: the same message, where the gateway might not look.

MULTIPART = b'--x\r\nContent-Disposition: form-data; name="SAMLResponse"\r\n\r\nPHNhbWw+\r\n--x--\r\n'
AROUND: list[tuple[str, str, tuple[str, ...], bytes | None]] = [
    (
        "multipart to a path behind the script",
        f"POST {ACS}/x",
        ("Content-Type: multipart/form-data; boundary=x",),
        MULTIPART,
    ),
    ("multipart that Rack reads", "POST /x", ("Content-Type: multipart/mixed; boundary=x",), MULTIPART),
    (
        "JSON to a route's other format",
        f"POST {ACS}.json",
        ("Content-Type: application/json",),
        b'{"SAMLResponse":"x"}',
    ),
    ("no type at all", f"POST {ACS}.html", (), None),
    ("two types", "POST /x", ("Content-Type: text/plain", FORM), None),
    ("EBCDIC", "POST /x", (f"{FORM}; charset=ibm037",), "SAMLResponse=x".encode("cp037")),
    ("a compressed form", "POST /x", (FORM, "Content-Encoding: gzip"), gzip.compress(b"SAMLResponse=x")),
    (
        "compressed JSON",
        "POST /x",
        ("Content-Type: application/json", "Content-Encoding: gzip"),
        gzip.compress(b'{"SAMLResponse":"x"}'),
    ),
    (
        "JSON in a coding that we do not know",
        "POST /x",
        ("Content-Type: application/json", "Content-Encoding: br"),
        b"\x0b\x02\x80{}\x03",
    ),
    ("UTF-7 on the endpoint", f"POST {ACS}", (f"{FORM}; charset=utf-7",), b"%2BAFM-AMLResponse=x"),
    ("a coding on the endpoint", f"POST {ACS}", (FORM, "Content-Encoding: deflate"), b"D0Up0IZUnnnU5=x"),
    ("blanks in front of the name", "POST /x", (FORM,), b"+" * 300 + b"SAMLResponse=x"),
    ("a NUL behind the name", "POST /x", (FORM,), b"SAMLResponse%00=x"),
    (
        "the end of a large form",
        "POST /x",
        (FORM,),
        b"a=" + b"A" * 1_100_000 + b"&" + b"+" * 40 + b"SAMLResponse=x",
    ),
    ("PUT", "PUT /x", (FORM,), None),
    ("GET with a body", "GET /x", (FORM,), None),
    (
        "the ECP profile",
        "POST /Shibboleth.sso/SAML2/ECP",
        ("Content-Type: application/vnd.paos+xml",),
        b"<x/>",
    ),
]


@pytest.mark.parametrize(("line", "fields", "body"), [c[1:] for c in AROUND], ids=[c[0] for c in AROUND])
def test_a_message_does_not_go_around_by(
    target: Target, line: str, fields: tuple[str, ...], body: bytes | None
) -> None:
    response = target.send(request(line, *fields, body=target.message(1) if body is None else body))
    assert status_of(response) == 400, response


ORDINARY: list[tuple[str, str, bytes]] = [
    ("JSON", "application/json", b'{"a":1}'),
    ("a form", "application/x-www-form-urlencoded", b"a=1"),
    ("a file", "multipart/form-data; boundary=x", MULTIPART.replace(b"SAMLResponse", b"file")),
    ("text", "text/plain; charset=utf-16", b"SAMLResponse=x"),
]


@pytest.mark.parametrize(("kind", "body"), [c[1:] for c in ORDINARY], ids=[c[0] for c in ORDINARY])
def test_ordinary_bodies_pass_as_they_are(target: Target, kind: str, body: bytes) -> None:
    seen = seen_by_app(target.send(request("POST /api", f"Content-Type: {kind}", body=body)))
    assert seen["body"] == body.decode()


def test_compressed_json_passes_as_it_came(target: Target) -> None:
    body = gzip.compress(b'{"comment":"' + b"hello " * 1000 + b'"}', mtime=0)
    fields = ("Content-Type: application/json", "Content-Encoding: gzip")
    seen = seen_by_app(target.send(request("POST /api", *fields, body=body)))
    assert seen["body"].encode("latin-1") == body
    assert headers_of(seen, "Content-Encoding") == ["gzip"]


# A session's app, without the session.


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_a_stolen_app_cookie_opens_nothing_on_the_assertion_endpoint_either(
    target: Target, method: str
) -> None:
    stolen = ("Cookie: app=stolen", "Authorization: Bearer stolen", "X-API-Key: stolen", FORM)
    response = target.send(request(f"{method} {ACS}", *stolen, body=b"act=export", host=PAYROLL), PAYROLL)
    seen = seen_by_app(response)
    assert not [value for _, value in seen["headers"] if "stolen" in value]


def test_a_websocket_does_not_outlive_its_certificate(target: Target) -> None:
    device = target.site.issue(not_after=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3))
    browser = target.site.browser(device)
    step = Step("POST", target.site.public_base(PAYROLL) + ACS, target.message(2, PAYROLL), FORM[14:])
    assert browser.follow(step).status == 200
    cookie = browser.cookies.header_for(urlsplit(target.site.public_base(PAYROLL) + "/")) or ""
    context = ssl.create_default_context(cadata=target.site.web.pem.decode())
    fields = (f"Host: {PAYROLL}", f"User-Agent: {browser.user_agent}", f"Cookie: {cookie}")
    with (
        socket.create_connection(("127.0.0.1", target.site.https_port), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=PAYROLL) as tunnel,
    ):
        lines = ("GET /socket HTTP/1.1", *fields, "Connection: Upgrade", "Upgrade: websocket", "", "")
        tunnel.sendall("\r\n".join(lines).encode())
        assert status_of(tunnel.recv(4_096)) == 101
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert tunnel.recv(100) == b""


# Certificates that only a hostile client has.


def with_other_version(der: bytes) -> bytes:
    return der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)


def with_impossible_date(der: bytes) -> bytes:
    at = der.index(b"\x17\x0d")
    return der[: at + 2] + b"991399999999Z" + der[at + 15 :]


@pytest.mark.parametrize("spoil", [with_other_version, with_impossible_date])
def test_a_certificate_that_cannot_be_read_is_answered_with_a_page(
    target: Target, spoil: Callable[[bytes], bytes]
) -> None:
    """OpenSSL takes it, and its key is proven; other parsers of X.509 stumble over it."""
    device = target.site.issue()
    certificate = crypto.load_certificate(
        crypto.FILETYPE_ASN1, spoil(device.certificate.public_bytes(Encoding.DER))
    )
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(crypto.PKey.from_cryptography_key(device.key))
    host = "n1.mtls.example.test"
    with socket.create_connection(("127.0.0.1", target.site.https_port), timeout=None) as plain:
        connection = SSL.Connection(context, plain)
        connection.set_tlsext_host_name(host.encode())
        connection.set_connect_state()
        connection.do_handshake()
        connection.sendall(request("GET /challenge?flow=none", host=host))
        assert status_of(connection.recv(4_096)) == 400


def test_no_attack_was_a_defect(target: Target) -> None:
    """Last: what came before made no error of our own."""
    output = target.gateway.output()
    assert "defect" not in output
    assert "Traceback" not in output
