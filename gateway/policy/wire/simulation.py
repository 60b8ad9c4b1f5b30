"""`POST /api/v1/policies/simulate`: what a policy says of a sign-on that is only described.

What the description leaves out is not known, and the conditions that look at it are UNDEFINED. All else is
the engine's own answer (`gateway.policy.explain`): a simulation and a sign-on with the same facts end in the
same rule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Final

from gateway.model.decision import Client, DeviceTrust, IPAddress, Match, Platform, SignOnRequest
from gateway.model.quoting import printable
from gateway.model.settings import Zone
from gateway.policy.conditions import BUILT_IN_KEYS, Zones
from gateway.policy.conditions.people import People
from gateway.policy.explain import Explanation, explain
from gateway.policy.rules import Policy, Rule, Status, requires_hardware_key
from gateway.policy.wire import names as wire_names
from gateway.policy.wire.conditions import CLIENTS, TRUST_LEVELS
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

POLICY_TYPE: Final = "ACCESS_POLICY"
POLICY_TYPES: Final = (POLICY_TYPE, "OKTA_SIGN_ON", "MFA_ENROLL", "PROFILE_ENROLLMENT")
MAX_APP_CHARACTERS: Final = 100
# Of whom nothing is known: documentation's own addresses and names.
_SOMEWHERE: Final = ip_address("192.0.2.1")
_SOMEBODY: Final = "somebody@example.test"
_PLATFORMS: Final = {
    "IOS": Platform.IOS,
    "ANDROID": Platform.ANDROID,
    "OTHER_MOBILE": Platform.OTHER_MOBILE,
    "WINDOWS": Platform.WINDOWS,
    "OSX": Platform.MACOS,
    "MACOS": Platform.MACOS,
    "OTHER_DESKTOP": Platform.OTHER_DESKTOP,
    "CHROMEOS": Platform.OTHER_DESKTOP,
    "LINUX": Platform.LINUX,
}
# Rule key → what the condition is called on the wire.
CONDITION_TYPES: Final = {
    "people": "people",
    "clients": "office365Client.include",
    "platforms": "platform.include",
    "device_trust": "device.trustLevel",
    "hardware_key": "device.hardwareKey",
    "location": "network.connection",
}


@dataclass(frozen=True, slots=True)
class SimulatedSignOn:
    """What is known of the sign-on. None is not known; ``zones`` are the names of all zones that it comes
    from, and count instead of ``ip`` where they are given. ``as_list``: the answer has the SDK's shape."""

    app: str
    login: str | None
    groups: frozenset[str] | None
    ip: IPAddress | None
    zones: frozenset[str] | None
    client: Client | None
    platform: Platform | None
    device_trust: DeviceTrust
    hardware_key: bool | None
    as_list: bool
    wanted: bool  # False: only policies of other types were asked for


@dataclass(frozen=True, slots=True)
class SimulatedCondition:
    type: str
    status: Match
    detail: str


