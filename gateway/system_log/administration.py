"""Events of what administrators do: users, groups, devices, policies, zones, tokens and settings.

Each takes the type of event and what it is about; a type that does not fit is a mistake of the caller.
``changed_from`` and ``changed_to`` hold the values that differ, where the event is an update.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gateway.model.log_event import LogEvent, Target
from gateway.model.org import ApiToken, Device, Group, StoredPolicy, StoredZone, User
from gateway.system_log.catalog import EventType, Occasion, event
from gateway.system_log.targets import (
    app_target,
    device_target,
    group_target,
    logged_device,
    policy_target,
    rule_target,
    token_target,
    user_target,
    zone_target,
)

Values = Mapping[str, object]

USER_EVENTS: Final = frozenset(
    (
        EventType.USER_CREATED,
        EventType.USER_ACTIVATED,
        EventType.USER_REACTIVATED,
        EventType.USER_DEACTIVATED,
        EventType.USER_SUSPENDED,
        EventType.USER_UNSUSPENDED,
        EventType.USER_DELETED,
        EventType.USER_UPDATED,
        EventType.USER_SESSIONS_CLEARED,
    )
)
GROUP_EVENTS: Final = frozenset((EventType.GROUP_CREATED, EventType.GROUP_UPDATED, EventType.GROUP_DELETED))
DEVICE_EVENTS: Final = frozenset(
    (
        EventType.DEVICE_REGISTERED,
        EventType.DEVICE_ACTIVATED,
        EventType.DEVICE_DEACTIVATED,
        EventType.DEVICE_SUSPENDED,
        EventType.DEVICE_UNSUSPENDED,
        EventType.DEVICE_DELETED,
    )
)
POLICY_EVENTS: Final = frozenset(
    (
        EventType.POLICY_CREATED,
        EventType.POLICY_ACTIVATED,
        EventType.POLICY_DEACTIVATED,
        EventType.POLICY_DELETED,
        EventType.POLICY_UPDATED,
    )
)
RULE_EVENTS: Final = frozenset((EventType.RULE_CREATED, EventType.RULE_UPDATED, EventType.RULE_DELETED))
ZONE_EVENTS: Final = frozenset(
    (
        EventType.ZONE_CREATED,
        EventType.ZONE_UPDATED,
        EventType.ZONE_ACTIVATED,
        EventType.ZONE_DEACTIVATED,
        EventType.ZONE_DELETED,
    )
)


def user_event(
    occasion: Occasion,
    event_type: EventType,
    user: User,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
    reason: str | None = None,
) -> LogEvent:
    assert event_type in USER_EVENTS
    target = _changed(user_target(user), changed_from, changed_to)
    return event(occasion, event_type, target, reason=reason)


def group_event(
    occasion: Occasion,
    event_type: EventType,
    group: Group,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
) -> LogEvent:
    assert event_type in GROUP_EVENTS
    return event(occasion, event_type, _changed(group_target(group), changed_from, changed_to))


def group_member_added(occasion: Occasion, group: Group, user: User) -> LogEvent:
    return event(occasion, EventType.GROUP_MEMBER_ADDED, user_target(user), group_target(group))


def group_member_removed(occasion: Occasion, group: Group, user: User) -> LogEvent:
    return event(occasion, EventType.GROUP_MEMBER_REMOVED, user_target(user), group_target(group))


def device_event(
    occasion: Occasion, event_type: EventType, device: Device, *, reason: str | None = None
) -> LogEvent:
    assert event_type in DEVICE_EVENTS
    return event(
        occasion,
        event_type,
        device_target(device),
        reason=reason,
        device=logged_device(device),
        debug_data={"deviceId": device.id},
    )


def device_user_added(occasion: Occasion, device: Device, user: User) -> LogEvent:
    return _device_user(occasion, EventType.DEVICE_USER_ADDED, device, user)


def device_user_removed(occasion: Occasion, device: Device, user: User) -> LogEvent:
    return _device_user(occasion, EventType.DEVICE_USER_REMOVED, device, user)


def policy_event(
    occasion: Occasion,
    event_type: EventType,
    policy: StoredPolicy,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
) -> LogEvent:
    assert event_type in POLICY_EVENTS
    target = _changed(policy_target(policy), changed_from, changed_to)
    return event(occasion, event_type, target, app_target(policy.app, policy.app))


def rule_event(
    occasion: Occasion,
    event_type: EventType,
    policy: StoredPolicy,
    rule_id: str,
    rule_name: str,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
) -> LogEvent:
    assert event_type in RULE_EVENTS
    rule = _changed(rule_target(rule_id, rule_name, policy.id), changed_from, changed_to)
    return event(
        occasion,
        event_type,
        rule,
        policy_target(policy),
        app_target(policy.app, policy.app),
        debug_data={"rule": rule_name},
    )


def zone_event(
    occasion: Occasion,
    event_type: EventType,
    zone: StoredZone,
    *,
    changed_from: Values | None = None,
    changed_to: Values | None = None,
) -> LogEvent:
    assert event_type in ZONE_EVENTS
    return event(occasion, event_type, _changed(zone_target(zone), changed_from, changed_to))


def api_token_created(occasion: Occasion, token: ApiToken) -> LogEvent:
    return event(occasion, EventType.API_TOKEN_CREATED, token_target(token))


def api_token_revoked(occasion: Occasion, token: ApiToken) -> LogEvent:
    return event(occasion, EventType.API_TOKEN_REVOKED, token_target(token))


def setting_changed(
    occasion: Occasion, name: str, changed_from: object, changed_to: object, *, reason: str | None = None
) -> LogEvent:
    """``reason``: such as that an administrator insisted although rules rest on the setting."""
    target = Target(name, "Setting", name, name, None, {"value": changed_from}, {"value": changed_to})
    return event(occasion, EventType.SETTING_CHANGED, target, reason=reason)


def configuration_imported(occasion: Occasion, name: str, summary: Values) -> LogEvent:
    """``name``: of the file; ``summary``: how many of what were made, changed and removed."""
    return event(
        occasion,
        EventType.CONFIGURATION_IMPORTED,
        Target(name, "Configuration", name, name, summary),
    )


def log_trimmed(occasion: Occasion, last_number: int, last_hash: bytes, rows: int) -> LogEvent:
    """The oldest rows are gone, up to this one. Its hash is what the first row that is left holds on to."""
    return event(
        occasion,
        EventType.LOG_TRIMMED,
        Target(str(last_number), "SystemLog", str(last_number), "System Log"),
        debug_data={"lastNumber": last_number, "lastHash": last_hash.hex(), "rows": rows},
    )


def _device_user(occasion: Occasion, event_type: EventType, device: Device, user: User) -> LogEvent:
    return event(
        occasion,
        event_type,
        device_target(device),
        user_target(user),
        device=logged_device(device),
        debug_data={"deviceId": device.id},
    )


def _changed(target: Target, changed_from: Values | None, changed_to: Values | None) -> Target:
    if changed_from is None and changed_to is None:
        return target
    return replace(target, changed_from=changed_from, changed_to=changed_to)
