"""The gateway as a process, with an app of ours behind it: what passes, what does not, and how it is run."""

import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
import yaml
from h2.errors import ErrorCodes
from support import messages
from support.browser import Browser, Hop, Step, Visit
from support.echo_app import REQUEST_ID
from support.gateway_process import GatewayProcess, gateway_process
from support.http2_client import Http2Client, http2_client, request_fields
from support.needed_parts import needs_program
from support.pki import Credential
from support.processes import ProcessFailedError, free_port
from support.site import DEVICE, MTLS_DOMAIN, TRUSTED_WINDOWS_ONLY, Site
from support.two_apps import ACS, PAYROLL, WIKI, two_apps

FORM = "application/x-www-form-urlencoded"
USER = "alice@example.test"


@dataclass
class World:
    site: Site
    gateway: GatewayProcess
    configuration: dict[str, Any]

    def url(self, path: str, host: str = WIKI) -> str:
        return self.site.public_base(host) + path

    def message(self, number: int, host: str = WIKI, *, answers: str | None = None) -> bytes:
        """A posted Response, signed by the identity provider just now."""
        recipient = self.url(ACS, host)
        now = datetime.now(UTC)
        name = f"_{host}-{number}"
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=USER,
            recipient=recipient,
            audiences=((f"https://{host}",),),
            in_response_to=answers,
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, in_response_to=answers, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        return messages.body_of(messages.saml_form(signed))

    def post(
        self, browser: Browser, body: bytes, path: str = ACS, host: str = WIKI, kind: str = FORM
    ) -> Visit:
        return browser.follow(Step("POST", self.url(path, host), body, kind, "https://idp.example.test"))

    def get(self, browser: Browser, path: str, host: str = WIKI, **headers: str) -> Hop:
        return browser.send(Step("GET", self.url(path, host), extra_headers=tuple(headers.items())))

    def connect(self, server_name: str, credential: Credential | None = None) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        if credential is not None:
            files = credential.write(self.site.directory, "raw")
            context.load_cert_chain(files.certificate, files.private_key)
        plain = socket.create_connection(("127.0.0.1", self.site.https_port), timeout=10)
        return context.wrap_socket(plain, server_hostname=server_name)

    def raw(self, request: bytes, server_name: str = WIKI) -> bytes:
        """Send bytes over TLS, read to the end."""
        with self.connect(server_name) as connection:
            connection.sendall(request)
            received = b""
            while True:
                try:
                    piece = connection.recv(65_536)
                except (ssl.SSLError, ConnectionError):
                    return received
                if not piece:
                    return received
                received += piece


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = Site(tmp_path_factory.mktemp("site"))
    with two_apps(site) as configuration, gateway_process(configuration, site.directory) as gateway:
        yield World(site, gateway, configuration)


def seen_by_app(hop: Hop) -> dict[str, Any]:
    assert hop.status == 200, hop
    seen: dict[str, Any] = hop.json()
    return seen


def exchange(connection: ssl.SSLSocket) -> int:
    """One GET on a connection that stays open; its status."""
    connection.sendall(f"GET /echo HTTP/1.1\r\nHost: {WIKI}\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def headers_of(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key.lower() == name.lower()]


# A sign-on.


def test_the_app_gets_the_message_its_origin_and_a_statement_that_it_can_verify(world: World) -> None:
    browser = world.site.browser(world.site.issue())
    body = world.message(1)
    seen = seen_by_app(world.post(browser, body).last)
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", ACS, body.decode())
    assert headers_of(seen, "Origin") == ["https://idp.example.test"]
    assert headers_of(seen, "X-Device-Trust") == ["trusted"]
    assert headers_of(seen, "X-Device-Trust-Device") == [DEVICE]
    assert headers_of(seen, "X-Device-Trust-User") == [USER]
    assert headers_of(seen, "X-Forwarded-For") == ["127.0.0.1"]
    assert headers_of(seen, "X-Forwarded-Proto") == ["https"]
    assert headers_of(seen, "Cookie") == []

    (token,) = headers_of(seen, "X-Device-Trust-Assertion")
    jwks = world.get(browser, "/.well-known/jwks.json", "sso.example.test").json()
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="wiki", issuer="acme")
    assert (claims["sub"], claims["device"]) == (USER, DEVICE)
    assert claims["exp"] - claims["iat"] <= 300
    assert len(claims["cnf"]["x5t#S256"]) == 43


