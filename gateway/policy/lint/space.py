"""The requests that a policy can tell apart, one example of each, and the rules that decide them.

A policy names a finite number of users, groups and zones, so all requests fall into finitely many
classes that its rules treat alike. Each condition is asked with an example of each class, by the same
`match` that decides sign-ons: what lint says is what the engine does.

Where the classes cannot be listed, a rule is *opaque*: it may match or not. That is so for plug-in
conditions, for zones that do not exist, and for policies that name more than the bounds below. An
opaque rule is never taken to hide a later one, and always taken to be able to decide.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import combinations, product
from typing import Final

from gateway.model.decision import (
    Client,
    Decision,
    DeviceTrust,
    IPAddress,
    Match,
    Platform,
    SignOnRequest,
)
from gateway.model.settings import Zone
from gateway.policy.conditions import Condition, Zones
from gateway.policy.conditions.clients import Clients
from gateway.policy.conditions.device_trust import DeviceTrustCondition
from gateway.policy.conditions.hardware_key import HardwareKey
from gateway.policy.conditions.location import Location
from gateway.policy.conditions.people import People
from gateway.policy.conditions.platforms import Platforms
from gateway.policy.rules import Policy, Rule, Status, referenced_groups, referenced_zones

# Users × subsets of groups; each is asked of each rule: 0.3 s for 20 rules.
MAX_PEOPLE: Final = 20_000
MAX_ZONES_WITHOUT_NETWORKS: Final = 8
# Classes of people × classes of places, with 42 claims for each, 63 where a rule asks for hardware keys: a
# second and 100 MB for all of lint.
MAX_CELL_GROUPS: Final = 2_048

SOMEONE_ELSE: Final = "someone-else@example.test"
_EXAMPLE_ADDRESSES: Final = (ip_address("203.0.113.7"), ip_address("2001:db8:ffff::7"))
_CLAIM_CONDITIONS: Final = (Clients, Platforms, DeviceTrustCondition, HardwareKey)
# Devices: their trust, and whether their key is in hardware.
_DEVICES: Final = ((DeviceTrust.TRUSTED, False), (DeviceTrust.NOT_TRUSTED, False))
_WITH_HARDWARE_KEYS: Final = ((DeviceTrust.TRUSTED, True), *_DEVICES)


@dataclass(frozen=True, slots=True)
class Cell:
    """A class of requests. ``deciders`` are the rules of which one decides, None for the default;
    more than one where opaque rules are among them. ``reached`` are the indexes of all rules that may
    match and that no rule above certainly takes. ``who`` identifies the class of people and place."""

    who: int
    request: SignOnRequest
    selected_by: frozenset[int]
    reached: frozenset[int]
    deciders: tuple[Rule | None, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """``zones`` are those that the policy names and that the examples' addresses are in or not."""

    policy: Policy
    cells: tuple[Cell, ...]
    zones: Zones
    complete: bool  # False: some rule is opaque

    def decision(self, decider: Rule | None) -> Decision:
        return self.policy.default_decision if decider is None else decider.decision

    def untrusted(self) -> Iterator[Cell]:
        return (cell for cell in self.cells if cell.request.device_trust is DeviceTrust.NOT_TRUSTED)


def build_space(policy: Policy, zones: Zones | None) -> Space:
    """``zones`` None: any combination of the zones that the policy names is taken to be possible."""
    rules = policy.rules
    opaque = {i for i, rule in enumerate(rules) if _has_foreign_condition(rule, zones)}
    places, place_zones = _places(policy, zones)
    people_classes = _classes(rules, (People,), _people(policy), {})
    place_classes = _classes(rules, (Location,), places, place_zones)
    if not people_classes or len(people_classes) * len(place_classes or (0,)) > MAX_CELL_GROUPS:
        people_classes = [(_request(SOMEONE_ELSE, ()), _all(rules))]
        opaque |= {i for i, rule in enumerate(rules) if rule.condition(People) is not None}
    if not place_classes or len(people_classes) * len(place_classes) > MAX_CELL_GROUPS:
        place_classes = [(_request(SOMEONE_ELSE, ()), _all(rules))]
        opaque |= {i for i, rule in enumerate(rules) if rule.condition(Location) is not None}
    claims = _classes(rules, _CLAIM_CONDITIONS, _claims(policy), {}, merge=False)
    cells = []
    for who, ((person, by_person), (place, by_place)) in enumerate(product(people_classes, place_classes)):
        for claim, by_claim in claims:
            request = replace(
                person,
                ip=place.ip,
                client=claim.client,
                platform=claim.platform,
                device_trust=claim.device_trust,
                hardware_key=claim.hardware_key,
            )
            cells.append(_cell(rules, who, request, by_person & by_place & by_claim, opaque))
    named = {name: place_zones[name] for name in sorted(referenced_zones(policy)) if name in place_zones}
    return Space(policy, tuple(cells), named, complete=not opaque)


