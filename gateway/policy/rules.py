"""One app's policy: an ordered list of rules and a default. Raw values → `Policy`.

Device trust can be shown only by a web browser or a modern-auth client on iOS, Android, Windows, macOS or
Linux. So ``device_trust: trusted`` and ``not_trusted`` are refused in a rule that also selects Exchange
ActiveSync or legacy auth, other mobile or other desktop, as Okta Device Trust's form does by greying them
out. What is left out selects everything, so such a rule has to list its platforms, and, for an app with
client conditions, its clients. Without client conditions every client counts as a browser, and only the
platforms are looked at. ``hardware_key: required`` stands beside ``device_trust: trusted`` only.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from gateway.model.decision import Access, Client, Decision, FactorPrompt, Platform
from gateway.model.ids import IdKind, is_id
from gateway.model.quoting import printable
from gateway.model.reasons import DEFAULT_RULE, POLICY_ERROR, rule_reason
from gateway.policy.access import read_access
from gateway.policy.conditions import BUILT_IN_KEYS, Condition, ConditionParsers
from gateway.policy.conditions.clients import Clients
from gateway.policy.conditions.device_trust import DeviceTrustCondition, RequiredTrust
from gateway.policy.conditions.hardware_key import HardwareKey, RequiredKey
from gateway.policy.conditions.location import Location
from gateway.policy.conditions.people import EVERYONE, People
from gateway.policy.conditions.platforms import Platforms
from gateway.policy.errors import KeyPath, PolicyInvalid, PolicyProblem
from gateway.policy.foreign import PlugInFailed, call_plug_in
from gateway.policy.reading import read_choice, read_list, read_mapping, read_text

# Each request of a session walks the rules; Okta Device Trust's tables have five. 200 cost 0.6 ms at worst.
MAX_RULES: Final = 200
# Keys of a rule that are not conditions: a plug-in cannot be named so.
RESERVED_KEYS: Final = ("id", "name", "access", "status")

CLIENTS_WITHOUT_TRUST: Final = frozenset({Client.EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH})
PLATFORMS_WITHOUT_TRUST: Final = frozenset({Platform.OTHER_MOBILE, Platform.OTHER_DESKTOP})

Kind = TypeVar("Kind")


class Status(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"
    MONITOR = "monitor"  # decides nothing; a decision says that it would have matched


@dataclass(frozen=True, slots=True)
class Rule:
    """``conditions`` are (rule key, condition), in the order in which they run; left-out keys are not
    there. ``decision`` is what the rule answers, made once. ``id`` is there for rules that were edited
    through the API: it stays when the rule is renamed."""

    name: str
    status: Status
    conditions: tuple[tuple[str, Condition], ...]
    decision: Decision
    id: str | None = None

    @property
    def access(self) -> Access:
        return self.decision.access

    @property
    def prompt_for_factor(self) -> FactorPrompt | None:
        return self.decision.prompt_for_factor

    def condition(self, kind: type[Kind]) -> Kind | None:
        """The rule's condition of a built-in kind; None where the key is left out."""
        return next((found for _, found in self.conditions if isinstance(found, kind)), None)


@dataclass(frozen=True, slots=True)
class Policy:
    """The first rule that matches decides; ``default`` is the built-in last rule. ``tells_keys_apart``: a
    trusted device may be answered otherwise where its key is in hardware, as a condition asks or a plug-in's
    may."""

    name: str
    default: Access
    rules: tuple[Rule, ...]
    client_conditions: bool
    tells_keys_apart: bool = False

    @property
    def default_decision(self) -> Decision:
        return _DEFAULT_DECISIONS[self.default]


_DEFAULT_DECISIONS: Final = {access: Decision(access, DEFAULT_RULE, None) for access in Access}