@dataclass(frozen=True, slots=True)
class SimulatedRule:
    """``rule`` None: the built-in last rule."""

    rule: Rule | None
    status: Match
    conditions: tuple[SimulatedCondition, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """``matched`` is the rule that decides if none of ``undefined``, which stand above it, does;
    ``not_matched`` stand above it, too. ``monitored`` would have matched, were they active. ``explanation``
    is the engine's."""

    matched: SimulatedRule
    not_matched: tuple[SimulatedRule, ...]
    undefined: tuple[SimulatedRule, ...]
    monitored: tuple[SimulatedRule, ...]
    explanation: Explanation

    @property
    def certain(self) -> bool:
        return not self.undefined


def read_simulation(raw: object, names: WireNames) -> SimulatedSignOn:
    """Raises WireRefused with all that is wrong."""
    body = read_object(raw, "", ("appInstance", "policyTypes", "policyType", "policyContext"))
    problems: list[Problem] = []
    app = body.get("appInstance")
    if not isinstance(app, str) or not 0 < len(app) <= MAX_APP_CHARACTERS:
        problems.append(Problem("appInstance", "must be the id of an app"))
        app = ""
    types = gather(problems, _types, body)
    context = gather(
        problems,
        read_object,
        body.get("policyContext", {}),
        "policyContext",
        ("user", "groups", "ip", "zones", "risk", "device", "client"),
    )
    context = context or {}
    login = gather(problems, _login, context.get("user"), names)
    groups = gather(problems, _set, context.get("groups"), "groups", names)
    zones = gather(problems, _set, context.get("zones"), "zones", names)
    ip = gather(problems, _address, context.get("ip"))
    client = gather(problems, _client, context.get("client"))
    device = gather(problems, _device, context.get("device"))
    if problems or device is None:
        raise WireRefused(*problems)
    platform, trust, hardware_key = device
    return SimulatedSignOn(
        app=app,
        login=login,
        groups=groups,
        ip=ip,
        zones=zones,
        client=client,
        platform=platform,
        device_trust=trust,
        hardware_key=hardware_key,
        as_list="policyType" not in body,
        wanted=types is None or POLICY_TYPE in types,
    )


def simulate(policy: Policy, sign_on: SimulatedSignOn, zones: Zones) -> Simulation:
    """``zones`` are those in force."""
    explanation = explain(policy, _request(sign_on), _zones(sign_on, zones))
    unknown = _unknown(sign_on, policy.client_conditions)
    not_matched: list[SimulatedRule] = []
    undefined: list[SimulatedRule] = []
    monitored: list[SimulatedRule] = []
    matched = SimulatedRule(None, Match.MATCH, ())
    for part in explanation.rules:
        if part.rule.status is Status.INACTIVE:
            continue
        conditions = tuple(
            SimulatedCondition(
                CONDITION_TYPES.get(result.condition, f"plugIns.{result.condition}"),
                Match.UNDEFINED if _hidden(part.rule, result.condition, unknown) else result.match,
                "not known" if _hidden(part.rule, result.condition, unknown) else result.detail,
            )
            for result in part.trace.conditions
        )
        rule = SimulatedRule(part.rule, _all([condition.status for condition in conditions]), conditions)
        if part.rule.status is Status.MONITOR:
            if rule.status is Match.MATCH:
                monitored.append(rule)
        elif rule.status is Match.MATCH:
            matched = rule
            break
        else:
            (undefined if rule.status is Match.UNDEFINED else not_matched).append(rule)
    return Simulation(matched, tuple(not_matched), tuple(undefined), tuple(monitored), explanation)


def _request(sign_on: SimulatedSignOn) -> SignOnRequest:
    return SignOnRequest(
        sign_on.login or _SOMEBODY,
        sign_on.groups or frozenset(),
        sign_on.ip or _SOMEWHERE,
        sign_on.client or Client.WEB_BROWSER,
        sign_on.platform or Platform.OTHER_DESKTOP,
        sign_on.device_trust,
        sign_on.device_trust is DeviceTrust.TRUSTED and sign_on.hardware_key is True,
    )


def _zones(sign_on: SimulatedSignOn, zones: Zones) -> Zones:
    """Zones that hold the address or not, as the description has it. With neither address nor zones there are
    none: then no condition on them can be decided."""
    if sign_on.zones is not None:
        address = sign_on.ip or _SOMEWHERE
        here = (ip_network(address),)
        return {name: Zone(name, here if name in sign_on.zones else ()) for name in zones}
    return {} if sign_on.ip is None else zones


def _unknown(sign_on: SimulatedSignOn, client_conditions: bool) -> frozenset[str]:
    """The rule keys that look at something that is not known and that the engine has been given a stand-in
    for. Without client conditions every client counts as a browser."""
    left_out = {
        "people": sign_on.login is None or sign_on.groups is None,
        "platforms": sign_on.platform is None,
        "clients": sign_on.client is None and client_conditions,
        "hardware_key": sign_on.device_trust is DeviceTrust.TRUSTED and sign_on.hardware_key is None,
        "": sign_on.ip is None,
    }
    return frozenset(key for key, unknown in left_out.items() if unknown)


def _hidden(rule: Rule, key: str, unknown: frozenset[str]) -> bool:
    if key not in BUILT_IN_KEYS:
        return bool(unknown)  # a plug-in may look at anything
    if key == "people":
        people = rule.condition(People)
        everyone = people is not None and people.everyone
        if everyone and not (people.excluded_users or people.excluded_groups):  # type: ignore[union-attr]
            return False
    if key == "hardware_key" and not requires_hardware_key(rule):
        return False
    return key in unknown


def _all(statuses: list[Match]) -> Match:
    if Match.NOT_MATCH in statuses:
        return Match.NOT_MATCH
    return Match.UNDEFINED if Match.UNDEFINED in statuses else Match.MATCH


def _types(body: Mapping[str, Any]) -> list[str] | None:
    given = [key for key in ("policyTypes", "policyType") if key in body]
    if not given:
        return None
    if len(given) == 2:
        raise refused("policyType", "give one of policyType and policyTypes")
    raw = body[given[0]]
    listed = [raw] if isinstance(raw, str) else read_ids(raw, given[0])
    return [read_word(each, given[0], POLICY_TYPES) for each in listed]


def _login(raw: object, names: WireNames) -> str | None:
    if raw is None:
        return None
    user = read_object(raw, "policyContext.user", ("id",))
    if "id" not in user:
        return None
    [wire_id] = read_ids([user["id"]], "policyContext.user.id")
    return wire_names.logins([wire_id], names, "policyContext.user.id")[0]


def _set(raw: object, kind: str, names: WireNames) -> frozenset[str] | None:
    if raw is None:
        return None
    field = f"policyContext.{kind}"
    listed = read_object(raw, field, ("ids",))
    if "ids" not in listed:
        return None
    ids = read_ids(listed["ids"], f"{field}.ids")
    to_names = wire_names.group_names if kind == "groups" else wire_names.zone_names
    return frozenset(to_names(ids, names, f"{field}.ids"))


def _address(raw: object) -> IPAddress | None:
    if raw is None:
        return None
    try:
        return ip_address(raw if isinstance(raw, str) else "")
    except ValueError:
        shown = printable(raw) if isinstance(raw, str) else "no text"
        raise refused("policyContext.ip", f"must be an IP address, not {shown}") from None


def _client(raw: object) -> Client | None:
    if raw is None:
        return None
    words = {word: client for client, word in CLIENTS.items()}
    return words[read_word(raw, "policyContext.client", tuple(words))]


def _device(raw: object) -> tuple[Platform | None, DeviceTrust, bool | None]:
    field = "policyContext.device"
    if raw is None:
        return None, DeviceTrust.UNKNOWN, None
    device = read_object(
        raw, field, ("platform", "registered", "managed", "assuranceId", "trustLevel", "hardwareKey")
    )
    hardware_key: bool | None = None
    if "hardwareKey" in device:
        hardware_key = read_flag(device["hardwareKey"], f"{field}.hardwareKey")
    trust = _trust(device, field)
    if hardware_key and trust is not DeviceTrust.TRUSTED:
        raise refused(f"{field}.hardwareKey", "needs trustLevel TRUSTED beside it")
    platform: Platform | None = None
    if "platform" in device:
        word = device["platform"].upper() if isinstance(device["platform"], str) else device["platform"]
        platform = _PLATFORMS[read_word(word, f"{field}.platform", tuple(_PLATFORMS))]
    return platform, trust, hardware_key


def _trust(device: Mapping[str, Any], field: str) -> DeviceTrust:
    if "trustLevel" in device:
        levels = {level: required.value for required, level in TRUST_LEVELS.items()}
        level = levels[read_word(device["trustLevel"], f"{field}.trustLevel", tuple(levels))]
        return DeviceTrust.UNKNOWN if level == "any" else DeviceTrust(level)
    claims = {
        key: read_flag(device[key], f"{field}.{key}") for key in ("registered", "managed") if key in device
    }
    if False in claims.values():
        return DeviceTrust.NOT_TRUSTED
    return DeviceTrust.TRUSTED if claims.get("managed") else DeviceTrust.UNKNOWN


def rule_parts(simulation: Simulation) -> Iterator[SimulatedRule]:
    """All rules that were looked at, in the order of the policy, the one that decides last."""
    positions = {part.rule.name: index for index, part in enumerate(simulation.explanation.rules)}
    above = [*simulation.not_matched, *simulation.undefined]
    yield from sorted(above, key=lambda part: positions[part.rule.name] if part.rule is not None else 0)
    yield simulation.matched
