"""Events of the IWA web apps and of those who enroll through them.

Only what a registered IWA web app has signed makes an event: strangers could else fill the log.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.model.iwa import Iwa
from gateway.model.log_event import Actor, Authentication, LogEvent, Outcome, Target
from gateway.model.org import Device, User
from gateway.system_log.catalog import SYSTEM, EventType, Occasion, event
from gateway.system_log.targets import device_target, logged_device, user_actor, user_target

Values = Mapping[str, object]

IWA_EVENTS: Final = frozenset(
    (
        EventType.IWA_CREATED,
        EventType.IWA_UPDATED,
        EventType.IWA_REMOVED,
        EventType.IWA_WENT_ONLINE,
        EventType.IWA_WENT_OFFLINE,
        EventType.IWA_PROMOTED,
    )
)


def iwa_target(iwa: Iwa) -> Target:
    return Target(
        iwa.id, "IwaAgent", iwa.url, iwa.name, {"keyId": iwa.key_id, "version": iwa.version or None}
    )


def iwa_event(
    occasion: Occasion,
    event_type: EventType,
    iwa: Iwa,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
) -> LogEvent:
    """What became of an IWA web app. That it went online or offline, nobody did but itself."""
    assert event_type in IWA_EVENTS
    if event_type in (EventType.IWA_WENT_ONLINE, EventType.IWA_WENT_OFFLINE):
        occasion = replace(occasion, actor=SYSTEM)
    target = iwa_target(iwa)
    if changed_from is not None or changed_to is not None:
        target = replace(target, changed_from=changed_from, changed_to=changed_to)
    return event(
        occasion,
        event_type,
        target,
        debug_data={"online": iwa.online, "primary": iwa.is_primary, "lastSeen": iwa.last_seen},
    )


def enrollment_code_created(
    occasion: Occasion, device: Device, user: User | None, until: datetime
) -> LogEvent:
    """Somebody made a code with which this device may enroll, once and until then."""
    targets = [device_target(device)]
    if user is not None:
        targets.append(user_target(user))
    return event(
        occasion,
        EventType.ENROLLMENT_CODE_CREATED,
        *targets,
        device=logged_device(device),
        debug_data={"deviceId": device.id, "until": until},
    )


def authenticated_via_iwa(
    occasion: Occasion,
    iwa: Iwa,
    principal: str,
    user: User | None,
    device: Device | None,
    *,
    refusal: str | None = None,
    seen: Values | None = None,
) -> LogEvent:
    """A person at a computer was vouched for. ``refusal``: why the org gives them no certificate all the
    same. ``seen``: what the token says, without secrets."""
    targets = [iwa_target(iwa)]
    if device is not None:
        targets.append(device_target(device))
    if user is not None:
        targets.append(user_target(user))
    actor = Actor(principal, "User", principal, principal) if user is None else user_actor(user)
    return event(
        replace(
            occasion,
            actor=actor,
            authentication=Authentication(
                provider="ACTIVE_DIRECTORY",
                credential_type="IWA",
                issuer_id=iwa.id,
                issuer_type="IWA",
            ),
        ),
        EventType.IWA_AUTHENTICATED,
        *targets,
        outcome=Outcome.SUCCESS if refusal is None else Outcome.FAILURE,
        reason=refusal,
        device=None if device is None else logged_device(device),
        debug_data={
            "iwa": iwa.name,
            "deviceId": None if device is None else device.id,
            "reason": refusal,
            **(seen or {}),
        },
    )