def compile_policy(
    raw: object,
    parsers: ConditionParsers,
    *,
    client_conditions: bool | None = None,
    zone_names: Set[str] | None = None,
) -> Policy:
    """Check a raw policy (contract: Policy file) and make it ready to evaluate. Raises PolicyInvalid.

    ``client_conditions`` is the app's setting; None, for a policy read without its app, means: as the
    rules suggest, on when one of them selects among clients. ``zone_names`` are the zones that exist;
    None leaves them unchecked, and evaluation then denies where a zone is missing.
    """
    policy = read_mapping(raw, (), known=("name", "default", "rules"), required=("name", "rules"))
    name = read_text(policy["name"], ("name",))
    default = read_choice(policy.get("default", Access.ALLOW.value), ("default",), Access)
    raw_rules = read_list(policy["rules"], ("rules",), limit=MAX_RULES)
    seen: dict[str, int] = {}
    rules: list[Rule] = []
    for index, raw_rule in enumerate(raw_rules):
        path = ("rules", index)
        rule = _rule(raw_rule, path, parsers)
        if rule.name in seen:
            detail = f"rule name {printable(rule.name)} is already that of rules[{seen[rule.name]}]"
            raise PolicyInvalid(PolicyProblem.DUPLICATE, (*path, "name"), detail)
        if rule.id is not None and any(rule.id == other.id for other in rules):
            raise PolicyInvalid(
                PolicyProblem.DUPLICATE, (*path, "id"), f"id {rule.id} is that of another rule"
            )
        seen[rule.name] = index
        rules.append(rule)
    if client_conditions is None:
        client_conditions = any(_selects_among_clients(rule) for rule in rules)
    for index, rule in enumerate(rules):
        try:
            _check_clients(rule, client_conditions)
            _check_trust(rule, client_conditions)
            _check_hardware_key(rule)
            _check_zones(rule, zone_names)
        except PolicyInvalid as error:
            raise error.under(("rules", index), rule.name) from None
    tells_keys_apart = any(_looks_at_key(rule) for rule in rules)
    return Policy(name, default, tuple(rules), client_conditions, tells_keys_apart)


def referenced_groups(policy: Policy) -> frozenset[str]:
    """The groups that a decision can depend on (never `Everyone`): no others need to travel in a
    token. Inactive rules count too, so that switching one on needs no new sign-on."""
    groups: frozenset[str] = frozenset()
    for rule in policy.rules:
        people = rule.condition(People)
        if people is not None:
            groups |= people.included_groups | people.excluded_groups
    return groups


def referenced_zones(policy: Policy) -> frozenset[str]:
    """The zones that the policy's rules name."""
    locations = (rule.condition(Location) for rule in policy.rules)
    return frozenset(name for location in locations if location is not None for name in location.zone_names)


def _rule(raw: object, path: KeyPath, parsers: ConditionParsers) -> Rule:
    known = (*RESERVED_KEYS, *_ordered(parsers))
    rule = read_mapping(raw, path, known=known, required=("name", "access"))
    rule_id = _rule_id(rule, path)
    name = read_text(rule["name"], (*path, "name"))
    if name in (DEFAULT_RULE, POLICY_ERROR):
        detail = f"{name} is a reason of its own and cannot name a rule"
        raise PolicyInvalid(PolicyProblem.BAD_NAME, (*path, "name"), detail)
    try:
        access, prompt = read_access(rule["access"], ("access",))
        status = read_choice(rule.get("status", Status.ACTIVE.value), ("status",), Status)
        conditions = tuple(
            (key, _condition(key, rule[key], parsers)) for key in _ordered(parsers) if key in rule
        )
    except PolicyInvalid as error:
        raise error.under(path, name) from None
    return Rule(name, status, conditions, Decision(access, rule_reason(name), name, prompt), rule_id)


def _rule_id(rule: Mapping[str, Any], path: KeyPath) -> str | None:
    if "id" not in rule:
        return None
    rule_id = rule["id"]
    if not isinstance(rule_id, str) or not is_id(rule_id, IdKind.RULE):
        detail = f"not the id of a rule ({IdKind.RULE} and 17 letters or digits); leave it out in a new rule"
        raise PolicyInvalid(PolicyProblem.BAD_NAME, (*path, "id"), detail)
    return rule_id


