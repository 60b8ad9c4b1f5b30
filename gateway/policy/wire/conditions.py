"""The conditions of a rule: ours ↔ those of an ACCESS_POLICY rule.

=================  =====================================================================================
document           wire, below ``conditions``
=================  =====================================================================================
``people``         ``people.users|groups.include|exclude``
``location``       ``network`` (connection ANYWHERE, or ZONE with include or exclude)
``platforms``      ``platform.include`` (type and os.type); ``exclude`` is taken, too. Linux is DESKTOP
                   with os.type OTHER and the expression ``Linux``; os.type LINUX is taken, too
``clients``        ``office365Client.include`` (WEB, MODERN_AUTH, EXCHANGE_ACTIVE_SYNC)
``device_trust``   ``device``: {registered, managed} both true or both false, and ``trustLevel``
``hardware_key``   ``device.hardwareKey``: REQUIRED, beside the trust level TRUSTED
of plug-ins        ``plugIns``: the key and its value as in the document
=================  =====================================================================================

A condition that is left out, or null, selects everything.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.model.decision import Client, Platform
from gateway.policy.conditions.device_trust import RequiredTrust
from gateway.policy.conditions.hardware_key import RequiredKey
from gateway.policy.conditions.people import EVERYONE
from gateway.policy.conditions.platforms import named_platforms, selected_platforms
from gateway.policy.normal import plug_in_keys
from gateway.policy.wire import names as wire_names
from gateway.policy.wire.names import WireNames
from gateway.policy.wire.refusal import (
    Problem,
    WireRefused,
    gather,
    read_flag,
    read_ids,
    read_object,
    read_word,
    refused,
)

CLIENTS: Final = {
    Client.WEB_BROWSER: "WEB",
    Client.MODERN_AUTH: "MODERN_AUTH",
    Client.EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH: "EXCHANGE_ACTIVE_SYNC",
}
# (type, os.type). OSX, not MACOS: the Python SDK knows no other word. It has none for Linux, either: that is
# written as an OTHER that an expression narrows.
PLATFORMS: Final = {
    Platform.IOS: ("MOBILE", "IOS"),
    Platform.ANDROID: ("MOBILE", "ANDROID"),
    Platform.OTHER_MOBILE: ("MOBILE", "OTHER"),
    Platform.WINDOWS: ("DESKTOP", "WINDOWS"),
    Platform.MACOS: ("DESKTOP", "OSX"),
    Platform.LINUX: ("DESKTOP", "LINUX"),
    Platform.OTHER_DESKTOP: ("DESKTOP", "OTHER"),
}
TRUST_LEVELS: Final = {
    RequiredTrust.ANY: "ANY",
    RequiredTrust.TRUSTED: "TRUSTED",
    RequiredTrust.NOT_TRUSTED: "NOT_TRUSTED",
}
HARDWARE_KEYS: Final = {RequiredKey.ANY: "ANY", RequiredKey.REQUIRED: "REQUIRED"}
ANY_EXPRESSION: Final = ".*"  # os.type OTHER needs an expression; ours selects whatever is other
LINUX_EXPRESSION: Final = "Linux"
CONDITIONS: Final = ("people", "network", "platform", "office365Client", "device", "plugIns")
# Of the Okta API: what a document has no word for, and what to say about it.
_UNSUPPORTED: Final = {
    "riskScore": "the gateway knows no risk score",
    "userType": "the gateway knows no user types; use groups",
    "elCondition": "expressions are not evaluated; use people, network, platform, device or a plug-in",
    "risk": "the gateway knows no risk",
    "authContext": "is of OKTA_SIGN_ON policies",
    "identityProvider": "is fixed for each app in gateway.yaml",
}
OS_TYPES: Final = ("ANY", "IOS", "ANDROID", "WINDOWS", "OSX", "MACOS", "LINUX", "OTHER")
_DEVICE: Final = ("registered", "managed", "trustLevel", "hardwareKey", "assurance")
_NARROWER: Final = ("CHROMEOS",)


def conditions_wire(rule: Mapping[str, Any], names: WireNames) -> dict[str, Any]:
    """``rule`` is normal (`gateway.policy.normal`)."""
    wire: dict[str, Any] = {}
    if "people" in rule:
        wire["people"] = _people_wire(rule["people"], names)
    wire["network"] = _network_wire(rule.get("location"), names)
    if "platforms" in rule:
        wire["platform"] = {"include": [_platform_wire(Platform(each)) for each in rule["platforms"]]}
    if "clients" in rule:
        wire["office365Client"] = {"include": [CLIENTS[Client(each)] for each in rule["clients"]]}
    if "device_trust" in rule:
        trusted = rule["device_trust"] == RequiredTrust.TRUSTED
        level = TRUST_LEVELS[RequiredTrust(rule["device_trust"])]
        wire["device"] = {"registered": trusted, "managed": trusted, "trustLevel": level}
        if "hardware_key" in rule:
            wire["device"]["hardwareKey"] = HARDWARE_KEYS[RequiredKey(rule["hardware_key"])]
    plug_ins = plug_in_keys(rule)
    if plug_ins:
        wire["plugIns"] = {key: rule[key] for key in sorted(plug_ins)}
    return wire


def conditions_document(
    raw: object, names: WireNames, previous: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Rule keys of a document. ``previous`` is the rule that is replaced, normal, or None. Raises
    WireRefused with all that is wrong. Names of plug-ins and their values are checked by whoever compiles
    the document."""
    field = "conditions"
    if raw is None:
        return {}
    known = read_object(raw, field, (*CONDITIONS, *_UNSUPPORTED))
    problems = [Problem(f"{field}.{key}", why) for key, why in _UNSUPPORTED.items() if key in known]
    readers = {
        "people": ("people", lambda value: _people(value, names, (previous or {}).get("people", {}))),
        "network": ("location", lambda value: _network(value, names)),
        "platform": ("platforms", _platforms),
        "office365Client": ("clients", _clients),
        "device": ("device_trust", _device),
    }
    document: dict[str, Any] = {}
    for key, (rule_key, read) in readers.items():
        if key in known:
            value = gather(problems, read, known[key])
            if value is not None:
                document[rule_key] = value
    if "device_trust" in document:
        hardware_key = gather(problems, _hardware_key, known["device"])
        if hardware_key not in (None, RequiredKey.ANY):
            document["hardware_key"] = hardware_key
    if "plugIns" in known:
        plug_ins = known["plugIns"]
        taken = [key for key in plug_ins if key in _RULE_KEYS] if isinstance(plug_ins, Mapping) else []
        if not isinstance(plug_ins, Mapping):
            problems.append(Problem(f"{field}.plugIns", "must be an object"))
        elif taken:
            problems.append(Problem(f"{field}.plugIns.{taken[0]}", "is no plug-in's condition"))
        else:
            document |= {key: value for key, value in plug_ins.items() if value is not None}
    if problems:
        raise WireRefused(*problems)
    return document