def test_the_locked_page_has_its_reason_in_header_log_and_metric(world: World) -> None:
    before = world.gateway.metric("devicetrust_decisions_total", app="wiki", reason="NO_CERTIFICATE")
    visit = world.post(world.site.browser(None), world.message(2))
    assert (visit.status, visit.device_trust_reason) == (403, "NO_CERTIFICATE")
    assert visit.last.header("Cache-Control") == "no-store"
    record = world.gateway.wait_for_record(
        lambda r: (
            r["event"] == "decision"
            and r["reason"] == "NO_CERTIFICATE"
            and r["reference_id"] in visit.last.text
        )
    )
    assert (record["user"], record["device_trust"]) == (USER, "not_trusted")
    after = world.gateway.metric("devicetrust_decisions_total", app="wiki", reason="NO_CERTIFICATE")
    assert after == before + 1


def test_the_locked_page_is_json_for_who_asks_for_json(world: World) -> None:
    browser = world.site.browser(None)
    browser.accept = "application/json"
    problem = world.post(browser, world.message(3)).last.json()
    assert (problem["status"], problem["reason"]) == (403, "NO_CERTIFICATE")


def test_a_revoked_certificate_is_locked_as_soon_as_the_crl_says_so(world: World) -> None:
    device = world.site.issue()
    assert world.post(world.site.browser(device), world.message(4)).status == 200
    world.site.revoke(device)
    deadline = time.monotonic() + 5
    number = 100
    while world.post(world.site.browser(device), world.message(number)).device_trust_reason != "REVOKED":
        assert time.monotonic() < deadline, "the CRL was not taken over"
        number += 1
        time.sleep(0.1)


def test_an_authn_request_that_passes_is_remembered(world: World) -> None:
    configuration = json.loads(json.dumps(world.configuration))
    configuration["apps"][0]["allow_unsolicited"] = False
    reconfigure(world, configuration)
    try:
        device = world.site.issue()
        refused = world.post(world.site.browser(device), world.message(5, answers=REQUEST_ID))
        assert (refused.status, refused.device_trust_reason) == (400, "MALFORMED")
        assert world.get(world.site.browser(None), "/login").status == 302
        assert world.post(world.site.browser(device), world.message(6, answers=REQUEST_ID)).status == 200
    finally:
        reconfigure(world, world.configuration)


# What does not go around the gateway.

AROUND = [
    ("a percent-encoded path", "/saml/%61cs", FORM),
    ("a doubled slash", "//saml/acs", FORM),
    ("a path parameter", "/saml/acs;v=1", FORM),
    ("another case", "/SAML/ACS", FORM),
    ("a trailing slash", "/saml/acs/", FORM),
    ("a dot segment", "/saml/./acs", FORM),
    ("another path", "/somewhere", FORM),
    ("multipart on the endpoint", ACS, "multipart/form-data; boundary=x"),
    ("JSON on the endpoint", ACS, "application/json"),
]


@pytest.mark.parametrize(("path", "kind"), [case[1:] for case in AROUND], ids=[case[0] for case in AROUND])
def test_a_message_does_not_reach_the_app_by(world: World, path: str, kind: str) -> None:
    visit = world.post(world.site.browser(None), world.message(7), path, kind=kind)
    assert (visit.status, visit.device_trust_reason) == (400, "MALFORMED"), visit


@pytest.mark.parametrize(
    "query", ["SAMLResponse=x", "samlresponse=x", "SAMLart=x", "%53AMLResponse=x", "wresult=x"]
)
def test_a_message_in_a_query_does_not_reach_the_app(world: World, query: str) -> None:
    hop = world.get(world.site.browser(None), f"/login/callback?{query}")
    assert (hop.status, hop.header("X-Device-Trust-Reason")) == (400, "MALFORMED")


