"""A site whose gateway has an org that says what the test wants, and a CA in the store to go with it."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding
from support import fake_org, messages
from support.browser import Browser, Step, Visit
from support.fake_org import FakeStore
from support.gateway_process import GatewayProcess, gateway_process
from support.pki import Authority, Credential
from support.site import Site
from support.two_apps import ACS, PAYROLL, WIKI, two_apps

from gateway.model.device import CertificateId
from gateway.pki.certificate import parse_certificate

USER = "alice@example.test"
FORM = "application/x-www-form-urlencoded"


@dataclass
class EnforcedWorld:
    site: Site
    configuration: dict[str, Any]
    store: FakeStore
    own: Authority
    open: contextlib.ExitStack
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def device(self, name: str = "urn:device:1", user: str | None = USER) -> Credential:
        return self.own.issue_client(name, user)

    def named(self, credential: Credential) -> CertificateId:
        issuer = parse_certificate(self.own.certificate.public_bytes(Encoding.DER))
        return CertificateId(issuer.issuer_hash, credential.serial_number)

    def trust_own(self, **more: Any) -> int:
        """The org says which certificates its CA has."""
        pem = self.own.certificate.public_bytes(Encoding.PEM).decode()
        return self.store.state(authorities=[{"name": "builtin", "certificates": [pem]}], **more)

    @contextlib.contextmanager
    def gateway(self, workers: int = 2) -> Iterator[GatewayProcess]:
        self.configuration["listen"]["workers"] = workers
        with gateway_process(
            self.configuration,
            self.site.directory,
            program=fake_org.GATEWAY,
            environment=fake_org.ENVIRONMENT,
        ) as gateway:
            yield gateway

    def sign_on(
        self, credential: Credential | None, host: str = WIKI, browser: Browser | None = None
    ) -> Visit:
        recipient = self.site.public_base(host) + ACS
        now = datetime.now(UTC)
        name = f"_{next(self.numbers)}"
        assertion = messages.Saml2Assertion(
            assertion_id=name, user=USER, recipient=recipient, audiences=((f"https://{host}",),), now=now
        )
        response = messages.Saml2Response(destination=recipient, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        body = messages.body_of(messages.saml_form(signed))
        browser = browser or self.site.browser(credential)
        return browser.follow(Step("POST", recipient, body, FORM, "https://idp.example.test"))

    def outcome(self, credential: Credential | None, host: str = WIKI) -> int | str | None:
        """200, or the reason of the locked page."""
        visit = self.sign_on(credential, host)
        return visit.status if visit.status == 200 else visit.device_trust_reason

    def session(self, credential: Credential | None, browser: Browser | None = None) -> "Kept":
        """A connection of the app with sessions, kept alive after one request."""
        browser = browser or self.site.browser(credential)
        assert self.sign_on(credential, PAYROLL, browser).status == 200
        return self.open.enter_context(Kept(self.site, browser))


class Kept:
    """See `EnforcedWorld.session`."""

    def __init__(self, site: Site, browser: Browser) -> None:
        context = ssl.create_default_context(cadata=site.web.pem.decode())
        plain = socket.create_connection(("127.0.0.1", site.https_port), timeout=20)
        self.connection = context.wrap_socket(plain, server_hostname=PAYROLL)
        cookie = browser.cookies.header_for(urlsplit(site.public_base(PAYROLL) + "/")) or ""
        fields = (f"Host: {PAYROLL}", f"User-Agent: {browser.user_agent}", f"Cookie: {cookie}")
        self._request = "\r\n".join(("GET /echo HTTP/1.1", *fields, "", "")).encode()
        assert self.ask() == 200

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.connection.close()

    def ask(self) -> int:
        self.connection.sendall(self._request)
        response = http.client.HTTPResponse(self.connection)
        response.begin()
        response.read()
        return response.status

    def ends(self, seconds: float = 10) -> bool:
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(100) == b""
        except (ssl.SSLError, ConnectionError):
            return True

    def lasts(self) -> bool:
        self.connection.settimeout(0.2)
        try:
            self.connection.recv(100)
        except TimeoutError:
            self.connection.settimeout(20)
            return self.ask() == 200
        return False


@contextlib.contextmanager
def enforced_world(directory: Path) -> Iterator[EnforcedWorld]:
    """No gateway runs yet, and the org has nothing to say before `EnforcedWorld.trust_own`."""
    site = Site(directory)
    with two_apps(site) as configuration, contextlib.ExitStack() as opened:
        configuration["store"] = "sqlite:///never.db"
        configuration["device_trust"]["authorities"].append({"name": "builtin", "builtin": True})
        own = Authority.create_root("Own devices")
        yield EnforcedWorld(site, configuration, FakeStore(directory), own, opened)
