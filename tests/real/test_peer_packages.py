"""The lock file of the npm peers: everything is pinned by hash, and nothing says where to get it."""

import json

from support.peers import NODE_PEERS

LOCK = json.loads((NODE_PEERS / "package-lock.json").read_text())
PACKAGES = {name: entry for name, entry in LOCK["packages"].items() if name}


def test_every_package_is_pinned_by_its_hash() -> None:
    unpinned = [name for name, entry in PACKAGES.items() if not entry.get("integrity", "").startswith("sha")]
    assert unpinned == []


def test_no_package_says_where_it_is_downloaded_from() -> None:
    assert [name for name, entry in PACKAGES.items() if "resolved" in entry] == []


def test_no_package_depends_on_a_git_repository() -> None:
    """Debian 12's npm cannot replace such a dependency by an override, so the lock file says the version."""
    depending = [
        (name, wanted)
        for name, entry in PACKAGES.items()
        for wanted in entry.get("dependencies", {}).values()
        if "/" in wanted or ":" in wanted.removeprefix("npm:")
    ]
    assert depending == []
