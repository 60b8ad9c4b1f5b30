"""Case tables: request → expected decision, kept beside a policy as ``NAME.cases.yaml``.

A table is a list of ``{request: {user, groups, ip, client, platform, device_trust}, expect: {access,
rule}}``. A trusted device may have its key in hardware: ``hardware_key: true`` (left out: false).
In the place of ``client`` and ``platform`` a request may give the ``user_agent`` they are read
from (nothing for a missing one). ``expect`` may add ``prompt_for_factor``: ``none``, or as a rule writes
it; left out, the prompt is not compared. A table whose policy names zones is written
``{zones: [{name, cidrs}], cases: […]}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final

from gateway.model.decision import (
    Access,
    Client,
    Decision,
    DeviceTrust,
    FactorPrompt,
    IPAddress,
    Platform,
    SignOnRequest,
)
from gateway.model.quoting import printable
from gateway.model.reasons import DEFAULT_RULE, POLICY_ERROR
from gateway.model.settings import IPNetwork, Zone
from gateway.policy.access import read_prompt
from gateway.policy.conditions import Zones
from gateway.policy.engine import evaluate
from gateway.policy.errors import KeyPath, PolicyInvalid, PolicyProblem
from gateway.policy.reading import (
    MAX_MEMBER_CHARACTERS,
    kind_of,
    read_choice,
    read_list,
    read_mapping,
    read_names,
    read_text,
)
from gateway.policy.rules import Policy
from gateway.policy.user_agent import classify

MAX_CASES: Final = 10_000

_COMMON_KEYS: Final = ("user", "groups", "ip", "device_trust")
_CLAIM_KEYS: Final = ("client", "platform")


class KnownTrust(StrEnum):
    """The trust of a case: a decision is never made while it is unknown."""

    TRUSTED = DeviceTrust.TRUSTED
    NOT_TRUSTED = DeviceTrust.NOT_TRUSTED


@dataclass(frozen=True, slots=True)
class Expectation:
    """``rule`` is a rule's name, DEFAULT_RULE or POLICY_ERROR. ``compare_prompt`` False: any prompt."""

    access: Access
    rule: str
    compare_prompt: bool = False
    prompt_for_factor: FactorPrompt | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """``path`` is where the case stands in its document."""

    path: KeyPath
    request: SignOnRequest
    expect: Expectation


@dataclass(frozen=True, slots=True)
class CaseTable:
    zones: Mapping[str, Zone]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    case: Case
    decision: Decision

    @property
    def passed(self) -> bool:
        expect, decision = self.case.expect, self.decision
        return (
            expect.access is decision.access
            and expect.rule == decided_by(decision)
            and (not expect.compare_prompt or expect.prompt_for_factor == decision.prompt_for_factor)
        )


def decided_by(decision: Decision) -> str:
    """What decided: a rule's name, DEFAULT_RULE or POLICY_ERROR."""
    if decision.reason in (DEFAULT_RULE, POLICY_ERROR) or decision.rule is None:
        return decision.reason
    return decision.rule


def run_cases(policy: Policy, table: CaseTable, zones: Zones | None = None) -> tuple[CaseResult, ...]:
    """Evaluate every case. ``zones`` are used instead of the table's own where they are given."""
    known = table.zones if zones is None else zones
    return tuple(CaseResult(case, evaluate(policy, case.request, known, trace=True)) for case in table.cases)


def read_cases(raw: object) -> CaseTable:
    """Raises PolicyInvalid. Does not look whether the expected rules exist: `run_cases` does."""
    zones: dict[str, Zone] = {}
    base: KeyPath = ()
    if isinstance(raw, Mapping):
        table = read_mapping(raw, (), known=("zones", "cases"), required=("cases",))
        zones = _zones(table.get("zones", []))
        raw, base = table["cases"], ("cases",)
    items = read_list(raw, base, limit=MAX_CASES)
    if not items:
        raise PolicyInvalid(PolicyProblem.OUT_OF_RANGE, base, "no cases: an empty table proves nothing")
    return CaseTable(zones, tuple(_case(item, (*base, index)) for index, item in enumerate(items)))


