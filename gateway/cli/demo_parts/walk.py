"""`devicetrust demo --once`: sign-ons that have to work, and sign-ons that must not, over real sockets.

Each case says what is to be seen; what was seen is read from the answers alone, as a person in front of the
browser would: the app's own page, or the gateway's status and `X-Device-Trust-Reason`.
"""

import asyncio
import base64
import html
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import aiohttp

from gateway.cli.demo_parts.client import Answer, Browser, DemoClientError, Step
from gateway.cli.demo_parts.idp import IdentityProvider, SignOnRequest
from gateway.cli.demo_parts.running import Demo
from gateway.cli.demo_parts.site import ALICE, APPS, BOB, PAYROLL, PEOPLE, WIKI, DemoApp

REVOCATION_SECONDS: Final = 10.0  # until the walk gives up waiting; the gateway needs well under one

_NOT_IN_POLICY: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_TITLE: Final = re.compile(r"<title>([^<]*)</title>")
_LET_IN: Final = "as alice@example.test, device trusted"


@dataclass(frozen=True, slots=True)
class Seen:
    """How a sign-on ended: ``forwarded``, ``locked``, ``refused`` or ``broken``; and the reason."""

    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    expected: Seen
    attempt: Callable[[Demo], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a case showed, and how long it took."""

    name: str
    expected: Seen
    seen: Seen
    seconds: float

    @property
    def passed(self) -> bool:
        return self.seen == self.expected


async def walk(demo: Demo) -> AsyncIterator[Result]:
    """Run the cases one after the other. Nothing raises: what cannot be done is ``broken``."""
    for case in cases():
        began = time.monotonic()
        try:
            seen = await case.attempt(demo)
        except (aiohttp.ClientError, DemoClientError, OSError, TimeoutError) as error:
            seen = Seen("broken", f"{type(error).__name__}: {error}")
        yield Result(case.name, case.expected, seen, time.monotonic() - began)


def cases() -> list[Case]:
    """The table of `--once`. The revocation stays last: it changes what the demo trusts."""
    let_in, not_in = Seen("forwarded", _LET_IN), Seen("locked", "NO_CERTIFICATE")
    forged = Seen("refused", "SIGNATURE_INVALID")
    return [
        Case("SAML, trusted device", let_in, _opens(WIKI, "alice")),
        Case("SAML, begun at the identity provider", let_in, _launches(WIKI, "alice")),
        Case("WS-Federation, trusted device", let_in, _opens(PAYROLL, "alice")),
        Case("SAML, no certificate", not_in, _opens(WIKI, None)),
        Case("WS-Federation, no certificate", not_in, _opens(PAYROLL, None)),
        Case("another CA's certificate", Seen("locked", "UNKNOWN_ISSUER"), _opens(WIKI, "foreign")),
        Case("expired certificate", Seen("locked", "EXPIRED"), _opens(WIKI, "expired")),
        Case("another user's certificate", Seen("locked", "USER_MISMATCH"), _opens(WIKI, "bob")),
        Case("platform that no rule lets in", Seen("locked", "DEFAULT_RULE"), _from_linux),
        Case("forged assertion (SAML)", forged, _forged_saml),
        Case("forged token (WS-Federation)", forged, _forged_ws_fed),
        Case("assertion signed by a stranger", forged, _signed_by_a_stranger),
        Case("replayed assertion", Seen("refused", "REPLAYED"), _replayed),
        Case("stolen ticket", Seen("refused", "TICKET_NOT_YOURS"), _stolen_ticket),
        Case("lost device, not yet revoked", let_in, _opens(WIKI, "lost")),
        Case("lost device, revoked a moment ago", Seen("locked", "REVOKED"), _revoked_live),
    ]


def _opens(app: DemoApp, device: str | None) -> Callable[[Demo], Awaitable[Seen]]:
    async def attempt(demo: Demo) -> Seen:
        browser = demo.browser(ALICE.user, device)
        return await _seen(demo, browser, await browser.open(demo.addresses.origin(app.host) + "/"))

    return attempt


def _launches(app: DemoApp, device: str | None) -> Callable[[Demo], Awaitable[Seen]]:
    async def attempt(demo: Demo) -> Seen:
        browser = demo.browser(ALICE.user, device)
        url = f"{demo.addresses.idp_origin}/launch/{app.name}"
        return await _seen(demo, browser, await browser.open(url))

    return attempt


async def _from_linux(demo: Demo) -> Seen:
    browser = demo.browser(ALICE.user, "alice", user_agent=_NOT_IN_POLICY)
    return await _seen(demo, browser, await browser.open(demo.addresses.origin(WIKI.host) + "/"))


async def _forged_saml(demo: Demo) -> Seen:
    """Bob writes Alice's name into his own assertion, in front of his own, trusted, computer."""
    fields = _message(demo, demo.identity_provider, WIKI, BOB.user)
    xml = base64.b64decode(fields["SAMLResponse"]).replace(BOB.user.encode(), ALICE.user.encode())
    return await _post(demo, "bob", WIKI, {"SAMLResponse": base64.b64encode(xml).decode("ascii")})


async def _forged_ws_fed(demo: Demo) -> Seen:
    fields = _message(demo, demo.identity_provider, PAYROLL, BOB.user)
    forged = {name: value.replace(BOB.user, ALICE.user) for name, value in fields.items()}
    return await _post(demo, "bob", PAYROLL, forged)


async def _signed_by_a_stranger(demo: Demo) -> Seen:
    """Everything is right but the key, which the metadata does not name."""
    apps = [demo.registered(app) for app in APPS]
    stranger = await asyncio.to_thread(IdentityProvider, demo.addresses.idp_origin, PEOPLE, apps)
    return await _post(demo, "alice", WIKI, _message(demo, stranger, WIKI, ALICE.user))


async def _replayed(demo: Demo) -> Seen:
    """The same assertion twice, each time with a good certificate."""
    fields = _message(demo, demo.identity_provider, WIKI, ALICE.user)
    first = await _post(demo, "alice", WIKI, fields)
    if first.outcome != "forwarded":
        return first
    return await _post(demo, "alice", WIKI, fields)


async def _stolen_ticket(demo: Demo) -> Seen:
    """A browser without a certificate sends the request that a trusted one was about to send."""
    fields = _message(demo, demo.identity_provider, WIKI, ALICE.user)
    start = Step(demo.addresses.assertion_url(WIKI), "POST", urlencode(fields).encode())
    trusted, thief = demo.browser(ALICE.user, "alice"), demo.browser(ALICE.user)
    stolen = await trusted.follow_until(start, lambda step: "dt_ticket=" in step.url)
    return await _seen(demo, thief, await thief.follow(stolen))


async def _revoked_live(demo: Demo) -> Seen:
    """Put the certificate on the CRL while everything runs, and sign on until it counts."""
    demo.devices.revoke("lost")
    attempt = _opens(WIKI, "lost")
    deadline = time.monotonic() + REVOCATION_SECONDS
    seen = await attempt(demo)
    while seen.outcome == "forwarded" and time.monotonic() < deadline:
        seen = await attempt(demo)
    return seen


def _message(demo: Demo, provider: IdentityProvider, app: DemoApp, user: str) -> dict[str, str]:
    person = next(person for person in PEOPLE if person.user == user)
    return provider.message(SignOnRequest(demo.registered(app)), person)


async def _post(demo: Demo, device: str, app: DemoApp, fields: dict[str, str]) -> Seen:
    browser = demo.browser(ALICE.user, device)
    step = Step(demo.addresses.assertion_url(app), "POST", urlencode(fields).encode())
    return await _seen(demo, browser, await browser.follow(step))


async def _seen(demo: Demo, browser: Browser, answer: Answer) -> Seen:
    """Let in is only who the app itself greets, with a statement that it has verified."""
    if answer.reason is not None:
        return Seen("locked" if answer.status == 403 else "refused", answer.reason)
    if answer.status != 200:
        return Seen("broken", f"status {answer.status}: {_title(answer.text)}")
    session = await browser.send(Step(answer.step.url), accept="application/json")
    try:
        statement = json.loads(session.text)["statement"]
        user, trust = statement["sub"], statement["device_trust"]
    except (ValueError, TypeError, KeyError):
        return Seen("broken", f"the app does not say who is signed on: {session.text[:80]}")
    return Seen("forwarded", f"as {user}, device {trust}")


def _title(text: str) -> str:
    """What a page is about; the beginning of what is no page."""
    found = _TITLE.search(text)
    return html.unescape(found[1]) if found else text[:80]