_RULE_KEYS: Final = (
    *("id", "name", "access", "status"),
    *("people", "location", "clients", "platforms", "device_trust", "hardware_key"),
)


def _people_wire(people: Mapping[str, Any], names: WireNames) -> dict[str, Any]:
    users, groups = people.get("users", {}), people.get("groups", {})
    included = groups.get("include", [] if users.get("include") else [EVERYONE])
    lists = {
        "users": {
            "include": wire_names.user_ids(users.get("include", []), names),
            "exclude": wire_names.user_ids(users.get("exclude", []), names),
        },
        "groups": {
            "include": wire_names.group_ids(included, names),
            "exclude": wire_names.group_ids(groups.get("exclude", []), names),
        },
    }
    wire = {kind: {key: ids for key, ids in members.items() if ids} for kind, members in lists.items()}
    return {kind: members for kind, members in wire.items() if members}


def _people(raw: object, names: WireNames, previous: Mapping[str, Any]) -> dict[str, Any]:
    field = "conditions.people"
    people = read_object(raw, field, ("users", "groups"))
    document: dict[str, dict[str, list[str]]] = {"users": {}, "groups": {}}
    problems: list[Problem] = []
    for kind, to_names in (("users", wire_names.logins), ("groups", wire_names.group_names)):
        members = gather(
            problems, read_object, people.get(kind, {}), f"{field}.{kind}", ("include", "exclude")
        )
        for key, raw_ids in (members or {}).items():
            path = f"{field}.{kind}.{key}"
            ids = gather(problems, read_ids, raw_ids, path)
            found = gather(problems, to_names, ids or [], names, path)
            document[kind][key] = list(dict.fromkeys(found or []))
    if problems:
        raise WireRefused(*problems)
    included = [
        kind for kind in ("users", "groups") if previous.get(kind, {}).get("include") and kind in people
    ]
    if included and not (document["users"].get("include") or document["groups"].get("include")):
        # To take the last one out of a list would otherwise let everybody in.
        raise refused(
            f"{field}.{included[0]}.include",
            "the last one was taken out, which would select everyone; include the group Everyone if that is"
            " meant, or delete the rule",
        )
    if document["groups"].get("include") == [] and not document["users"].get("include"):
        del document["groups"]["include"]
    return document


