"""Whether browsers pick the certificate without asking: the managed policies of Chromium and its relatives,
and Firefox's preference, on Linux."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.agent.artefacts.auto_select import (
    POLICY_NAME,
    PolicyFileRefused,
    auto_select_item,
    items_of,
    url_pattern,
)
from gateway.agent.platform import BrowserPolicy
from gateway.agent.platforms.linux_browsers import FIREFOX_POLICIES, MANAGED, MAX_FILES
from gateway.agent.platforms.public_files import read_text
from gateway.agent.stores.firefox_prefs import PREFERENCE, with_preference
from gateway.agent.stores.places import firefox_profiles
from gateway.model.checkup import Check, CheckGroup, Subject

CHROMIUM: Final = Subject(CheckGroup.HANDSHAKE, "policy of Chromium, Chrome and Edge")
FIREFOX: Final = Subject(CheckGroup.HANDSHAKE, "preference of Firefox")
_SET_UP: Final = (
    "as administrator: devicetrust-agent install, or distribute what `devicetrust browser-policy` prints; "
    "then see chrome://policy"
)


@dataclass(frozen=True, slots=True)
class PolicySeen:
    """Of one browser: the file that counts, None where none sets the policy, and the items in it."""

    browser: str
    file: str | None
    items: tuple[str, ...] = ()


def look_at_policies(root: Path) -> tuple[tuple[PolicySeen, ...], tuple[str, ...]]:
    """Of each browser, and what could not be read. Of two files that set one policy, browsers go by the one
    whose name is last."""
    found, unreadable = [], []
    for browser, directory in MANAGED.items():
        seen = PolicySeen(browser, None)
        for file in sorted((root / directory).glob("*.json"))[:MAX_FILES]:
            try:
                text = read_text(file) or "{}"
                items = items_of(str(file), text)
            except (OSError, PolicyFileRefused) as error:
                unreadable.append(str(error))
                continue
            if POLICY_NAME in json.loads(text):  # also an empty list takes the others' out of force
                seen = PolicySeen(browser, str(file), items)
        found.append(seen)
    return tuple(found), tuple(unreadable)


def judge_policies(
    policy: BrowserPolicy, seen: Sequence[PolicySeen], unreadable: Sequence[str] = ()
) -> Check:
    wanted = _value(auto_select_item(policy))
    good = [each for each in seen if any(_value(item) == wanted for item in each.items)]
    if good:
        return CHROMIUM.ok(f"{', '.join(each.browser for each in good)}: {url_pattern(policy)}")
    near = [(each, item) for each in seen for item in each.items if policy.mtls_domain in item]
    if near:
        each, item = near[0]
        return CHROMIUM.failed(f"{each.file} has {item}, where {auto_select_item(policy)} is needed", _SET_UP)
    broken = f"; {unreadable[0]}" if unreadable else ""
    return CHROMIUM.failed(f"none names {url_pattern(policy)}{broken}", _SET_UP)


def look_at_firefox(root: Path, home: Path, environment: Mapping[str, str]) -> list[str] | None:
    """Profiles whose Firefox would ask; None where there is no Firefox profile."""
    profiles = firefox_profiles(home, environment)
    if not profiles:
        return None
    try:
        if PREFERENCE in (read_text(root / FIREFOX_POLICIES) or ""):
            return []
    except OSError:
        pass
    asking = []
    for profile in profiles:
        try:
            text = read_text(profile.directory / "user.js") or ""
        except OSError:
            text = ""
        if with_preference(text) != text:
            asking.append(str(profile.directory))
    return asking


def judge_firefox(asking: Sequence[str] | None) -> Iterator[Check]:
    """Nothing is said of a Firefox that is not there."""
    if asking is None:
        return
    if asking:
        yield FIREFOX.warning(
            f"{', '.join(asking)}: Firefox asks which certificate to show", "run: devicetrust-agent --user"
        )
    else:
        yield FIREFOX.ok("it picks the certificate by itself")


def _value(item: str) -> object:
    try:
        value: object = json.loads(item)
    except (ValueError, RecursionError):
        return None
    return value