def test_ordinary_traffic_passes_untouched(world: World) -> None:
    browser = world.site.browser(None)
    visit = world.post(browser, b"comment=a%20b&c[]=1&c[]=2", "/pages/1?x=%2F")
    seen = seen_by_app(visit.last)
    assert (seen["target"], seen["body"]) == ("/pages/1?x=%2F", "comment=a%20b&c[]=1&c[]=2")
    assert headers_of(seen, "X-Device-Trust") == []


def test_a_form_too_large_to_be_held_streams_and_its_sender_is_told_once_to_go_on(world: World) -> None:
    body = b"x=" + b"a" * 2_000_000
    fields = (f"Content-Length: {len(body)}", f"Content-Type: {FORM}", "Expect: 100-continue")
    answer = world.raw(request_to(WIKI, "POST /upload HTTP/1.1", *fields) + body)
    assert answer.count(b"100 Continue") == 1
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["body"] == body.decode()


def test_identity_headers_from_outside_never_reach_the_app(world: World) -> None:
    spoofed = [
        b"X-Device-Trust: trusted",
        b"x_device_trust: trusted",
        b"X-Device_Trust-User: root",
        b"X-SSL-Client-Verify: SUCCESS",
        b"SSL_CLIENT_CERT: x",
        b"X-Forwarded-Client-Cert: x",
        b"X-ARR-ClientCert: x",
        b"X-Client-Cert: x",
        b"X-Forwarded-For: 10.0.0.1",
        b"Forwarded: for=10.0.0.1",
        b"Connection: close, X-Forwarded-For",
    ]
    request = b"GET /echo HTTP/1.1\r\nHost: " + WIKI.encode() + b"\r\n" + b"\r\n".join(spoofed) + b"\r\n\r\n"
    seen = json.loads(world.raw(request).partition(b"\r\n\r\n")[2])
    names = {name.lower().replace("_", "-") for name, _ in seen["headers"]}
    assert not {
        n for n in names if n.startswith(("x-device-trust", "x-ssl", "ssl-", "x-client-cert", "x-arr"))
    }
    assert headers_of(seen, "X-Forwarded-For") == ["127.0.0.1"]
    assert headers_of(seen, "Forwarded") == []


def test_the_apps_answer_cannot_speak_for_the_gateway(world: World) -> None:
    hop = world.get(world.site.browser(None), "/app-headers")
    assert hop.header("X-App") == "1"
    assert hop.header("X-Device-Trust") is None


# Hosts.


def request_to(host: str, line: str = "GET / HTTP/1.1", *fields: str) -> bytes:
    return "\r\n".join((line, f"Host: {host}", "Connection: close", *fields, "", "")).encode()


MTLS = "n1.mtls.example.test"
REFUSED = [
    ("the Host field of another app", WIKI, request_to(PAYROLL), 421),
    ("no Host field", WIKI, b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Host fields", WIKI, request_to("a", "GET / HTTP/1.1", "Host: b"), 400),
    ("our own prefix on an app host", WIKI, request_to(WIKI, "GET /.devicetrust/x HTTP/1.1"), 404),
    ("another path on an mTLS host", MTLS, request_to(MTLS), 404),
    ("a made-up flow", MTLS, request_to(MTLS, "GET /challenge?flow=AAAA HTTP/1.1"), 400),
    ("a method that is none of ours", MTLS, request_to(MTLS, "PUT /challenge?flow=A HTTP/1.1"), 405),
    ("the dashboard's place", "sso.example.test", request_to("sso.example.test"), 404),
    ("line folding", WIKI, request_to(WIKI, "GET / HTTP/1.1", "A: b", " c"), 400),
    (
        "two framings",
        WIKI,
        request_to(WIKI, "POST / HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked"),
        400,
    ),
    ("a very long target", WIKI, request_to(WIKI, f"GET /{'a' * 40_000} HTTP/1.1"), 414),
    ("a very large head", WIKI, request_to(WIKI, "GET / HTTP/1.1", f"A: {'a' * 70_000}"), 431),
    ("CONNECT", WIKI, request_to(WIKI, "CONNECT wiki:443 HTTP/1.1"), 405),
    ("a fragment in the target", WIKI, request_to(WIKI, "GET /a#b HTTP/1.1"), 400),
]


@pytest.mark.parametrize(
    ("server_name", "request_bytes", "status"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_a_request_that_fits_no_host_is_refused(
    world: World, server_name: str, request_bytes: bytes, status: int
) -> None:
    assert world.raw(request_bytes, server_name).startswith(b"HTTP/1.1 %d " % status)


def test_a_name_that_nobody_serves_gets_the_alert_for_it(world: World) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        world.connect("nobody.example.test")


def test_garbage_ends_its_own_connection_and_nothing_else(world: World) -> None:
    with (
        world.connect(WIKI) as other,
        socket.create_connection(("127.0.0.1", world.site.https_port)) as garbage,
    ):
        garbage.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert garbage.recv(100) == b""
        assert exchange(other) == 200


def test_who_says_goodbye_behind_a_request_still_gets_the_answer(world: World) -> None:
    """close_notify ends one direction only (RFC 8446 §6.1)."""
    context = ssl.create_default_context(cadata=world.site.web.pem.decode())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=WIKI)

    def until_done(step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65_536))

    with socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10) as plain:
        until_done(tls.do_handshake)
        tls.write(request_to(WIKI, "GET /slow HTTP/1.1"))
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        plain.sendall(outgoing.read())
        assert until_done(lambda: tls.read(4096)).startswith(b"HTTP/1.1 200")