def _network_wire(location: Mapping[str, Any] | None, names: WireNames) -> dict[str, Any]:
    if location is None:
        return {"connection": "ANYWHERE"}
    if "in_zones" in location:
        return {"connection": "ZONE", "include": wire_names.zone_ids(location["in_zones"], names)}
    return {"connection": "ZONE", "exclude": wire_names.zone_ids(location["not_in_zones"], names)}


def _network(raw: object, names: WireNames) -> object:
    field = "conditions.network"
    network = read_object(raw, field, ("connection", "include", "exclude"))
    connection = read_word(network.get("connection", "ANYWHERE"), f"{field}.connection", ("ANYWHERE", "ZONE"))
    lists = {
        key: read_ids(network[key], f"{field}.{key}") for key in ("include", "exclude") if key in network
    }
    given = [key for key, ids in lists.items() if ids]
    if connection == "ANYWHERE":
        if given:
            raise refused(f"{field}.{given[0]}", "needs connection ZONE")
        return "anywhere"
    if len(given) != 1:
        sentence = "connection ZONE needs one of include and exclude" + (", not both" if given else "")
        raise refused(f"{field}.include" if given else field, sentence)
    [key] = given
    if "ALL_ZONES" in lists[key]:
        raise refused(f"{field}.{key}", "ALL_ZONES is not supported: name the zones")
    found = wire_names.zone_names(lists[key], names, f"{field}.{key}")
    return {"in_zones" if key == "include" else "not_in_zones": list(dict.fromkeys(found))}


def _platform_wire(platform: Platform) -> dict[str, Any]:
    kind, os_type = PLATFORMS[platform]
    os = {"type": os_type}
    if platform is Platform.LINUX:
        os = {"type": "OTHER", "expression": LINUX_EXPRESSION}
    elif os_type == "OTHER":
        os["expression"] = ANY_EXPRESSION
    return {"type": kind, "os": os}


def _platforms(raw: object) -> list[str]:
    field = "conditions.platform"
    platform = read_object(raw, field, ("include", "exclude"))
    included = _platform_list(platform.get("include"), f"{field}.include")
    if "include" in platform and not included:
        raise refused(f"{field}.include", "an empty list selects nothing; leave platform out to select all")
    excluded = _platform_list(platform.get("exclude"), f"{field}.exclude")
    chosen = [each for each in included or Platform if each not in selected_platforms(excluded)]
    if not chosen:
        raise refused(f"{field}.exclude", "nothing is left of the platforms")
    if Platform.LINUX in excluded and Platform.OTHER_DESKTOP in chosen:
        sentence = "Linux cannot be taken out of the other desktops: exclude DESKTOP with os.type OTHER, too"
        raise refused(f"{field}.exclude", sentence)
    return [each.value for each in named_platforms(chosen)]


