"""Sign-ons of the past under another policy: which of them would have ended otherwise.

The past is the System Log: its events `policy.evaluate_sign_on`, as `devicetrust log export` writes them,
one JSON object a line. What an event does not tell is not guessed: where the answer depends on the user's
groups, and they were not logged, or on the device, and it was not asked at the time, the sign-on is counted
as not decided.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final

from gateway.model.decision import Access, Client, Decision, DeviceTrust, Platform, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.engine import evaluate, evaluate_both
from gateway.policy.rules import Policy, referenced_groups

EVALUATED: Final = "policy.evaluate_sign_on"


class Outcome(StrEnum):
    """What the person met with."""

    LET_IN = "let_in"
    FACTOR = "asked_for_factor"
    DENIED = "denied"


_OUTCOMES: Final = {"ALLOW": Outcome.LET_IN, "CHALLENGE": Outcome.FACTOR, "DENY": Outcome.DENIED}


# What the log calls the platforms that have a name. Sign-ons from Linux that were logged before it had one
# say other_desktop, and are replayed as such.
_SYSTEMS: Final = {
    "iOS": Platform.IOS,
    "Android": Platform.ANDROID,
    "Windows": Platform.WINDOWS,
    "macOS": Platform.MACOS,
    "Linux": Platform.LINUX,
}


class Unread(Exception):
    """An event that is no sign-on that can be replayed; the text says why."""


@dataclass(frozen=True, slots=True)
class PastSignOn:
    """``groups_known`` False: the request's groups are empty because nothing told them. ``key_known`` False:
    nothing told whether the trusted device's key was in hardware."""

    uuid: str
    published: datetime
    app: str
    request: SignOnRequest
    groups_known: bool
    outcome: Outcome
    rule: str | None
    key_known: bool = True


@dataclass(frozen=True, slots=True)
class Difference:
    """One sign-on that would end otherwise. ``rule`` None: the default decides."""

    sign_on: PastSignOn
    before: Outcome
    after: Outcome
    reason: str
    rule: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """``replayed`` counts those that could be decided; the others depend on groups that nothing told, or on
    a device that was not asked, or on where its key was, which nothing told."""

    replayed: int
    unknown_groups: int
    unknown_device: int
    differences: tuple[Difference, ...]


def is_sign_on(event: Mapping[str, Any]) -> bool:
    return event.get("eventType") == EVALUATED


def read_sign_on(
    event: Mapping[str, Any], groups_of: Callable[[str], frozenset[str] | None] | None = None
) -> PastSignOn:
    """``groups_of`` gives the groups of a login as they are now, for events that do not tell. Raises
    Unread."""
    try:
        details = event["debugContext"]["debugData"]
        user = event["actor"]["alternateId"]
        app = next(target["id"] for target in event["target"] or () if target["type"] == "AppInstance")
        logged = details.get("groups")
        groups = frozenset(map(str, logged)) if isinstance(logged, list) else None
        if groups is None and groups_of is not None:
            groups = groups_of(user)
        claims = event["client"]["userAgent"]
        trust = DeviceTrust(details.get("deviceTrust", DeviceTrust.UNKNOWN.value))
        hardware_key = details.get("hardwareKey")
        request = SignOnRequest(
            user,
            groups or frozenset(),
            ip_address(event["client"]["ipAddress"]),
            Client(claims["browser"]),
            _SYSTEMS.get(claims["os"]) or Platform(claims["os"]),
            trust,
            trust is DeviceTrust.TRUSTED and hardware_key is True,
        )
        published = datetime.fromisoformat(event["published"])
        if published.tzinfo is None:
            raise Unread("is not one of ours: its time has no zone")
        return PastSignOn(
            uuid=str(event["uuid"]),
            published=published,
            app=str(app),
            request=request,
            groups_known=groups is not None,
            outcome=_OUTCOMES[event["outcome"]["result"]],
            rule=details.get("rule"),
            key_known=trust is not DeviceTrust.TRUSTED or isinstance(hardware_key, bool),
        )
    except StopIteration:
        raise Unread("names no app") from None
    except KeyError as error:
        raise Unread(f"lacks {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise Unread(f"is not one of ours: {error}"[:200]) from None


def replay(
    sign_ons: Iterable[PastSignOn], policy: Policy, zones: Zones, *, against: Policy | None = None
) -> Replay:
    """What ``policy`` would have said. It is compared with what was logged, or with what another policy
    (``against``) would have said."""
    named = referenced_groups(policy) | (referenced_groups(against) if against is not None else frozenset())
    differences: list[Difference] = []
    replayed = unknown_groups = unknown_device = 0
    for sign_on in sign_ons:
        if named and not sign_on.groups_known:
            unknown_groups += 1
            continue
        decision = _decide(policy, sign_on, zones)
        other = None if against is None else _decide(against, sign_on, zones)
        if decision is None or (other is None and against is not None):
            unknown_device += 1
            continue
        replayed += 1
        after = outcome_of(decision)
        before = sign_on.outcome if other is None else outcome_of(other)
        # Whoever had just shown a factor was let in by the very rule that asks for one.
        shown = other is None and before is Outcome.LET_IN and sign_on.rule == decision.rule
        if after is not before and not (after is Outcome.FACTOR and shown):
            differences.append(Difference(sign_on, before, after, decision.reason, decision.rule))
    return Replay(replayed, unknown_groups, unknown_device, tuple(differences))


def outcome_of(decision: Decision) -> Outcome:
    if decision.access is Access.DENY:
        return Outcome.DENIED
    return Outcome.LET_IN if decision.prompt_for_factor is None else Outcome.FACTOR


def _decide(policy: Policy, sign_on: PastSignOn, zones: Zones) -> Decision | None:
    """None: the answer depends on the device, which was not asked at the time, or of whose key nothing was
    told."""
    request = sign_on.request
    if not sign_on.key_known:
        answers = evaluate_both(policy, request, zones)
        return None if answers.key_matters else answers.trusted
    if request.device_trust is DeviceTrust.UNKNOWN:
        return evaluate_both(policy, request, zones).settled
    return evaluate(policy, request, zones)
