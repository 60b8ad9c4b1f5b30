"""Firefox: `policies.json` for all people of a computer (mozilla.github.io/policy-templates/#preferences).

Firefox knows no rule by site: it answers every request for a certificate with the one that fits. Where
others ask for certificates, too, and people should choose, leave it out (`SkipBrowserSetup`). There is one
such file, which others may have written into.
"""

import json
from typing import Any, Final

from gateway.agent.artefacts.auto_select import PolicyFileRefused
from gateway.agent.stores.firefox_prefs import PREFERENCE, VALUE

ENTRY: Final = {"Value": VALUE, "Status": "locked"}


def with_firefox_policy(place: str, content: str) -> str | None:
    """The file with our preference; ``content`` is "" where there is none yet. None where somebody set the
    preference to something else. Raises PolicyFileRefused for what is no policy file."""
    document = _document(place, content)
    policies = _member(place, document, "policies")
    preferences = _member(place, policies, "Preferences")
    present = preferences.get(PREFERENCE)
    if present is not None and (present.get("Value") if isinstance(present, dict) else present) != VALUE:
        return None
    if present is not None:
        return content
    preferences[PREFERENCE] = dict(ENTRY)
    return _text(document)


def without_firefox_policy(place: str, content: str) -> str:
    """The file without our preference; "" where nothing else is left. Raises PolicyFileRefused."""
    document = _document(place, content)
    policies = _member(place, document, "policies")
    preferences = _member(place, policies, "Preferences")
    if preferences.get(PREFERENCE) == ENTRY:
        del preferences[PREFERENCE]
    if not preferences:
        del policies["Preferences"]
    if not policies:
        del document["policies"]
    return _text(document) if document else ""


def firefox_policy() -> str:
    """The file where there is none yet."""
    return _text({"policies": {"Preferences": {PREFERENCE: dict(ENTRY)}}})


def _document(place: str, content: str) -> dict[str, Any]:
    if not content.strip():
        return {}
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise PolicyFileRefused(f"{place}: is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise PolicyFileRefused(f"{place}: is no JSON object")
    return document


def _member(place: str, parent: dict[str, Any], name: str) -> dict[str, Any]:
    member = parent.setdefault(name, {})
    if not isinstance(member, dict):
        raise PolicyFileRefused(f"{place}: {name} is no JSON object")
    return member


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