def _condition(key: str, raw: Any, parsers: ConditionParsers) -> Condition:
    try:
        return call_plug_in(key, parsers[key], raw)
    except PlugInFailed as error:
        if isinstance(error.__cause__, PolicyInvalid):  # what a parser is asked to raise
            raise error.__cause__.under((key,)) from None
        raise PolicyInvalid(PolicyProblem.PLUG_IN_FAILED, (key,), str(error)) from error


def _ordered(parsers: ConditionParsers) -> tuple[str, ...]:
    built_in = tuple(key for key in BUILT_IN_KEYS if key in parsers)
    return (*built_in, *sorted(parsers.keys() - set(BUILT_IN_KEYS)))


def _selects_among_clients(rule: Rule) -> bool:
    clients = rule.condition(Clients)
    return clients is not None and clients.selected != frozenset(Client)


def _check_clients(rule: Rule, client_conditions: bool) -> None:
    if not client_conditions and _selects_among_clients(rule):
        raise PolicyInvalid(
            PolicyProblem.NO_CLIENT_CONDITIONS,
            ("clients",),
            "the app has client_conditions: false, so this would be ignored;"
            " leave the key out, list every client, or set client_conditions: true",
        )


def _check_trust(rule: Rule, client_conditions: bool) -> None:
    trust = rule.condition(DeviceTrustCondition)
    if trust is None or trust.required is RequiredTrust.ANY:
        return
    refused: set[str] = set()
    platforms = rule.condition(Platforms)
    refused |= PLATFORMS_WITHOUT_TRUST & (frozenset(Platform) if platforms is None else platforms.selected)
    clients = rule.condition(Clients)
    if client_conditions:
        refused |= CLIENTS_WITHOUT_TRUST & (frozenset(Client) if clients is None else clients.selected)
    if not refused:
        return
    left_out = [
        key
        for key, found, needed in (
            ("platforms", platforms, True),
            ("clients", clients, client_conditions),
        )
        if needed and found is None
    ]
    hint = f" (left out, {' and '.join(left_out)} select everything)" if left_out else ""
    linux = platforms is not None and Platform.OTHER_DESKTOP in platforms.selected
    raise PolicyInvalid(
        PolicyProblem.TRUST_CANNOT_BE_SHOWN,
        ("device_trust",),
        f"{trust.required} cannot be combined with {', '.join(sorted(refused))}{hint}:"
        " these cannot show a certificate" + ("; for Linux computers, list linux" if linux else ""),
    )


def requires_hardware_key(rule: Rule) -> bool:
    condition = rule.condition(HardwareKey)
    return condition is not None and condition.required is RequiredKey.REQUIRED


def _looks_at_key(rule: Rule) -> bool:
    if rule.status is Status.INACTIVE:
        return False
    return requires_hardware_key(rule) or any(key not in BUILT_IN_KEYS for key, _ in rule.conditions)


def _check_hardware_key(rule: Rule) -> None:
    trust = rule.condition(DeviceTrustCondition)
    if requires_hardware_key(rule) and (trust is None or trust.required is not RequiredTrust.TRUSTED):
        raise PolicyInvalid(
            PolicyProblem.HARDWARE_WITHOUT_TRUST,
            ("hardware_key",),
            "required needs device_trust: trusted beside it: of a device that is not trusted no key is known",
        )


def _check_zones(rule: Rule, zone_names: Set[str] | None) -> None:
    location = rule.condition(Location)
    if location is None or zone_names is None:
        return
    for index, zone in enumerate(location.zone_names):
        if zone not in zone_names:
            raise PolicyInvalid(
                PolicyProblem.UNKNOWN_ZONE,
                ("location", "in_zones" if location.inside else "not_in_zones", index),
                f"no zone is named {printable(zone)}",
                unknown=zone,
                alternatives=tuple(zone_names),
            )


__all__ = [
    "CLIENTS_WITHOUT_TRUST",
    "EVERYONE",
    "MAX_RULES",
    "PLATFORMS_WITHOUT_TRUST",
    "RESERVED_KEYS",
    "Policy",
    "Rule",
    "Status",
    "compile_policy",
    "referenced_groups",
    "referenced_zones",
    "requires_hardware_key",
]
