"""A policy, a zone and a simulation of a gateway that runs: what the API says is what sign-ons meet with."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support import messages
from support.browser import Step
from support.gateway_process import GatewayProcess, gateway_process
from support.org_api import Api, answered
from support.org_world import issue_token
from support.pki import Credential
from support.site import Site
from support.two_apps import ACS, WIKI, two_apps

from gateway.adapters.store import Store
from gateway.model.org import TokenScope

DENY = {"appSignOn": {"access": "DENY"}}
ALLOW = {"appSignOn": {"access": "ALLOW"}}
FORM = "application/x-www-form-urlencoded"
_NUMBERS = count(1)


@contextmanager
def with_store(directory: Path) -> Iterator[tuple[Site, Api, dict[str, Any]]]:
    site = Site(directory)
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///var/org.db"
        configuration["listen"]["workers"] = 2
        store = Store.open(f"sqlite:///{directory}/var/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        yield site, Api(site, token), configuration


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Site, Api]]:
    with with_store(tmp_path) as (site, api, configuration), running_with(site, configuration):
        yield site, api


def outcome(site: Site, credential: Credential | None) -> str | None:
    """What a sign-on of Alice meets with: none, or the reason of the locked page."""
    recipient = site.public_base(WIKI) + ACS
    now, name = datetime.now(UTC), f"_{next(_NUMBERS)}"
    assertion = messages.Saml2Assertion(
        assertion_id=name, user=site.user, recipient=recipient, audiences=((f"https://{WIKI}",),), now=now
    )
    response = messages.Saml2Response(destination=recipient, now=now)
    signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
    body = messages.body_of(messages.saml_form(signed))
    visit = site.browser(credential).follow(Step("POST", recipient, body, FORM, "https://idp.example.test"))
    return None if visit.status == 200 else visit.device_trust_reason


@contextmanager
def running_with(site: Site, configuration: dict[str, Any]) -> Iterator[None]:
    with gateway_process(configuration, site.directory) as gateway:
        gateway.wait_for_records("org_started", 1)
        yield


def policy_of_wiki(api: Api) -> str:
    found: list[dict[str, Any]] = []
    while not found:  # the files are taken up right after the start
        found = [each for each in answered(api, "GET", "/api/v1/policies") if each["app"] == "wiki"]
    return f"/api/v1/policies/{found[0]['id']}"


def test_a_policy_is_in_force_when_its_edit_is_answered(running: tuple[Site, Api]) -> None:
    site, api = running
    device = site.issue()
    assert outcome(site, device) is None
    assert outcome(site, None) == "NO_CERTIFICATE"
    path = policy_of_wiki(api)
    zone = answered(
        api,
        "POST",
        "/api/v1/zones",
        {"type": "IP", "name": "here", "gateways": [{"type": "CIDR", "value": "127.0.0.0/8"}]},
    )
    rule = answered(
        api,
        "POST",
        f"{path}/rules",
        {
            "name": "Nobody from here",
            "priority": 0,
            "conditions": {"network": {"connection": "ZONE", "include": [zone["id"]]}},
            "actions": DENY,
        },
    )
    assert rule["enforcement"]["missing"] == []
    assert len(rule["enforcement"]["workers"]) == 2
    for _ in range(4):  # both workers, most likely
        assert outcome(site, device) == "RULE Nobody from here"
    url = f"{path}/rules/{rule['id']}"
    answered(api, "PUT", url, {**rule, "name": "Everybody from here", "actions": ALLOW})
    assert outcome(site, None) is None
    simulated = answered(
        api,
        "POST",
        "/api/v1/policies/simulate",
        {"appInstance": "wiki", "policyContext": {"ip": "127.0.0.1"}},
    )
    assert simulated[0]["result"]["policies"][0]["rules"][0]["name"] == "Everybody from here"
    answered(api, "DELETE", path)
    assert outcome(site, device) is None
    assert outcome(site, None) == "NO_CERTIFICATE"


def test_an_edited_policy_counts_when_the_gateway_starts_again_and_cannot_read_the_store(
    tmp_path: Path,
) -> None:
    with with_store(tmp_path) as (site, api, configuration):
        with running_with(site, configuration):
            rule = {"name": "Nobody", "priority": 0, "actions": DENY}
            answered(api, "POST", f"{policy_of_wiki(api)}/rules", rule)
            assert outcome(site, site.issue()) == "RULE Nobody"
            kept = tmp_path / "var/keys/org-state"
            deadline = time.monotonic() + 20
            while not (kept.exists() and b"Nobody" in kept.read_bytes()):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert kept.stat().st_mode & 0o777 == 0o600
        for file in (tmp_path / "var").glob("org.db*"):
            file.unlink()
        (tmp_path / "var/org.db").write_bytes(b"no database" * 1_000)
        gateway = GatewayProcess(configuration, site.directory)  # which is never ready
        try:
            gateway.wait_for_records("started", 1, seconds=60.0)
            assert outcome(site, None) == "RULE Nobody"
        finally:
            gateway.kill()
