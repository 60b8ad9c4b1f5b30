"""Ways in for a device that is not trusted, and trust that cannot do what the policy expects of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gateway.model.decision import Access, Client, Decision, DeviceTrust, Platform
from gateway.model.quoting import printable
from gateway.policy.conditions.clients import Clients
from gateway.policy.conditions.device_trust import DeviceTrustCondition, RequiredTrust
from gateway.policy.conditions.location import Location
from gateway.policy.lint.finding import Finding, LintContext, Severity
from gateway.policy.lint.space import SOMEONE_ELSE, Cell
from gateway.policy.rules import Status, requires_hardware_key

_LEGACY: Final = Client.EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH
_PLATFORMS_BY_FREQUENCY: Final = (
    Platform.WINDOWS,
    Platform.MACOS,
    Platform.IOS,
    Platform.ANDROID,
    Platform.LINUX,
    Platform.OTHER_DESKTOP,
    Platform.OTHER_MOBILE,
)


def spoofed_user_agent(context: LintContext) -> Iterator[Finding]:
    """An untrusted device that is denied gets in by sending another User-Agent, from the same place and
    as the same person.

    Source: RFC 9110 §10.1.5 (the field is the client's own word); the bypass of sign-on policies by an
    unknown User-Agent that Okta published in 2024.
    """
    for allowing, denied, allowed in _pairs(context, _is_denied, _allows):
        refused_by = context.space.decision(denied.deciders[0])
        by = "the default rule" if refused_by.rule is None else printable(refused_by.rule)
        yield Finding(
            Severity.WARNING,
            "spoofed-user-agent",
            allowing,
            f"an untrusted device that {by} denies{_whose(context, denied)} as {_claim(context, denied)}"
            f" is let in when it claims to be {_claim(context, allowed)}",
            "require device_trust here, or deny what cannot show a certificate; where neither is possible,"
            " narrow the rule by people and location",
        )


def spoofed_user_agent_drops_factor(context: LintContext) -> Iterator[Finding]:
    """An untrusted device that is asked for a factor is not asked any more with another User-Agent.

    Source: as `spoofed_user_agent`.
    """
    for allowing, prompted, free in _pairs(context, _is_prompted, _allows_without_factor):
        yield Finding(
            Severity.WARNING,
            "spoofed-user-agent-drops-factor",
            allowing,
            f"an untrusted device{_whose(context, prompted)} is asked for a factor as"
            f" {_claim(context, prompted)}, and is not when it claims to be {_claim(context, free)}",
            "prompt for a factor here as well, or deny",
        )


def untrusted_never_denied(context: LintContext) -> Iterator[Finding]:
    """No untrusted device is ever denied.

    Source: Okta Device Trust's allow-list approach ends in "a Deny catch-all rule".
    """
    deciders = (decider for cell in context.space.untrusted() for decider in cell.deciders)
    if all(_allows(context.space.decision(decider)) for decider in deciders):
        yield Finding(
            Severity.WARNING,
            "untrusted-never-denied",
            None,
            "no rule denies an untrusted device anything",
            "end the list with a rule that denies all, or set default: deny",
        )


def untrusted_reaches_default_allow(context: LintContext) -> Iterator[Finding]:
    """The default is allow, and an untrusted device can reach it.

    Source: Okta Device Trust's default rule allows all, and its guide has a catch-all put above it.
    """
    if context.policy.default is Access.DENY:
        return
    reaching = [cell for cell in context.space.untrusted() if None in cell.deciders]
    if reaching:
        cell = _plainest(reaching)
        yield Finding(
            Severity.WARNING,
            "untrusted-reaches-default-allow",
            None,
            f"an untrusted device{_whose(context, cell)} as {_claim(context, cell)} matches no rule and is"
            " let in by default",
            "end the list with a rule that denies all, or set default: deny",
        )


def trust_never_matters(context: LintContext) -> Iterator[Finding]:
    """A trusted and an untrusted device are always answered alike, so no challenge is ever sent.

    Source: the gateway challenges only where the answer depends on the device (Answers.needs_challenge).
    """
    space = context.space
    answers: dict[tuple[int, Client, Platform], set[tuple[object, ...]]] = {}
    for cell in space.cells:
        key = (cell.who, cell.request.client, cell.request.platform)
        for decider in cell.deciders:
            decision = space.decision(decider)
            answers.setdefault(key, set()).add((decision.access, decision.prompt_for_factor))
    if all(len(found) == 1 for found in answers.values()):
        yield Finding(
            Severity.WARNING,
            "trust-never-matters",
            None,
            "no answer depends on the device's trust: no device is ever asked for its certificate",
            "give the rules that let people in device_trust: trusted",
        )


def hardware_key_never_matters(context: LintContext) -> Iterator[Finding]:
    """A rule requires a hardware key, and the trusted devices that it passes over are answered as well.

    Source: first match wins, so a rule below for trusted devices with any key undoes the requirement.
    """
    space = context.space
    rules = [rule for rule in context.policy.rules if rule.status is Status.ACTIVE]
    requiring = [rule.name for rule in rules if requires_hardware_key(rule)]
    if not requiring:
        return
    answers: dict[tuple[int, Client, Platform], dict[bool, set[tuple[object, ...]]]] = {}
    for cell in space.cells:
        request = cell.request
        if request.device_trust is DeviceTrust.TRUSTED:
            found = answers.setdefault((cell.who, request.client, request.platform), {})
            found[request.hardware_key] = {
                (decision.access, decision.prompt_for_factor)
                for decision in map(space.decision, cell.deciders)
            }
    if all(found[True] == found[False] and len(found[True]) == 1 for found in answers.values()):
        yield Finding(
            Severity.WARNING,
            "hardware-key-never-matters",
            requiring[0],
            "hardware_key: required changes no answer: a trusted device with its key in a file is answered as"
            " one with its key in hardware",
            "narrow the rule that lets such devices in, or set default: deny",
        )


def trust_while_disabled(context: LintContext) -> Iterator[Finding]:
    """A rule requires a trust while ``device_trust.enabled`` is false: every device is not trusted.

    Source: Okta's Device Trust guide warns that users are denied when Trusted is set before certificates
    are there (§2.3), and greys the options out while Device Trust is not enabled.
    """
    if context.device_trust_enabled is not False:
        return
    for rule in context.policy.rules:
        trust = rule.condition(DeviceTrustCondition)
        if trust is None or trust.required is RequiredTrust.ANY or rule.status is Status.INACTIVE:
            continue
        effect = "never matches" if trust.required is RequiredTrust.TRUSTED else "matches every device"
        yield Finding(
            Severity.WARNING,
            "trust-while-disabled",
            rule.name,
            f"device_trust.enabled is false, so this rule {effect}",
            "enable device_trust in gateway.yaml, or set the rule's status to inactive",
        )


def legacy_let_in(context: LintContext) -> Iterator[Finding]:
    """Exchange ActiveSync or legacy authentication is let in.

    Source: these protocols carry a password only; they can show neither certificate nor factor, which is
    why Okta Device Trust has Trusted and Not trusted greyed out beside them.
    """
    if not context.policy.client_conditions:
        return
    for index, rule in enumerate(context.policy.rules):
        reached = any(
            index in cell.reached and cell.request.client is _LEGACY for cell in context.space.untrusted()
        )
        if rule.status is not Status.ACTIVE or rule.access is Access.DENY or not reached:
            continue
        prompt = rule.prompt_for_factor is not None
        yield Finding(
            Severity.WARNING,
            "legacy-let-in",
            rule.name,
            "legacy clients are let in: they can show no certificate, and a password is all that they have"
            + ("; they cannot answer the factor prompt either" if prompt else ""),
            "deny legacy clients, or narrow the rule to the people and zones that still need them",
        )


def trust_with_legacy(context: LintContext) -> Iterator[Finding]:
    """A rule requires a trust and lists legacy clients; accepted only while the app has no client
    conditions.

    Source: Okta Device Trust's "selectable only when … not selected" list; `compile_policy`.
    """
    for rule in context.policy.rules:
        trust, clients = rule.condition(DeviceTrustCondition), rule.condition(Clients)
        if trust is None or trust.required is RequiredTrust.ANY or clients is None:
            continue
        if _LEGACY in clients.selected:
            yield Finding(
                Severity.INFO,
                "trust-with-legacy",
                rule.name,
                "the rule lists legacy clients beside a required trust; it will be refused once the app has"
                " client_conditions: true",
                "leave clients out",
            )


def unknown_zone(context: LintContext) -> Iterator[Finding]:
    """A rule names a zone that gateway.yaml does not define: requests that reach it are denied.

    Source: `gateway.policy.engine` (what cannot be decided is POLICY_ERROR).
    """
    if context.zones is None:
        return
    for rule in context.policy.rules:
        location = rule.condition(Location)
        for name in () if location is None else location.zone_names:
            if name not in context.zones:
                yield Finding(
                    Severity.ERROR,
                    "unknown-zone",
                    rule.name,
                    f"no zone is named {printable(name)}: whoever reaches this rule is denied",
                    "define the zone in gateway.yaml, or correct its name",
                )


def _pairs(
    context: LintContext,
    held: Callable[[LintContext, Cell], bool],
    free: Callable[[Decision], bool],
) -> Iterator[tuple[str | None, Cell, Cell]]:
    """For each rule (None: the default) by which an untrusted device gets free: a cell where it is held
    and one where it is free that differ in nothing but the claims of the User-Agent."""
    by_who: dict[int, list[Cell]] = {}
    for cell in context.space.untrusted():
        by_who.setdefault(cell.who, []).append(cell)
    found: dict[str | None, list[tuple[Cell, Cell]]] = {}
    for cells in by_who.values():
        holding = [cell for cell in cells if held(context, cell)]
        if not holding:
            continue
        plainest = _plainest(holding)
        for cell in cells:
            for decider in cell.deciders:
                decision = context.space.decision(decider)
                if free(decision):
                    found.setdefault(decision.rule, []).append((plainest, cell))
    for rule, pairs in found.items():
        yield (rule, *min(pairs, key=lambda pair: _plainness(pair[1])))


def _is_denied(context: LintContext, cell: Cell) -> bool:
    return all(context.space.decision(decider).access is Access.DENY for decider in cell.deciders)


def _is_prompted(context: LintContext, cell: Cell) -> bool:
    decisions = [context.space.decision(decider) for decider in cell.deciders]
    return all(d.access is Access.ALLOW and d.prompt_for_factor is not None for d in decisions)


def _allows(decision: Decision) -> bool:
    return decision.access is Access.ALLOW


def _allows_without_factor(decision: Decision) -> bool:
    return decision.access is Access.ALLOW and decision.prompt_for_factor is None


def _plainest(cells: Iterable[Cell]) -> Cell:
    """The example that says most: of an ordinary person, on the commonest client and platform."""
    return min(cells, key=_plainness)


def _plainness(cell: Cell) -> tuple[bool, int, int, int]:
    request = cell.request
    return (
        request.user != SOMEONE_ELSE,
        len(request.groups),
        tuple(Client).index(request.client),
        _PLATFORMS_BY_FREQUENCY.index(request.platform),
    )


def _whose(context: LintContext, cell: Cell) -> str:
    """Person and place of an example, as far as the policy looks at them: `` of user … in zone …``."""
    request = cell.request
    text = ""
    if request.user != SOMEONE_ELSE:
        text += f" of user {printable(request.user)}"
    elif request.groups:
        text += f" of a member of {printable(min(request.groups))}"
    if context.space.zones:
        inside = [
            name for name, zone in context.space.zones.items() if any(request.ip in n for n in zone.networks)
        ]
        text += f" in zone {printable(inside[0])}" if inside else " outside of the named zones"
    return text


def _claim(context: LintContext, cell: Cell) -> str:
    if context.policy.client_conditions:
        return f"{cell.request.client} on {cell.request.platform}"
    return str(cell.request.platform)