# An app whose every request rests on a session.


def signed_on(world: World, number: int) -> tuple[Browser, Credential]:
    device = world.site.issue()
    browser = world.site.browser(device)
    assert world.post(browser, world.message(number, PAYROLL), host=PAYROLL).status == 200
    return browser, device


def test_a_session_goes_with_every_request_and_says_who_it_is(world: World) -> None:
    browser, _ = signed_on(world, 20)
    seen = seen_by_app(world.get(browser, "/page", PAYROLL))
    assert headers_of(seen, "X-Device-Trust-User") == [USER]
    assert headers_of(seen, "X-Device-Trust") == ["trusted"]
    assert headers_of(seen, "Cookie") == []


def test_without_a_session_the_app_sees_a_stranger(world: World) -> None:
    hop = world.get(
        world.site.browser(None), "/page", PAYROLL, Cookie="app=stolen", Authorization="Basic eA=="
    )
    seen = seen_by_app(hop)
    assert headers_of(seen, "Cookie") == []
    assert headers_of(seen, "Authorization") == []
    assert headers_of(seen, "X-Device-Trust") == []


def test_revocation_ends_the_session_and_cuts_off_what_lasts(world: World) -> None:
    browser, device = signed_on(world, 21)
    cookie = browser.cookies.header_for(urlsplit(world.url("/", PAYROLL))) or ""
    with world.connect(PAYROLL) as tunnel:
        fields = (f"Host: {PAYROLL}", f"User-Agent: {browser.user_agent}", f"Cookie: {cookie}")
        lines = ("GET /socket HTTP/1.1", *fields, "Connection: Upgrade", "Upgrade: websocket", "", "")
        tunnel.sendall("\r\n".join(lines).encode())
        switched = tunnel.recv(4096)
        assert switched.startswith(b"HTTP/1.1 101"), switched
        tunnel.sendall(b"hello\n")
        assert tunnel.recv(100) == b"echo hello\n"
        world.site.revoke(device)
        tunnel.settimeout(5)
        try:
            after = tunnel.recv(100)
        except (ssl.SSLError, ConnectionError):
            after = b""
        assert after == b""
    browser.accept = "application/json"
    hop = world.get(browser, "/page", PAYROLL)
    assert (hop.status, hop.header("X-Device-Trust-Reason")) == (403, "REVOKED")
    browser.accept = "text/html"
    shown = browser.open(world.url("/page", PAYROLL))  # a person may show another certificate
    assert [hop.status for hop in shown.hops] == [303, 303, 403]
    assert shown.device_trust_reason == "REVOKED"
    assert world.gateway.metric("devicetrust_connections_closed_by_revocation_total") >= 1


