"""What the global Device Trust switch does to the sign-ons of each app.

While the switch is off every device is not trusted. So what changes with the switch is how a device
with a good certificate is answered: as not trusted while it is off, as trusted while it is on. All
requests that the policies tell apart are asked (`gateway.policy.lint.space`), so a rule that is said to
start or to stop is never a guess; what a plug-in's condition means is not known, and such a rule counts
as one that may decide.

Rules that are inactive or only monitor decide nothing and are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from gateway.model.decision import Access, Client, Decision, FactorPrompt, Platform
from gateway.policy.conditions import Zones
from gateway.policy.conditions.device_trust import DeviceTrustCondition, RequiredTrust
from gateway.policy.explain import prompt_text
from gateway.policy.lint.space import Cell, Space, build_space
from gateway.policy.rules import Policy, Rule, Status


class Bite(StrEnum):
    """What becomes of a rule when the switch is turned."""

    STARTS = "starts"  # decides sign-ons that it did not decide before
    STOPS = "stops"  # decides none any more
    STAYS = "stays"
    NEVER = "never"  # no sign-on reaches it, before or after


@dataclass(frozen=True, slots=True)
class TrustRule:
    """An active rule that looks at the device. ``required`` is never ANY."""

    app: str
    rule: str
    required: RequiredTrust
    access: Access
    prompt_for_factor: FactorPrompt | None


@dataclass(frozen=True, slots=True)
class RuleImpact:
    """One rule whose part changes, or that looks at the device. ``rule`` None: the default."""

    rule: str | None
    required: RequiredTrust  # ANY: it takes over, or hands over, because another rule looks at the device
    access: Access
    bite: Bite
    sentence: str


@dataclass(frozen=True, slots=True)
class AppImpact:
    """``loses_access``: some trusted device that is let in now would be denied; ``gains_access``: the
    reverse; ``prompt_changes``: some would be let in with another factor prompt, or with none."""

    app: str
    rules: tuple[RuleImpact, ...]
    loses_access: bool
    gains_access: bool
    prompt_changes: bool


def rules_using_trust(policies: Mapping[str, Policy]) -> tuple[TrustRule, ...]:
    """The active rules that require a trust, by app (key of ``policies``) and in their order."""
    return tuple(
        TrustRule(app, rule.name, required, rule.access, rule.prompt_for_factor)
        for app, policy in sorted(policies.items())
        for rule in policy.rules
        if rule.status is Status.ACTIVE and (required := _required(rule)) is not RequiredTrust.ANY
    )


def switch_impact(
    policies: Mapping[str, Policy], zones: Zones | None, *, enabled: bool
) -> tuple[AppImpact, ...]:
    """What turning the switch on (``enabled``) or off would do, for each app where it does something.

    The other position is taken to be the one of now. ``zones`` None: any combination of zones is possible.
    Costs up to a second for a policy at the bounds of `gateway.policy.lint.space`, milliseconds for others.
    """
    impacts = (_app_impact(app, policy, zones, enabled) for app, policy in sorted(policies.items()))
    return tuple(impact for impact in impacts if impact is not None)


def _app_impact(app: str, policy: Policy, zones: Zones | None, enabled: bool) -> AppImpact | None:
    if not any(
        rule.status is Status.ACTIVE and _required(rule) is not RequiredTrust.ANY for rule in policy.rules
    ):
        return None
    space = build_space(policy, zones)
    while_off = {decider for cell in space.untrusted() for decider in cell.deciders}
    while_on = {decider for cell in space.cells for decider in cell.deciders}
    before, after = (while_off, while_on) if enabled else (while_on, while_off)
    rules: list[RuleImpact] = []
    for rule in (*(rule for rule in policy.rules if rule.status is Status.ACTIVE), None):
        bite = _bite(rule in before, rule in after)
        required = RequiredTrust.ANY if rule is None else _required(rule)
        if required is RequiredTrust.ANY and bite in (Bite.STAYS, Bite.NEVER):
            continue
        access = policy.default if rule is None else rule.access
        rules.append(
            RuleImpact(
                None if rule is None else rule.name,
                required,
                access,
                bite,
                _sentence(required, bite, enabled),
            )
        )
    changes = list(_changes(space, enabled))
    return AppImpact(
        app,
        tuple(rules),
        loses_access=any(old.access is Access.ALLOW and new.access is Access.DENY for old, new in changes),
        gains_access=any(old.access is Access.DENY and new.access is Access.ALLOW for old, new in changes),
        prompt_changes=any(
            old.access is new.access and old.prompt_for_factor != new.prompt_for_factor
            for old, new in changes
        ),
    )


def _required(rule: Rule) -> RequiredTrust:
    condition = rule.condition(DeviceTrustCondition)
    return RequiredTrust.ANY if condition is None else condition.required


def _bite(before: bool, after: bool) -> Bite:
    if before == after:
        return Bite.STAYS if before else Bite.NEVER
    return Bite.STARTS if after else Bite.STOPS


def _sentence(required: RequiredTrust, bite: Bite, enabled: bool) -> str:
    if bite is Bite.NEVER:
        return "no sign-on reaches this rule"
    match required:
        case RequiredTrust.TRUSTED:
            return "matches devices that are trusted" if enabled else "matches no device any more"
        case RequiredTrust.NOT_TRUSTED:
            return "no longer matches devices that are trusted" if enabled else "matches every device"
        case RequiredTrust.ANY:
            return (
                "decides for devices that a rule above no longer takes"
                if bite is Bite.STARTS
                else "decides nothing any more: the rules above take every device"
            )
        case _:
            assert_never(required)


def _changes(space: Space, enabled: bool) -> Iterator[tuple[Decision, Decision]]:
    """For a trusted device, request by request: what it is answered now, and what then."""
    untrusted = {_but_for_device(cell): cell.deciders for cell in space.untrusted()}
    for cell in space.cells:
        off, on = untrusted[_but_for_device(cell)], cell.deciders
        if off == on:
            continue
        before, after = (off, on) if enabled else (on, off)
        for old in before:
            for new in after:
                yield space.decision(old), space.decision(new)


def _but_for_device(cell: Cell) -> tuple[int, Client, Platform]:
    return cell.who, cell.request.client, cell.request.platform


def rules_json(rules: tuple[TrustRule, ...]) -> list[dict[str, Any]]:
    """Values for a JSON writer."""
    return [
        {
            "app": rule.app,
            "rule": rule.rule,
            "device_trust": rule.required.value,
            "access": rule.access.value,
            "prompt_for_factor": None
            if rule.prompt_for_factor is None
            else prompt_text(rule.prompt_for_factor),
        }
        for rule in rules
    ]


def impact_json(impacts: tuple[AppImpact, ...]) -> list[dict[str, Any]]:
    """Values for a JSON writer."""
    return [
        {
            "app": impact.app,
            "loses_access": impact.loses_access,
            "gains_access": impact.gains_access,
            "prompt_changes": impact.prompt_changes,
            "rules": [
                {
                    "rule": rule.rule,
                    "device_trust": rule.required.value,
                    "access": rule.access.value,
                    "bite": rule.bite.value,
                    "sentence": rule.sentence,
                }
                for rule in impact.rules
            ],
        }
        for impact in impacts
    ]
