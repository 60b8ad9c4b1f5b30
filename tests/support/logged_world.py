"""A gateway that runs, with people who sign on and the System Log of its store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support import messages
from support.browser import Browser, Step, Visit
from support.gateway_process import GatewayProcess, gateway_process
from support.org_socket import OrgSocket
from support.org_world import issue_token
from support.site import Site
from support.two_apps import ACS, WIKI, two_apps

from gateway.adapters.store import Store
from gateway.model.org import TokenScope

SIGNED_ON = 'eventType eq "user.authentication.sso"'


@dataclass
class LoggedWorld:
    site: Site
    gateway: GatewayProcess
    org: OrgSocket
    token: str
    number: int = 0

    @property
    def spool(self) -> Path:
        return self.site.directory / "var/keys/spool"

    def sign_on(self, browser: Browser) -> Visit:
        """One more, with an assertion of its own."""
        self.number += 1
        recipient, now = self.site.public_base(WIKI) + ACS, datetime.now(UTC)
        name = f"_{WIKI}-{self.number}"
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=self.site.user,
            recipient=recipient,
            audiences=((f"https://{WIKI}",),),
            in_response_to=None,
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, in_response_to=None, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        body = messages.body_of(messages.saml_form(signed))
        form = "application/x-www-form-urlencoded"
        return browser.follow(Step("POST", recipient, body, form, "https://idp.example.test"))

    def is_full(self, visit: Visit) -> bool:
        return visit.last.status == 503 and "SYSTEM_LOG_FULL" in visit.last.text


@contextmanager
def logged_world(directory: Path, **changes: Any) -> Iterator[LoggedWorld]:
    site = Site(directory)
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///var/org.db"
        configuration["listen"]["workers"] = 2
        configuration.update(changes)
        store = Store.open(f"sqlite:///{directory}/var/org.db")
        token = issue_token(store, TokenScope.READ)
        store.close()
        with gateway_process(configuration, directory) as gateway:
            gateway.wait_for_records("org_started", 1)
            yield LoggedWorld(site, gateway, OrgSocket(directory / "var/keys", token), token)
            assert gateway.stderr_text() == ""