def _platform_list(raw: object, field: str) -> list[Platform]:
    if raw is None:
        return []
    if not isinstance(raw, list) or len(raw) > len(Platform) * len(OS_TYPES):
        raise refused(field, "must be a list of platforms")
    found: dict[Platform, None] = {}
    for index, item in enumerate(raw):
        found |= dict.fromkeys(_platform(item, f"{field}[{index}]"))
    return list(found)


def _platform(raw: object, field: str) -> list[Platform]:
    platform = read_object(raw, field, ("type", "os"))
    kind = read_word(platform.get("type", "ANY"), f"{field}.type", ("ANY", "DESKTOP", "MOBILE"))
    os = read_object(platform.get("os", {}), f"{field}.os", ("type", "expression", "version"))
    os_type = os.get("type", "ANY")
    if os_type in _NARROWER:
        sentence = f"{os_type} cannot be told from other desktops: use type DESKTOP with os.type OTHER"
        raise refused(f"{field}.os.type", sentence)
    os_type = read_word(os_type, f"{field}.os.type", OS_TYPES).replace("MACOS", "OSX")
    if "version" in os:
        raise refused(f"{field}.os.version", "versions of an operating system are not looked at")
    expression = os.get("expression", ANY_EXPRESSION)
    if expression == LINUX_EXPRESSION and os_type == "OTHER":
        os_type = "LINUX"
    elif expression not in ("", ANY_EXPRESSION):
        sentence = f"no other expression than {ANY_EXPRESSION} is supported, and {LINUX_EXPRESSION} of OTHER"
        raise refused(f"{field}.os.expression", sentence)
    matching = [
        each
        for each, (its_kind, its_os) in PLATFORMS.items()
        if kind in ("ANY", its_kind) and os_type in ("ANY", its_os)
    ]
    if not matching:
        raise refused(f"{field}.os.type", f"{os_type} is not a system of type {kind}")
    return matching


def _clients(raw: object) -> list[str]:
    field = "conditions.office365Client"
    clients = read_object(raw, field, ("include",))
    words = {word: client for client, word in CLIENTS.items()}
    included = read_ids(clients.get("include", []), f"{field}.include")
    if not included:
        raise refused(f"{field}.include", "an empty list selects nothing; null selects every client")
    return [
        words[read_word(word, f"{field}.include[{index}]", tuple(words))].value
        for index, word in enumerate(included)
    ]


def _hardware_key(raw: object) -> str:
    """Whether a device of the required trust is there is for whoever compiles the document."""
    field = "conditions.device"
    words = {word: required for required, word in HARDWARE_KEYS.items()}
    word = read_object(raw, field, _DEVICE).get("hardwareKey", "ANY")
    return words[read_word(word, f"{field}.hardwareKey", tuple(words))].value


def _device(raw: object) -> str:
    """``trustLevel`` says it; without it both of ``registered`` and ``managed`` have to."""
    field = "conditions.device"
    device = read_object(raw, field, _DEVICE)
    if "assurance" in device:
        raise refused(f"{field}.assurance", "the gateway knows no device assurance policies")
    claims = {
        key: read_flag(device[key], f"{field}.{key}") for key in ("registered", "managed") if key in device
    }
    claimed: RequiredTrust | None = None
    if claims and all(claims.values()):
        if "managed" not in claims:
            sentence = "a device is trusted or not: registered alone says neither; set managed, too"
            raise refused(f"{field}.registered", sentence)
        claimed = RequiredTrust.TRUSTED
    elif claims:
        if any(claims.values()):
            sentence = "a device is trusted or not: registered and managed must be the same"
            raise refused(f"{field}.managed", sentence)
        claimed = RequiredTrust.NOT_TRUSTED
    if "trustLevel" not in device:
        return (claimed or RequiredTrust.ANY).value
    levels = {level: required for required, level in TRUST_LEVELS.items()}
    required = levels[read_word(device["trustLevel"], f"{field}.trustLevel", tuple(levels))]
    if claimed not in (None, required):
        raise refused(f"{field}.trustLevel", "contradicts registered and managed")
    return required.value
