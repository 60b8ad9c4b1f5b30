"""`devicetrust demo --once`: sign-ons that have to work, and sign-ons that must not, over real sockets.

Each case says what is to be seen; what was seen is read from the answers alone: the app's own page, or the
gateway's status and `X-Device-Trust-Reason`; and of the agent, what it says.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from gateway.cli.demo_parts.client import DemoClientError, Step
from gateway.cli.demo_parts.idp import IdentityProvider, SignOnRequest
from gateway.cli.demo_parts.messages import Person
from gateway.cli.demo_parts.running import Demo, Seen
from gateway.cli.demo_parts.signing_on import Case, opens, seen_by
from gateway.cli.demo_parts.site import ALICE, APPS, BOB, PAYROLL, PEOPLE, WIKI, DemoApp
from gateway.cli.demo_parts.walk_enrollment import by_code, by_kerberos, devicetrust, suspended_person

PATIENCE_SECONDS: Final = 10.0  # until the walk gives up waiting; everything needs well under one

_CANNOT_BE_DONE: Final = (
    aiohttp.ClientError,
    DemoClientError,
    OSError,
    TimeoutError,
)
_NOT_IN_POLICY: Final = "Mozilla/5.0 (X11; FreeBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0"
_LET_IN: Final = "as alice@example.test, device trusted"
_BOB_IN: Final = "as bob@example.test, device trusted"


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
    for case in cases(kerberos=demo.domain is not None):
        began = time.monotonic()
        try:
            seen = await case.attempt(demo)
        except _CANNOT_BE_DONE as error:
            seen = Seen("broken", f"{type(error).__name__}: {error}")
        yield Result(case.name, case.expected, seen, time.monotonic() - began)


def cases(*, kerberos: bool) -> list[Case]:
    """The table of `--once`. Those that change whom the demo trusts stay last, in their order. ``kerberos``:
    there is a domain."""
    let_in, not_in = Seen("forwarded", _LET_IN), Seen("locked", "NO_CERTIFICATE")
    bob_in, revoked = Seen("forwarded", _BOB_IN), Seen("locked", "REVOKED")
    inactive_device = Seen("locked", "DEVICE_DEACTIVATED")
    inactive_user = Seen("locked", "USER_DEACTIVATED")
    forged = Seen("refused", "SIGNATURE_INVALID")
    return [
        Case("SAML, trusted device", let_in, opens(WIKI, "alice")),
        Case("SAML, begun at the identity provider", let_in, _launches(WIKI, "alice")),
        Case("WS-Federation, trusted device", let_in, opens(PAYROLL, "alice")),
        Case("SAML, no certificate", not_in, opens(WIKI, None)),
        Case("WS-Federation, no certificate", not_in, opens(PAYROLL, None)),
        Case("another CA's certificate", Seen("locked", "UNKNOWN_ISSUER"), opens(WIKI, "foreign")),
        Case("expired certificate", Seen("locked", "EXPIRED"), opens(WIKI, "expired")),
        Case("another user's certificate", Seen("locked", "USER_MISMATCH"), opens(WIKI, "bob")),
        Case("platform that no rule lets in", Seen("locked", "DEFAULT_RULE"), _from_freebsd),
        Case("forged assertion (SAML)", forged, _forged_saml),
        Case("forged token (WS-Federation)", forged, _forged_ws_fed),
        Case("assertion signed by a stranger", forged, _signed_by_a_stranger),
        Case("replayed assertion", Seen("refused", "REPLAYED"), _replayed),
        Case("stolen ticket", Seen("refused", "TICKET_NOT_YOURS"), _stolen_ticket),
        *by_code(kerberos=kerberos),
        *(by_kerberos() if kerberos else ()),
        Case("the other CA that is trusted", let_in, opens(WIKI, "corp")),
        Case("its device, deactivated here", inactive_device, _step("corp", "deactivate")),
        Case("its device, activated again", let_in, _step("corp", "activate")),
        Case("its device, on its own CRL", revoked, _revoked_by_crl),
        Case("device suspended", inactive_device, _step("bob", "suspend", BOB)),
        Case("device unsuspended", bob_in, _step("bob", "unsuspend", BOB)),
        Case("user suspended", inactive_user, _user_step("bob", "suspend", BOB)),
        *(suspended_person() if kerberos else ()),
        Case("user unsuspended", bob_in, _user_step("bob", "unsuspend", BOB)),
        Case("user deactivated: all certificates revoked", revoked, _user_step("bob", "deactivate", BOB)),
        Case("user activated and enrolled anew", bob_in, _enrolled_anew),
        Case("lost device, not yet revoked", let_in, opens(WIKI, "lost")),
        Case("lost device, revoked a moment ago", revoked, _revoked_live),
        Case("a connection that was open when revoked", Seen("closed", "REVOKED"), _revoked_while_open),
        Case("every sign-on in the System Log", Seen("logged", "once each"), _logged),
        Case("the log's chain of hashes", Seen("verified", "no findings"), _log_verified),
        Case("devicetrust doctor", Seen("healthy", "nothing failed"), _doctor),
    ]


def _step(device: str, step: str, person: Person = ALICE) -> Callable[[Demo], Awaitable[Seen]]:
    """A device goes through a step of its life, over the API, and a person signs on from it."""

    async def attempt(demo: Demo) -> Seen:
        done = await demo.api.post(f"/devices/{demo.org.devices[device].device_id}/lifecycle/{step}")
        return replace(await opens(WIKI, device, person)(demo), note=_in_force(done))

    return attempt


def _user_step(device: str, step: str, person: Person) -> Callable[[Demo], Awaitable[Seen]]:
    """The same for a person."""

    async def attempt(demo: Demo) -> Seen:
        done = await demo.api.post(f"/users/{demo.org.user_ids[person.user]}/lifecycle/{step}")
        return replace(await opens(WIKI, device, person)(demo), note=_in_force(done))

    return attempt


def _launches(app: DemoApp, device: str | None) -> Callable[[Demo], Awaitable[Seen]]:
    async def attempt(demo: Demo) -> Seen:
        browser = demo.browser(ALICE.user, device)
        url = f"{demo.addresses.idp_origin}/launch/{app.name}"
        return await seen_by(demo, browser, await browser.open(url))

    return attempt


async def _from_freebsd(demo: Demo) -> Seen:
    browser = demo.browser(ALICE.user, "alice", user_agent=_NOT_IN_POLICY)
    return await seen_by(demo, browser, await browser.open(demo.addresses.origin(WIKI.host) + "/"))


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
    return await seen_by(demo, thief, await thief.follow(stolen))


async def _revoked_by_crl(demo: Demo) -> Seen:
    """Put the certificate on its CA's list while everything runs, and sign on until it counts."""
    demo.others.revoke_computer()
    attempt = opens(WIKI, "corp")
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen = await attempt(demo)
    while seen.outcome == "forwarded" and time.monotonic() < deadline:
        seen = await attempt(demo)
    return seen


