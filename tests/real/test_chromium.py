"""A managed Chromium signs on through the gateway, by SAML and by WS-Federation.

Eight apps stand behind one gateway: both protocols, both ways to the challenge, and identity providers
with and without a ``form-action`` policy on their pages, which Chromium enforces along redirects.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Response
from support import chromium as chromium_support
from support import peers as peers_support
from support.browser import WINDOWS_CHROME, user_of
from support.chromium import auto_select, chromium
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs
from support.peers import IdentityProviderKind, Peers, RelyingParty, RelyingPartyKind, User
from support.pki import Credential
from support.site import LEARN_MORE_URL, MTLS_DOMAIN, TRUSTED_LINUX_ONLY, Site

pytestmark = [
    pytest.mark.real,
    needs("Chromium", chromium_support.missing_parts),
    needs("federation peers", peers_support.missing_parts),
]

ANSWERED = "document.body?.innerText.includes('\"login\"')"
TABS = 20
TABS_SECONDS = 90  # on a small machine that does other things, too
PROTOCOLS = {
    "saml": (IdentityProviderKind.SAMLP, RelyingPartyKind.PASSPORT_SAML),
    "wsfed": (IdentityProviderKind.WSFED, RelyingPartyKind.PASSPORT_WSFED),
}
CHALLENGES = ("form", "redirect")
IDP_PAGES = ("open", "guarded")  # guarded: with a form-action policy
LINUX_APP = "linux"  # lets trusted Linux computers in; the others, trusted Windows computers


def app_name(protocol: str, challenge: str, idp_page: str) -> str:
    return f"{protocol}-{challenge}-{idp_page}"


@dataclass(frozen=True, slots=True)
class Running:
    site: Site
    gateway: GatewayProcess
    apps: dict[str, RelyingParty]
    user: User


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    user = User()
    with Peers() as peers:
        site = Site(tmp_path_factory.mktemp("site"), user=user.name)
        policy = f"form-action 'self' https://*.apps.example.test:{site.https_port}"
        headers = {"open": {}, "guarded": {"Content-Security-Policy": policy}}
        apps, app_entries, idp_entries = {}, [], []
        for protocol, idp_page in product(PROTOCOLS, IDP_PAGES):
            idp_kind, app_kind = PROTOCOLS[protocol]
            names = [app_name(protocol, challenge, idp_page) for challenge in CHALLENGES]
            challenges = dict(zip(names, CHALLENGES, strict=True))
            if (protocol, idp_page) == ("saml", "open"):
                challenges[LINUX_APP] = "form"
            planned = [
                peers.plan(app_kind, site.public_base(f"{name}.apps.example.test")) for name in challenges
            ]
            idp = peers.start_identity_provider(
                idp_kind, planned, user=user, response_headers=headers[idp_page]
            )
            idp_entries.append(site.identity_provider(f"{protocol}-{idp_page}", idp))
            for (name, challenge), plan in zip(challenges.items(), planned, strict=True):
                apps[name] = peers.start_relying_party(plan, idp)
                entry = {"identity_provider": f"{protocol}-{idp_page}", "challenge": challenge}
                if name == LINUX_APP:
                    entry["policy"] = TRUSTED_LINUX_ONLY
                app_entries.append(site.app(name, plan, **entry))
        configuration = site.configuration(idp_entries, app_entries)
        with gateway_process(configuration, site.directory) as gateway:
            yield Running(site, gateway, apps, user)


def managed_chromium(
    running: Running, *certificates: Credential, user_agent: str | None = WINDOWS_CHROME
) -> AbstractContextManager[BrowserContext]:
    """A browser as the administrators of the site set it up. ``user_agent`` None: its own, of Linux."""
    return chromium(
        trusted_root_pem=running.site.web.pem,
        client_certificates=certificates,
        policies=auto_select(f"https://[*.]{MTLS_DOMAIN}", "Corp devices"),
        user_agent=user_agent,
    )


def is_verdict(response: Response) -> bool:
    """The gateway's or the app's answer to the request that brings the ticket."""
    return "dt_ticket=" in response.url


def sign_on(page: Page, app: RelyingParty) -> Response:
    with page.expect_response(is_verdict) as verdict:
        page.goto(app.login_url, wait_until="commit")
    return verdict.value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("challenge", "idp_page"), [("form", "open"), ("form", "guarded"), ("redirect", "open")]
)
def test_a_trusted_device_gets_in_without_a_prompt(
    running: Running, protocol: str, challenge: str, idp_page: str
) -> None:
    with managed_chromium(running, running.site.issue()) as context:
        page = context.pages[0]
        response = sign_on(page, running.apps[app_name(protocol, challenge, idp_page)])
        assert (response.status, user_of(response.text())) == (200, running.user.name)


def test_a_trusted_linux_computer_gets_in_by_what_its_browser_says_itself(running: Running) -> None:
    with managed_chromium(running, running.site.issue(), user_agent=None) as context:
        response = sign_on(context.pages[0], running.apps[LINUX_APP])
        assert (response.status, user_of(response.text())) == (200, running.user.name)


@pytest.mark.parametrize(
    ("certificates", "user_agent", "app", "reason"),
    [
        pytest.param(False, None, LINUX_APP, "NO_CERTIFICATE", id="Linux without a certificate"),
        pytest.param(True, WINDOWS_CHROME, LINUX_APP, "DEFAULT_RULE", id="Windows where only Linux may"),
        pytest.param(
            True, None, app_name("saml", "form", "open"), "DEFAULT_RULE", id="Linux where only Windows may"
        ),
    ],
)
def test_a_rule_for_one_platform_lets_no_other_in(
    running: Running, certificates: bool, user_agent: str | None, app: str, reason: str
) -> None:
    installed = [running.site.issue()] if certificates else []
    with managed_chromium(running, *installed, user_agent=user_agent) as context:
        page = context.pages[0]
        with page.expect_response(lambda response: response.status == 403) as locked:
            page.goto(running.apps[app].login_url, wait_until="commit")
        assert locked.value.header_value("X-Device-Trust-Reason") == reason


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_redirect_from_a_page_with_a_form_action_policy_is_blocked_by_the_browser(
    running: Running, protocol: str
) -> None:
    """Why ``challenge: form`` is the default: this block is silent for the person in front of it."""
    app = running.apps[app_name(protocol, "redirect", "guarded")]
    with managed_chromium(running, running.site.issue()) as context:
        page = context.pages[0]
        arrived: list[str] = []
        page.on("response", lambda response: arrived.append(response.url))
        with page.expect_console_message(lambda message: "form-action" in message.text):
            page.goto(app.login_url, wait_until="commit")
        page.wait_for_timeout(500)  # nothing comes after it
        assert [url for url in arrived if MTLS_DOMAIN in url or "dt_ticket=" in url] == []


def nothing(_: Running) -> list[Credential]:
    return []


def foreign(running: Running) -> list[Credential]:
    return [running.site.issue(authority=running.site.other)]


def expired(running: Running) -> list[Credential]:
    return [running.site.issue_expired()]


def revoked(running: Running) -> list[Credential]:
    credential = running.site.issue()
    running.site.revoke(credential)
    count = len(running.site.revoked)
    running.gateway.wait_for_metric("devicetrust_revoked_certificates", count, authority="corp")
    return [credential]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("certificates", "reason"),
    [
        pytest.param(nothing, "NO_CERTIFICATE", id="no certificate at all"),
        pytest.param(foreign, "NO_CERTIFICATE", id="another authority's certificate is not even presented"),
        pytest.param(expired, "NO_CERTIFICATE", id="an expired certificate is not even presented"),
        pytest.param(revoked, "REVOKED", id="a revoked certificate"),
    ],
)
def test_an_untrusted_device_sees_the_locked_page(
    running: Running,
    protocol: str,
    certificates: Callable[[Running], list[Credential]],
    reason: str,
    tmp_path: Path,
) -> None:
    with managed_chromium(running, *certificates(running)) as context:
        page = context.pages[0]
        response = sign_on(page, running.apps[app_name(protocol, "form", "open")])
        assert (response.status, response.header_value("X-Device-Trust-Reason")) == (403, reason)
        page.wait_for_load_state()
        assert page.get_by_text("contact your administrator").first.is_visible()
        assert page.get_by_role("link", name="Learn more").get_attribute("href") == LEARN_MORE_URL
        screenshot = tmp_path / f"locked-{protocol}-{reason}.png"
        page.screenshot(path=screenshot, full_page=True)
        assert screenshot.stat().st_size > 5_000


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_twenty_tabs_that_open_at_once_all_get_in(running: Running, protocol: str) -> None:
    app = running.apps[app_name(protocol, "form", "open")]
    with managed_chromium(running, running.site.issue()) as context:
        pages = open_at_once(context, app.login_url)
        for page in pages:
            page.wait_for_function(ANSWERED, timeout=TABS_SECONDS * 1000)
        assert [user_of(page.inner_text("body")) for page in pages] == [running.user.name] * TABS
        flow_cookies = [c for c in context.cookies() if c["name"].startswith("__Host-dt-flow-")]
        assert flow_cookies == []


def open_at_once(context: BrowserContext, url: str) -> list[Page]:
    pages = [context.new_page() for _ in range(TABS)]
    for page in pages:
        page.evaluate("url => { setTimeout(() => { location.href = url }, 0) }", url)
    return pages