def _cell(
    rules: tuple[Rule, ...], who: int, request: SignOnRequest, selected_by: frozenset[int], opaque: set[int]
) -> Cell:
    reached: list[int] = []
    deciders: list[Rule | None] = []
    for index in sorted(selected_by):
        rule = rules[index]
        if rule.status is Status.INACTIVE:
            continue
        reached.append(index)
        if rule.status is Status.ACTIVE:
            deciders.append(rule)
            if index not in opaque:
                break
    else:
        deciders.append(None)
    return Cell(who, request, selected_by, frozenset(reached), tuple(deciders))


def _classes(
    rules: tuple[Rule, ...],
    kinds: tuple[type[Condition], ...],
    examples: Iterable[SignOnRequest],
    zones: Zones,
    *,
    merge: bool = True,
) -> list[tuple[SignOnRequest, frozenset[int]]]:
    """Examples with the rules whose conditions of these kinds they meet; one example of each set. A
    condition that is UNDEFINED counts as met: its rule is opaque."""
    tests: list[list[Callable[[SignOnRequest, Zones], Match]]] = [
        [condition.match for _, condition in rule.conditions if isinstance(condition, kinds)]
        for rule in rules
    ]
    classes: dict[object, tuple[SignOnRequest, frozenset[int]]] = {}
    for number, example in enumerate(examples):
        met = frozenset(
            index
            for index, matches in enumerate(tests)
            if all(match(example, zones) is not Match.NOT_MATCH for match in matches)
        )
        classes.setdefault(met if merge else number, (example, met))
    return list(classes.values())


def _has_foreign_condition(rule: Rule, zones: Zones | None) -> bool:
    for _, condition in rule.conditions:
        if not isinstance(condition, (*_CLAIM_CONDITIONS, People, Location)):
            return True
        if (
            isinstance(condition, Location)
            and zones is not None
            and not zones.keys() >= {*condition.zone_names}
        ):
            return True
    return False


def _people(policy: Policy) -> list[SignOnRequest]:
    """Every named user and someone else, each in every combination of the named groups; [] if those
    are more than the bound."""
    users = {SOMEONE_ELSE}
    for rule in policy.rules:
        people = rule.condition(People)
        if people is not None:
            users |= people.included_users | people.excluded_users
    groups = sorted(referenced_groups(policy))
    if len(users) * 2 ** min(len(groups), 20) > MAX_PEOPLE:
        return []
    subsets = [subset for size in range(len(groups) + 1) for subset in combinations(groups, size)]
    ordered = sorted(users, key=lambda user: (user != SOMEONE_ELSE, user))
    return [_request(user, subset) for user in ordered for subset in subsets]


def _places(policy: Policy, zones: Zones | None) -> tuple[list[SignOnRequest], Zones]:
    """An address in every combination of zones that occurs, and the zones to look them up in."""
    names = sorted(referenced_zones(policy))
    if zones is None:
        if len(names) > MAX_ZONES_WITHOUT_NETWORKS:
            return [], {}
        # The bits of the last octet say which zones hold the address.
        addresses = [IPv4Address(f"192.0.2.{bits}") for bits in range(2 ** len(names))]
        made_up: Mapping[str, Zone] = {
            name: Zone(name, tuple(ip_network(a) for a in addresses if int(a) >> i & 1))
            for i, name in enumerate(names)
        }
        return [_request(SOMEONE_ELSE, (), address) for address in addresses], made_up
    edges: list[IPAddress] = [*_EXAMPLE_ADDRESSES]
    for name in names:
        for network in zones[name].networks if name in zones else ():
            # Membership changes only where a network begins or has just ended.
            edges.append(network.network_address)
            last = network.broadcast_address
            if int(last) + 1 < 2**last.max_prefixlen:
                edges.append(last + 1)
    edges += [IPv4Address(0), IPv6Address(0)]
    return [_request(SOMEONE_ELSE, (), address) for address in edges], zones


def _claims(policy: Policy) -> list[SignOnRequest]:
    clients = tuple(Client) if policy.client_conditions else (Client.WEB_BROWSER,)
    devices = _WITH_HARDWARE_KEYS if policy.tells_keys_apart else _DEVICES
    return [
        replace(
            _request(SOMEONE_ELSE, ()),
            client=client,
            platform=platform,
            device_trust=trust,
            hardware_key=hardware_key,
        )
        for client, platform, (trust, hardware_key) in product(clients, Platform, devices)
    ]


def _request(user: str, groups: Iterable[str], ip: IPAddress = _EXAMPLE_ADDRESSES[0]) -> SignOnRequest:
    return SignOnRequest(
        user, frozenset(groups), ip, Client.WEB_BROWSER, Platform.WINDOWS, DeviceTrust.NOT_TRUSTED
    )


def _all(rules: tuple[Rule, ...]) -> frozenset[int]:
    return frozenset(range(len(rules)))
