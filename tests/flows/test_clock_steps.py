"""The wall clock steps under a running gateway: nobody is let in who should not be, and all is well when it
is right again.

The steps are real to the gateway's processes: libfaketime stands between them and the clock. The monotonic
clock, which deadlines go by, is left alone, as it is when a clock is set.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support import messages
from support.browser import FORM_TYPE, Step, Visit
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs
from support.processes import http_get
from support.site import Site
from support.two_apps import ACS, WIKI, two_apps

LIBRARIES = [str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
pytestmark = needs("faketime", lambda: [] if LIBRARIES else ["libfaketime"])
NONE = timedelta(0)


@dataclass
class World:
    site: Site
    gateway: GatewayProcess
    step_file: Path

    def step(self, by: timedelta) -> None:
        """Set the gateway's clock to so much ahead of ours."""
        new = self.step_file.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}s\n")
        new.replace(self.step_file)

    def message(self, number: int, at: timedelta = NONE) -> bytes:
        """A Response signed so much ahead of our clock, good for some minutes."""
        recipient = self.site.public_base(WIKI) + ACS
        now = datetime.now(UTC) + at
        assertion = messages.Saml2Assertion(
            assertion_id=f"_step-{number}",
            user="alice@example.test",
            recipient=recipient,
            audiences=((f"https://{WIKI}",),),
            in_response_to=None,
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, in_response_to=None, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=f"_step-{number}")
        return messages.body_of(messages.saml_form(signed))

    def sign_on(self, body: bytes) -> tuple[int, str | None]:
        """(status, reason) of the last hop, with the certificate of a trusted device."""
        browser = self.site.browser(self.site.issue())
        url = self.site.public_base(WIKI) + ACS
        visit: Visit = browser.follow(Step("POST", url, body, FORM_TYPE, "https://idp.example.test"))
        return visit.last.status, visit.last.header("x-device-trust-reason")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = Site(tmp_path_factory.mktemp("site"))
    step_file = site.directory / "clock-step"
    step_file.write_text("+0s\n")
    environment = {
        "LD_PRELOAD": LIBRARIES[0],
        "FAKETIME_TIMESTAMP_FILE": str(step_file),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with (
        two_apps(site) as configuration,
        gateway_process(configuration, site.directory, environment=environment) as gateway,
    ):
        yield World(site, gateway, step_file)


@pytest.fixture(autouse=True)
def right_again(world: World) -> Iterator[None]:
    yield
    world.step(NONE)


def test_a_clock_that_runs_ahead_of_the_crls_locks_and_says_why(world: World) -> None:
    assert world.sign_on(world.message(1)) == (200, None)
    ahead = timedelta(hours=5)  # the CRLs are good for two
    world.step(ahead)
    assert world.sign_on(world.message(2, ahead)) == (403, "REVOCATION_UNKNOWN")
    assert http_get(world.gateway.metrics_port, "/readyz")[0] == 503
    world.step(NONE)
    assert world.sign_on(world.message(3)) == (200, None)


def test_what_was_used_stays_used_when_the_clock_is_set_back_and_right_again(world: World) -> None:
    body = world.message(4)
    assert world.sign_on(body) == (200, None)
    for back in (timedelta(seconds=-30), timedelta(hours=-1), NONE):
        world.step(back)
        status, _ = world.sign_on(body)
        assert status == 400, back


def test_a_clock_that_is_behind_takes_no_message_of_the_future(world: World) -> None:
    world.step(timedelta(hours=-1))
    assert world.sign_on(world.message(5)) == (400, "NOT_YET_VALID_ASSERTION")


def test_a_clock_that_is_ahead_takes_no_message_of_the_past(world: World) -> None:
    world.step(timedelta(minutes=30))
    assert world.sign_on(world.message(6)) == (400, "EXPIRED_ASSERTION")


def test_connections_that_are_open_stay_open(world: World) -> None:
    """Deadlines go by a clock that nobody sets."""
    context = ssl.create_default_context(cadata=world.site.web.pem.decode())
    plain = socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10)
    with context.wrap_socket(plain, server_hostname=WIKI) as connection:
        for step in (NONE, timedelta(days=400), timedelta(days=-400), NONE):
            world.step(step)
            connection.sendall(f"GET /echo HTTP/1.1\r\nHost: {WIKI}\r\n\r\n".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            response.read()
            assert response.status == 200, step
