"""One way to write each policy: documents that select the same are equal when they are normal.

Left out is what selects everything (the contract's "left out = everything"), and ``linux`` beside
``other_desktop``, which includes it; a user counts once however their login is written, durations are in the
largest unit that fits. The order of lists stays. Documents given
to this module have been accepted by `gateway.policy.rules.compile_policy`; nothing is checked again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.model.decision import Access, Client, Platform
from gateway.policy.access import read_prompt
from gateway.policy.conditions import BUILT_IN_KEYS
from gateway.policy.conditions.people import EVERYONE
from gateway.policy.conditions.platforms import named_platforms, selected_platforms
from gateway.policy.rules import RESERVED_KEYS, Status

_MINUTES_PER_HOUR: Final = 60
_MINUTES_PER_DAY: Final = 24 * _MINUTES_PER_HOUR

Document = Mapping[str, Any]


def normal_policy(document: Document) -> dict[str, Any]:
    return {
        "name": document["name"],
        "default": document.get("default", Access.ALLOW.value),
        "rules": [normal_rule(rule) for rule in document["rules"]],
    }


def normal_rule(rule: Document) -> dict[str, Any]:
    """Keys in the order in which a person reads them."""
    normal: dict[str, Any] = {key: rule[key] for key in ("id", "name") if key in rule}
    people = _people(rule.get("people", {}))
    if people:
        normal["people"] = people
    if rule.get("location", "anywhere") != "anywhere":
        normal["location"] = {key: list(names) for key, names in rule["location"].items()}
    if "clients" in rule and len(rule["clients"]) < len(Client):
        normal["clients"] = list(rule["clients"])
    if "platforms" in rule:
        platforms = [Platform(name) for name in rule["platforms"]]
        if len(selected_platforms(platforms)) < len(Platform):
            normal["platforms"] = [platform.value for platform in named_platforms(platforms)]
    if rule.get("device_trust", "any") != "any":
        normal["device_trust"] = rule["device_trust"]
    if rule.get("hardware_key", "any") != "any":
        normal["hardware_key"] = rule["hardware_key"]
    for key in sorted(plug_in_keys(rule)):
        normal[key] = rule[key]
    normal["access"] = _access(rule["access"])
    if rule.get("status", Status.ACTIVE.value) != Status.ACTIVE.value:
        normal["status"] = rule["status"]
    return normal


def plug_in_keys(rule: Document) -> set[str]:
    """The rule's conditions that plug-ins have brought."""
    return set(rule) - {*BUILT_IN_KEYS, *RESERVED_KEYS}


def same_rule(one: Document, other: Document) -> bool:
    """Whether two rules say the same: the order of a list does not matter, nor the case of a login."""
    first, second = normal_rule(one), normal_rule(other)
    keys = {*first, *second}
    return all(_comparable(key, first.get(key)) == _comparable(key, second.get(key)) for key in keys)


def keep_spelling(new: Document, old: Document) -> dict[str, Any]:
    """The new rule, where it says the same as the old one in the old one's words. So a change of one
    condition is one changed line in a file under version control."""
    normal_new, normal_old = normal_rule(new), normal_rule(old)
    kept = [
        key
        for key in old
        if key != "id" and _comparable(key, normal_new.get(key)) == _comparable(key, normal_old.get(key))
    ]
    rule = {key: old[key] if key in kept else value for key, value in normal_new.items()}
    added = {key: old[key] for key in kept if key not in rule}
    return {key: {**rule, **added}[key] for key in _key_order(rule, added)}


def duration_text(minutes: int) -> str:
    """``90m``, ``12h``, ``1d``."""
    if minutes % _MINUTES_PER_DAY == 0:
        return f"{minutes // _MINUTES_PER_DAY}d"
    if minutes % _MINUTES_PER_HOUR == 0:
        return f"{minutes // _MINUTES_PER_HOUR}h"
    return f"{minutes}m"


def _key_order(rule: Document, added: Document) -> list[str]:
    keys = {*rule, *added}
    order = ("id", "name", "people", "location", "clients", "platforms", "device_trust", "hardware_key")
    last = ("access", "status")
    middle = sorted(keys - {*order, *last})
    return [key for key in (*order, *middle, *last) if key in keys]


def _people(people: Document) -> dict[str, Any]:
    users, groups = people.get("users", {}), people.get("groups", {})
    included = _once(users.get("include", ()))
    included_groups = list(groups.get("include", () if included else (EVERYONE,)))
    if included_groups == [EVERYONE] and not included:
        included_groups = []
    lists = {
        "users": {"include": included, "exclude": _once(users.get("exclude", ()))},
        "groups": {"include": included_groups, "exclude": list(groups.get("exclude", ()))},
    }
    normal = {
        kind: {key: names for key, names in members.items() if names} for kind, members in lists.items()
    }
    return {kind: members for kind, members in normal.items() if members}


def _once(logins: Sequence[str]) -> list[str]:
    first: dict[str, str] = {}
    for login in logins:
        first.setdefault(login.casefold(), login)
    return list(first.values())


def _access(raw: Any) -> Any:
    if isinstance(raw, str):
        return raw
    prompt = read_prompt(raw["allow"]["prompt_for_factor"], ())
    how = prompt.frequency if prompt.minutes is None else {"every": duration_text(prompt.minutes)}
    return {"allow": {"prompt_for_factor": how}}


def _comparable(key: str, value: Any) -> Any:
    """A normal value in which the order of a list, and the case of a login, makes no difference."""
    if value is None:
        return None
    match key:
        case "people":
            return {
                (kind, part): frozenset(map(str.casefold if kind == "users" else str, names))
                for kind, members in value.items()
                for part, names in members.items()
            }
        case "location":
            return {part: frozenset(names) for part, names in value.items()}
        case "clients" | "platforms":
            return frozenset(value)
        case _:
            return value
