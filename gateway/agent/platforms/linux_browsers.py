"""Browser policies of a Linux computer: files below /etc, for everybody who uses it.

Chromium and its relatives read every file of a directory; of one policy that two files set, one file counts
alone. So the items of all other files are taken into ours, whose name is read last and therefore counts.
Firefox has one file, in which our preference stands beside what others put there.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.agent.artefacts.auto_select import (
    PolicyFileRefused,
    auto_select_item,
    items_of,
    managed_policy,
)
from gateway.agent.artefacts.firefox_policy import with_firefox_policy, without_firefox_policy
from gateway.agent.platform import BrowserPolicy, Change
from gateway.agent.platforms.public_files import read_text, remove, write_public
from gateway.agent.stores.firefox_prefs import PREFERENCE

POLICY_FILE: Final = "zz-devicetrust.json"
# Below the root directory.
MANAGED: Final = {
    "Chromium": Path("etc/chromium/policies/managed"),
    "Google Chrome": Path("etc/opt/chrome/policies/managed"),
    "Microsoft Edge": Path("etc/opt/edge/policies/managed"),
}
FIREFOX_POLICIES: Final = Path("etc/firefox/policies/policies.json")
MAX_FILES: Final = 200


def set_up_browsers(root: Path, policy: BrowserPolicy, *, administrator: bool) -> tuple[Change, ...]:
    changes = [_managed(name, root / directory, policy, administrator) for name, directory in MANAGED.items()]
    if administrator:
        changes.append(_firefox(root / FIREFOX_POLICIES))
    return tuple(changes)


def remove_browser_setup(root: Path) -> Iterator[Change]:
    """Only what there was."""
    for name, directory in MANAGED.items():
        file = root / directory / POLICY_FILE
        try:
            if remove(file):
                yield Change(f"managed policy of {name}", str(file), True, "removed")
        except OSError as error:
            yield Change(f"managed policy of {name}", str(file), False, _why(error))
    file = root / FIREFOX_POLICIES
    try:
        before = read_text(file)
        after = before if before is None else without_firefox_policy(str(file), before)
        if before is None or after is None or PREFERENCE not in before or after == before:
            return
        if after:
            write_public(file, after)
        else:
            remove(file)
    except (OSError, PolicyFileRefused) as error:
        yield Change("policy of Firefox", str(file), False, _why(error))
    else:
        yield Change("policy of Firefox", str(file), True, "removed")


def _managed(name: str, directory: Path, policy: BrowserPolicy, administrator: bool) -> Change:
    what, file = f"managed policy of {name}", directory / POLICY_FILE
    try:
        others, unreadable = _items_of_others(directory)
        wanted = managed_policy(policy, others)
        present = read_text(file)
        if present == wanted and not _files_read_later(directory):
            return Change(what, str(file), True, "is there already")
        if not administrator:
            if present is not None and auto_select_item(policy) in items_of(str(file), present):
                return Change(what, str(file), True, "is there already")
            return Change(
                what,
                str(file),
                False,
                "needs an administrator: run devicetrust-agent install as root once on this computer, "
                "or distribute what `devicetrust browser-policy --chrome` prints",
            )
        write_public(file, wanted)
        if hiding := _files_read_later(directory):
            detail = f"{hiding[-1]} is read after it and sets the list, too: add the item there, or rename it"
            return Change(what, str(file), False, detail)
    except (OSError, PolicyFileRefused) as error:
        return Change(what, str(file), False, _why(error))
    return Change(what, str(file), True, "; ".join(unreadable))


def _items_of_others(directory: Path) -> tuple[list[str], list[str]]:
    """Items of all other files of the directory, and what is wrong with files that set none."""
    items: list[str] = []
    unreadable: list[str] = []
    try:
        files = sorted(directory.glob("*.json"))[:MAX_FILES]
    except OSError:
        files = []
    for file in files:
        if file.name == POLICY_FILE:
            continue
        try:
            items += items_of(str(file), read_text(file) or "{}")
        except (OSError, PolicyFileRefused) as error:
            unreadable.append(_why(error))
    return items, unreadable


def _files_read_later(directory: Path) -> list[str]:
    """Files that set the list and whose names come after ours: the last one counts, and hides ours."""
    later = []
    for file in sorted(directory.glob("*.json")):
        with suppress(OSError, PolicyFileRefused):
            if file.name > POLICY_FILE and items_of(str(file), read_text(file) or "{}"):
                later.append(str(file))
    return later


def _firefox(file: Path) -> Change:
    what = "policy of Firefox"
    try:
        before = read_text(file) or ""
        after = with_firefox_policy(str(file), before)
        if after is None:
            return Change(what, str(file), False, f"sets {PREFERENCE} to something else; that stays")
        if after != before:
            write_public(file, after)
    except (OSError, PolicyFileRefused) as error:
        return Change(what, str(file), False, _why(error))
    return Change(what, str(file), True, "it answers every site that asks for a certificate")


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