def test_revocation_closes_the_idle_connections_of_a_session_and_no_other(world: World) -> None:
    sessions = [signed_on(world, 22), signed_on(world, 23)]
    with world.connect(PAYROLL) as lost, world.connect(PAYROLL) as kept:
        for connection, (browser, _) in zip((lost, kept), sessions, strict=True):
            cookie = browser.cookies.header_for(urlsplit(world.url("/", PAYROLL))) or ""
            fields = (f"Host: {PAYROLL}", f"User-Agent: {browser.user_agent}", f"Cookie: {cookie}")
            connection.sendall("\r\n".join(("GET /echo HTTP/1.1", *fields, "", "")).encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 200
            response.read()
        world.site.revoke(sessions[0][1])
        lost.settimeout(5)
        assert lost.recv(100) == b""
        kept.settimeout(0.2)
        with pytest.raises(TimeoutError):
            kept.recv(100)


# Running it.


def reconfigure(world: World, configuration: dict[str, Any]) -> None:
    before = sum(r["event"] == "reloaded" for r in world.gateway.log_records())
    world.gateway.write(configuration)
    deadline = time.monotonic() + 5
    while sum(r["event"] == "reloaded" for r in world.gateway.log_records()) == before:
        assert time.monotonic() < deadline, world.gateway.output()
        time.sleep(0.05)


def test_a_bad_configuration_is_refused_and_the_old_stays(world: World) -> None:
    broken = json.loads(json.dumps(world.configuration))
    broken["apps"][0]["polcy"] = "x"
    world.gateway.write(broken)
    refused = world.gateway.wait_for_record(lambda r: r["event"] == "reload_refused")
    assert "apps[0].polcy" in refused["detail"]
    assert world.get(world.site.browser(None), "/echo").status == 200
    reconfigure(world, world.configuration)


def test_a_reload_drops_no_connection(world: World) -> None:
    with world.connect(WIKI) as connection:
        for _ in range(2):
            assert exchange(connection) == 200
            before = sum(r["event"] == "reloaded" for r in world.gateway.log_records())
            world.gateway.reload()
            deadline = time.monotonic() + 5
            while sum(r["event"] == "reloaded" for r in world.gateway.log_records()) == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_a_changed_address_waits_for_a_restart_and_nobody_is_sent_there(world: World) -> None:
    changed = json.loads(json.dumps(world.configuration))
    changed["listen"]["https"] = [f"127.0.0.1:{free_port()}"]
    changed["org"]["name"] = "another"
    reconfigure(world, changed)
    reloaded = [r for r in world.gateway.log_records() if r["event"] == "reloaded"]
    assert reloaded[-1]["needs_restart"] == ["listen.https", "org.name"]
    browser = world.site.browser(world.site.issue())
    assert world.post(browser, world.message(401)).status == 200
    reconfigure(world, world.configuration)


def test_a_refused_configuration_leaves_the_pages_as_they_were(world: World) -> None:
    (world.site.directory / "pages").mkdir()
    (world.site.directory / "pages" / "error.html").write_text("another page")
    (world.site.directory / "no-ca.pem").write_text("no certificate")
    broken = json.loads(json.dumps(world.configuration))
    broken["pages"] = "pages"
    broken["apps"][0] |= {"upstream": "https://127.0.0.1:1", "upstream_ca": "no-ca.pem"}
    refused = sum(r["event"] == "reload_refused" for r in world.gateway.log_records())
    world.gateway.write(broken)
    deadline = time.monotonic() + 5
    while sum(r["event"] == "reload_refused" for r in world.gateway.log_records()) == refused:
        assert time.monotonic() < deadline, world.gateway.output()
        time.sleep(0.05)
    shown = world.get(world.site.browser(None), "/.devicetrust/x")
    assert shown.status == 404
    assert b"another page" not in shown.body
    reconfigure(world, world.configuration)


def test_a_host_that_is_taken_away_during_a_handshake_is_a_421(world: World) -> None:
    context = ssl.create_default_context(cadata=world.site.web.pem.decode())
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(received, sent, server_hostname=WIKI)
    with socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10) as plain:

        def go_on(step: Callable[[], bytes | int | None]) -> bytes | int | None:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    plain.sendall(sent.read())
                    more = plain.recv(65_536)
                    assert more, "the gateway hung up"
                    received.write(more)

        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        plain.sendall(sent.read())
        received.write(plain.recv(65_536))  # by now the gateway has chosen the context
        without = json.loads(json.dumps(world.configuration))
        del without["apps"][0]
        reconfigure(world, without)
        try:
            go_on(session.do_handshake)
            session.write(f"GET /echo HTTP/1.1\r\nHost: {WIKI}\r\n\r\n".encode())
            plain.sendall(sent.read())
            answer = go_on(lambda: session.read(4096))
        finally:
            reconfigure(world, world.configuration)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 421 ")


