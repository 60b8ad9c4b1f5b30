"""Signing on, and how it ended: read from the answers alone, as a person in front of the browser would."""

import html
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gateway.cli.demo_parts.client import Answer, Browser, Step
from gateway.cli.demo_parts.messages import Person
from gateway.cli.demo_parts.running import Demo, Seen
from gateway.cli.demo_parts.site import ALICE, DemoApp

_TITLE: Final = re.compile(r"<title>([^<]*)</title>")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    expected: Seen
    attempt: Callable[[Demo], Awaitable[Seen]]


def opens(app: DemoApp, device: str | None, person: Person = ALICE) -> Callable[[Demo], Awaitable[Seen]]:
    """Somebody opens an app with the certificate in ``DEVICE.pem``, or none."""

    async def attempt(demo: Demo) -> Seen:
        browser = demo.browser(person.user, device)
        return await seen_by(demo, browser, await browser.open(demo.addresses.origin(app.host) + "/"))

    return attempt


async def seen_by(demo: Demo, browser: Browser, answer: Answer) -> Seen:
    """How it ended, which the demo remembers."""
    seen = await _read(browser, answer)
    demo.seen.append(seen)
    return seen


async def _read(browser: Browser, answer: Answer) -> Seen:
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
