"""A CRL of 200,000 entries in a running gateway: it is loaded, obeyed and replaced while sign-ons go on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from support import messages
from support.browser import Browser, Step, Visit
from support.gateway_process import GatewayProcess, gateway_process
from support.large_crl import crl_of
from support.pki import Credential
from support.site import Site
from support.two_apps import ACS, WIKI, two_apps

ENTRIES = 200_000
FORM = "application/x-www-form-urlencoded"


@dataclass
class World:
    site: Site
    gateway: GatewayProcess
    number: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sign_on(self, browser: Browser) -> Visit:
        """The Response is signed by the identity provider just now."""
        with self.lock:
            self.number += 1
            name = f"_{self.number}"
        recipient = self.site.public_base(WIKI) + ACS
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=self.site.user,
            recipient=recipient,
            audiences=((f"https://{WIKI}",),),
            in_response_to=None,
            now=datetime.now(UTC),
        )
        response = messages.Saml2Response(destination=recipient, in_response_to=None, now=datetime.now(UTC))
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        body = messages.body_of(messages.saml_form(signed))
        return browser.follow(Step("POST", recipient, body, FORM, "https://idp.example.test"))

    def publish(self, *revoked: Credential) -> None:
        """A new CRL of `ENTRIES` others and these, and wait until it is in force."""
        content = crl_of(self.site.corp, ENTRIES, [each.serial_number for each in revoked])
        new = self.site.directory / "corp.crl.new"
        new.write_bytes(content)
        new.replace(self.site.directory / "corp.crl")
        number = self.site.corp.crl_number
        self.gateway.wait_for_record(
            lambda r: r["event"] == "crl_loaded" and r["crl_number"] == number, seconds=60
        )


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = Site(tmp_path_factory.mktemp("site"))
    with two_apps(site) as configuration:
        (site.directory / "corp.crl").write_bytes(crl_of(site.corp, 2_000))
        with gateway_process(configuration, site.directory) as gateway:
            yield World(site, gateway)


@contextmanager
def signing_on(world: World, browser: Browser) -> Iterator[list[int]]:
    """Sign-ons, one after the other, each with two handshakes at least; yields their last status."""
    statuses: list[int] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            statuses.append(world.sign_on(browser).status)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_a_large_crl_is_replaced_and_obeyed_while_sign_ons_go_on(world: World) -> None:
    gateway = world.gateway
    world.publish()
    lost, kept = world.site.issue(), world.site.issue()
    browser = world.site.browser(lost)
    assert world.sign_on(browser).status == 200
    assert gateway.metric("devicetrust_revoked_certificates") == ENTRIES
    with signing_on(world, world.site.browser(kept)) as statuses:
        world.publish(lost)
        after = len(statuses)
        deadline = time.monotonic() + 30
        while len(statuses) < after + 2 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(statuses) > 3
    assert set(statuses) == {200}
    refused = world.sign_on(world.site.browser(lost))
    assert (refused.status, refused.device_trust_reason) == (403, "REVOKED")
    assert gateway.metric("devicetrust_revoked_certificates") == ENTRIES + 1
    handshakes = gateway.metric("devicetrust_handshakes_total")
    assert handshakes == gateway.metric("devicetrust_handshakes_total", result="ok") > len(statuses)