def test_a_long_path_is_cut_in_the_log(world: World) -> None:
    path = "/echo" + "a" * 20_000
    assert world.get(world.site.browser(None), path).status in (200, 404)
    record = world.gateway.wait_for_record(lambda r: r.get("path", "").startswith("/echoa"))
    assert record["path"] == path[:1024]


ROLES = [
    ("app", WIKI, "GET /echo HTTP/1.1", 200),
    ("app", WIKI, "GET /a#b HTTP/1.1", 400),
    ("mtls", MTLS, "GET /challenge?flow=x HTTP/1.1", 400),
    ("org", "sso.example.test", "GET /.well-known/jwks.json HTTP/1.1", 200),
    ("org", "sso.example.test", "GET /nothing HTTP/1.1", 404),
]


@pytest.mark.parametrize(("role", "host", "line", "status"), ROLES, ids=[f"{r[0]} {r[3]}" for r in ROLES])
def test_every_request_is_in_the_log(world: World, role: str, host: str, line: str, status: int) -> None:
    def wanted(record: dict[str, Any]) -> bool:
        values = (record["event"], record.get("role"), record.get("host"), record.get("status"))
        return values == ("request", role, host, status)

    before = sum(map(wanted, world.gateway.log_records()))
    world.raw(request_to(host, line), host)
    deadline = time.monotonic() + 5
    while sum(map(wanted, world.gateway.log_records())) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


METRICS = (
    "handshakes_total handshake_seconds_count challenges_total decisions_total messages_total requests_total "
    "request_seconds_count connections connections_closed_by_revocation_total revocation_seconds_count "
    "revoked_certificates crl_next_update_timestamp_seconds certificates_expiring change_number build_info"
)


@pytest.mark.parametrize("name", METRICS.split())
def test_the_metrics_of_the_contract_are_there(world: World, name: str) -> None:
    world.post(world.site.browser(None), world.message(int(time.monotonic() * 1000)))
    assert f"devicetrust_{name}" in world.gateway.metrics()


def test_an_address_that_is_taken_is_named_with_its_key(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with (
        two_apps(site) as configuration,
        socket.create_server(("127.0.0.1", site.https_port)),
        pytest.raises(ProcessFailedError) as failed,
        gateway_process(configuration, tmp_path),
    ):
        pass
    said = f"listen.https: cannot listen on 127.0.0.1:{site.https_port}: Address already in use"
    assert said in str(failed.value)


def test_a_second_listener_serves_too_and_a_drain_finishes_what_runs(tmp_path: Path, world: World) -> None:
    """Last: it uses a gateway of its own."""
    site = Site(tmp_path)
    (tmp_path / "idp.xml").write_text((world.site.directory / "idp.xml").read_text())
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(dict(TRUSTED_WINDOWS_ONLY)))
    configuration = site.configuration(world.configuration["identity_providers"], world.configuration["apps"])
    ipv6_port = free_port()
    configuration["listen"]["https"].append(f"[::1]:{ipv6_port}")
    answers: list[int] = []
    with gateway_process(configuration, tmp_path) as gateway:
        browser = site.browser(None)
        context = ssl.create_default_context(cadata=site.web.pem.decode())
        second = socket.create_connection(("::1", ipv6_port), timeout=10)
        with context.wrap_socket(second, server_hostname=WIKI) as over_ipv6:
            assert exchange(over_ipv6) == 200
        slow = threading.Thread(
            target=lambda: answers.append(browser.send(Step("GET", site.public_base(WIKI) + "/slow")).status)
        )
        slow.start()
        time.sleep(0.3)
        gateway.stop()
        slow.join(5)
    assert answers == [200]