async def _enrolled_anew(demo: Demo) -> Seen:
    await demo.api.post(f"/users/{demo.org.user_ids[BOB.user]}/lifecycle/activate")
    await asyncio.to_thread(_enroll, demo, "bob")
    return await opens(WIKI, "bob", BOB)(demo)


def _enroll(demo: Demo, device: str) -> None:
    from gateway.cli.demo_parts.org import enroll_again

    enroll_again(demo.directory, demo.configuration, demo.org, device)


async def _revoked_live(demo: Demo) -> Seen:
    """No waiting and no second try: what the API has answered is in force."""
    thumbprint = demo.org.devices["lost"].thumbprint
    done = await demo.api.post(f"/certificates/{thumbprint}/lifecycle/revoke")
    return replace(await opens(WIKI, "lost")(demo), note=_in_force(done))


async def _revoked_while_open(demo: Demo) -> Seen:
    """Alice works in the payroll (`enforcement: session`), and between two requests she is revoked."""
    browser = demo.browser(ALICE.user, "alice")
    url = demo.addresses.origin(PAYROLL.host) + "/"
    seen = await seen_by(demo, browser, await browser.open(url))
    if seen.outcome != "forwarded":
        return seen
    user_id = demo.org.user_ids[ALICE.user]
    async with browser.hold(url) as connection:
        begun = time.monotonic()
        done = await demo.api.post(f"/users/{user_id}/lifecycle/revoke_trust_certificates")
        async with asyncio.timeout(PATIENCE_SECONDS):
            milliseconds = (await connection - begun) * 1000
    after = await seen_by(demo, browser, await browser.open(url))
    note = f"{_in_force(done)}; closed {milliseconds:.0f} ms after the call began"
    return Seen("closed", after.reason, note) if after.outcome == "locked" else after


def _in_force(done: Any) -> str:
    """What the API says of a change."""
    enforcement = done["enforcement"]
    if enforcement["missing"]:
        return f"not applied by {len(enforcement['missing'])} workers"
    count = len(enforcement["workers"])
    return f"in force in {count} workers after {enforcement['seconds'] * 1000:.0f} ms"


async def _logged(demo: Demo) -> Seen:
    """As many events as there were sign-ons that went on, and sign-ons that met the locked page."""
    wanted = {
        event: sum(seen.outcome == outcome for seen in demo.seen)
        for event, outcome in (
            ("user.authentication.sso", "forwarded"),
            ("application.policy.sign_on.deny_access", "locked"),
        )
    }
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = {event: await _count(demo, event) for event in wanted}
        if found == wanted:
            return Seen("logged", "once each", f"{sum(found.values())} sign-ons")
        if time.monotonic() > deadline:
            return Seen("broken", f"{found}, not {wanted}")
        await asyncio.sleep(0.05)


async def _count(demo: Demo, event: str) -> int:
    return len(await demo.api.get("/logs", filter=f'eventType eq "{event}"', limit="1000"))


async def _log_verified(demo: Demo) -> Seen:
    status, said = await devicetrust(demo, "log", "verify", "--json")
    if status != 0:
        return Seen("broken", said[:200])
    return Seen("verified", "no findings", f"{json.loads(said)['rows']} rows")


async def _doctor(demo: Demo) -> Seen:
    status, said = await devicetrust(demo, "doctor", "--json")
    if status not in (0, 1):
        return Seen("broken", said[:200])
    checks = json.loads(said)["checks"]
    failed = [check["name"] for check in checks if check["state"] == "failed"]
    warnings = sum(check["state"] == "warning" for check in checks)
    note = f"{len(checks)} checks, {warnings} with a warning"
    return Seen("found", ", ".join(failed), note) if failed else Seen("healthy", "nothing failed", note)


def _message(demo: Demo, provider: IdentityProvider, app: DemoApp, user: str) -> dict[str, str]:
    person = next(person for person in PEOPLE if person.user == user)
    return provider.message(SignOnRequest(demo.registered(app)), person)


async def _post(demo: Demo, device: str, app: DemoApp, fields: dict[str, str]) -> Seen:
    browser = demo.browser(ALICE.user, device)
    step = Step(demo.addresses.assertion_url(app), "POST", urlencode(fields).encode())
    return await seen_by(demo, browser, await browser.follow(step))