def _case(raw: object, path: KeyPath) -> Case:
    keys = ("request", "expect")
    case = read_mapping(raw, path, known=keys, required=keys)
    return Case(
        path, _request(case["request"], (*path, "request")), _expectation(case["expect"], (*path, "expect"))
    )


def _request(raw: object, path: KeyPath) -> SignOnRequest:
    known = (*_COMMON_KEYS, *_CLAIM_KEYS, "user_agent", "hardware_key")
    request = read_mapping(raw, path, known=known, required=_COMMON_KEYS)
    if "user_agent" in request:
        both = [key for key in _CLAIM_KEYS if key in request]
        if both:
            detail = "user_agent is given, which this is read from; leave one of them out"
            raise PolicyInvalid(PolicyProblem.DUPLICATE, (*path, both[0]), detail)
        user_agent = request["user_agent"]
        if user_agent is not None and not isinstance(user_agent, str):
            detail = f"expected text or nothing, got {kind_of(user_agent)}"
            raise PolicyInvalid(PolicyProblem.WRONG_TYPE, (*path, "user_agent"), detail)
        client, platform = classify(user_agent)
    else:
        read_mapping(request, path, known=known, required=_CLAIM_KEYS)
        client = read_choice(request["client"], (*path, "client"), Client)
        platform = read_choice(request["platform"], (*path, "platform"), Platform)
    trust = DeviceTrust(read_choice(request["device_trust"], (*path, "device_trust"), KnownTrust))
    return SignOnRequest(
        user=read_text(request["user"], (*path, "user"), limit=MAX_MEMBER_CHARACTERS),
        groups=frozenset(read_names(request["groups"], (*path, "groups"))),
        ip=_address(request["ip"], (*path, "ip")),
        client=client,
        platform=platform,
        device_trust=trust,
        hardware_key=_hardware_key(request.get("hardware_key", False), trust, (*path, "hardware_key")),
    )


def _hardware_key(raw: object, trust: DeviceTrust, path: KeyPath) -> bool:
    if not isinstance(raw, bool):
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, f"expected true or false, got {kind_of(raw)}")
    if raw and trust is not DeviceTrust.TRUSTED:
        detail = "only a trusted device's key is known to be in hardware; set device_trust: trusted"
        raise PolicyInvalid(PolicyProblem.HARDWARE_WITHOUT_TRUST, path, detail)
    return raw


def _expectation(raw: object, path: KeyPath) -> Expectation:
    expect = read_mapping(
        raw, path, known=("access", "rule", "prompt_for_factor"), required=("access", "rule")
    )
    access = read_choice(expect["access"], (*path, "access"), Access)
    rule = read_text(expect["rule"], (*path, "rule"))
    if "prompt_for_factor" not in expect:
        return Expectation(access, rule)
    if expect["prompt_for_factor"] == "none":
        return Expectation(access, rule, compare_prompt=True)
    prompt = read_prompt(expect["prompt_for_factor"], (*path, "prompt_for_factor"))
    return Expectation(access, rule, compare_prompt=True, prompt_for_factor=prompt)


def _zones(raw: object) -> dict[str, Zone]:
    zones: dict[str, Zone] = {}
    for index, item in enumerate(read_list(raw, ("zones",))):
        path = ("zones", index)
        zone = read_mapping(item, path, known=("name", "cidrs"), required=("name", "cidrs"))
        name = read_text(zone["name"], (*path, "name"))
        if name in zones:
            raise PolicyInvalid(
                PolicyProblem.DUPLICATE, (*path, "name"), f"{printable(name)} is defined twice"
            )
        cidrs = read_names(zone["cidrs"], (*path, "cidrs"))
        networks = tuple(_network(cidr, (*path, "cidrs", i)) for i, cidr in enumerate(cidrs))
        zones[name] = Zone(name, networks)
    return zones


def _address(raw: object, path: KeyPath) -> IPAddress:
    try:
        return ip_address(read_text(raw, path))
    except ValueError:
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, "not an IP address") from None


def _network(cidr: str, path: KeyPath) -> IPNetwork:
    try:
        return ip_network(cidr)
    except ValueError:
        detail = "not a network in CIDR form, or with bits set after the prefix"
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, detail) from None