# Over HTTP/2.


def run_curl(world: World, *arguments: str) -> list[str]:
    """What curl says of each of its requests: version, status, bytes of the answer."""
    hosts = [f"{host}:{world.site.https_port}:127.0.0.1" for host in (WIKI, PAYROLL)]
    root = world.site.directory / "web-root.pem"
    root.write_bytes(world.site.web.pem)
    done = subprocess.run(
        [
            *("curl", "-sS", "--no-progress-meter", "--cacert", str(root)),
            *("--resolve", hosts[0], "--resolve", hosts[1], "-o", "/dev/null"),
            *("-w", "%{http_version} %{response_code} %{size_download}\n", *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


@needs_program("curl")
def test_curl_speaks_http_2_if_it_may(world: World) -> None:
    target = world.url("/page")
    assert run_curl(world, target)[0].startswith("2 200 ")
    assert run_curl(world, "--http1.1", target)[0].startswith("1.1 200 ")


@needs_program("curl")
def test_curl_posts_a_large_body_and_gets_it_back_over_http_2(world: World) -> None:
    body = world.site.directory / "body"
    body.write_bytes(b"z" * 3_000_000)
    kind = "Content-Type: application/octet-stream"
    said = run_curl(world, "-H", kind, "--data-binary", f"@{body}", world.url("/page"))
    version, status, size = said[0].split()
    assert (version, status) == ("2", "200")
    assert int(size) > 3_000_000


@needs_program("curl")
def test_curl_sends_many_requests_at_once_over_http_2(world: World) -> None:
    urls = [arg for n in range(30) for arg in ("-o", "/dev/null", world.url(f"/page/{n}"))]
    said = run_curl(world, "--parallel", "--parallel-immediate", *urls)
    assert [line[:6] for line in said] == ["2 200 "] * len(said)
    assert len(said) >= 30


def http2(world: World, host: str) -> AbstractAsyncContextManager[Http2Client]:
    return http2_client("127.0.0.1", world.site.https_port, host, world.site.web.pem)


async def test_a_request_that_strays_to_another_host_is_421_and_the_connection_goes_on(world: World) -> None:
    async with http2(world, WIKI) as client:
        for host in (PAYROLL, "sso.example.test", f"n1.{MTLS_DOMAIN}", "nobody.example.test"):
            answer = await client.answer(client.begin(request_fields(b"/page", host=host)))
            assert answer.status == 421, host
        answer = await client.answer(client.begin(request_fields(b"/page", host=WIKI)))
        assert answer.status == 200
        assert b"strict-transport-security" not in answer.headers


async def test_revocation_cuts_off_the_requests_of_its_session_alone(world: World) -> None:
    browser, device = signed_on(world, 24)
    cookie = browser.cookies.header_for(urlsplit(world.url("/", PAYROLL))) or ""
    post = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"15"),
        (b"user-agent", browser.user_agent.encode()),
    ]
    async with http2(world, PAYROLL) as client:
        stranger = request_fields(b"/page", *post, method=b"POST", host=PAYROLL)
        resting = client.begin([*stranger, (b"cookie", cookie.encode())], ended=False)
        other = client.begin(stranger, ended=False)
        for stream in (resting, other):
            client.send(stream, b"begun", ended=False)
        await client.quiet(0.2)
        world.site.revoke(device)
        assert (await client.answer(resting)).reset == ErrorCodes.INTERNAL_ERROR
        client.send(other, b" and ended")
        answer = await client.answer(other)
        assert (answer.status, json.loads(answer.body)["body"]) == (200, "begun and ended")


def test_http_2_is_left_out_where_the_configuration_says_so(world: World) -> None:
    configuration = json.loads(json.dumps(world.configuration))
    configuration["listen"]["http2"] = False
    reconfigure(world, configuration)
    try:
        context = ssl.create_default_context(cadata=world.site.web.pem.decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain = socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10)
        with context.wrap_socket(plain, server_hostname=WIKI) as connection:
            assert connection.selected_alpn_protocol() == "http/1.1"
            assert exchange(connection) == 200
    finally:
        reconfigure(world, world.configuration)
