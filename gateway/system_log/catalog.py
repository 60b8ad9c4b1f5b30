"""The catalog of the System Log: every type of event, what it is called, and how grave it is by default.

Types and messages are those of Okta's catalog, so that what searches for them there finds them here. What
has no type there begins with ``devicetrust.``. Events are made by the functions of `certificate_events`,
`administration` and `sign_on_events`; each takes an `Occasion` and what it is about.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.model.log_event import (
    Actor,
    Authentication,
    Client,
    LogEvent,
    LoggedDevice,
    Outcome,
    Severity,
    Target,
    Transaction,
    TransactionType,
)


class EventType(StrEnum):
    # Device Trust.
    DEVICE_AUTHENTICATED = "user.authentication.authenticate"
    CERTIFICATE_ENROLLED = "user.credential.enroll"
    CERTIFICATE_ISSUED = "pki.cert.issue"
    CERTIFICATE_REVOKED = "pki.cert.revoke"
    CERTIFICATE_RENEWED = "pki.cert.renew"
    CERTIFICATE_RELEASED = "devicetrust.certificate.release"
    AUTHORITY_ADDED = "pki.ca.add"
    AUTHORITY_RENEWED = "pki.ca.renew"
    AUTHORITY_DELETED = "pki.ca.delete"
    CRL_DOWNLOAD_FAILED = "pki.cert.crl_download_failure"
    # Sign-ons.
    SIGN_ON_EVALUATED = "policy.evaluate_sign_on"
    ACCESS_DENIED = "application.policy.sign_on.deny_access"
    SIGNED_ON = "user.authentication.sso"
    REQUEST_BLOCKED = "security.request.blocked"
    # Administration.
    USER_CREATED = "user.lifecycle.create"
    USER_ACTIVATED = "user.lifecycle.activate"
    USER_REACTIVATED = "user.lifecycle.reactivate"
    USER_DEACTIVATED = "user.lifecycle.deactivate"
    USER_SUSPENDED = "user.lifecycle.suspend"
    USER_UNSUSPENDED = "user.lifecycle.unsuspend"
    USER_DELETED = "user.lifecycle.delete.completed"
    USER_UPDATED = "user.account.update_profile"
    USER_SESSIONS_CLEARED = "user.session.clear"
    GROUP_CREATED = "group.lifecycle.create"
    GROUP_UPDATED = "group.profile.update"
    GROUP_DELETED = "group.lifecycle.delete"
    GROUP_MEMBER_ADDED = "group.user_membership.add"
    GROUP_MEMBER_REMOVED = "group.user_membership.remove"
    DEVICE_REGISTERED = "device.enrollment.create"
    DEVICE_ACTIVATED = "device.lifecycle.activate"
    DEVICE_DEACTIVATED = "device.lifecycle.deactivate"
    DEVICE_SUSPENDED = "device.lifecycle.suspend"
    DEVICE_UNSUSPENDED = "device.lifecycle.unsuspend"
    DEVICE_DELETED = "device.lifecycle.delete"
    DEVICE_USER_ADDED = "device.user.add"
    DEVICE_USER_REMOVED = "device.user.remove"
    POLICY_CREATED = "policy.lifecycle.create"
    POLICY_ACTIVATED = "policy.lifecycle.activate"
    POLICY_DEACTIVATED = "policy.lifecycle.deactivate"
    POLICY_DELETED = "policy.lifecycle.delete"
    POLICY_UPDATED = "application.policy.sign_on.update"
    RULE_CREATED = "application.policy.sign_on.rule.create"
    RULE_UPDATED = "application.policy.sign_on.rule.update"
    RULE_DELETED = "application.policy.sign_on.rule.delete"
    ZONE_CREATED = "zone.create"
    ZONE_UPDATED = "zone.update"
    ZONE_ACTIVATED = "zone.activate"
    ZONE_DEACTIVATED = "zone.deactivate"
    ZONE_DELETED = "zone.delete"
    API_TOKEN_CREATED = "system.api_token.create"  # noqa: S105 - the name of an event
    API_TOKEN_REVOKED = "system.api_token.revoke"  # noqa: S105 - the name of an event
    SETTING_CHANGED = "devicetrust.setting.update"
    CONFIGURATION_IMPORTED = "devicetrust.configuration.import"
    LOG_TRIMMED = "devicetrust.log.trim"
    ENROLLMENT_CODE_CREATED = "devicetrust.enrollment_code.create"
    # Integrated Windows Authentication.
    IWA_AUTHENTICATED = "user.authentication.auth_via_iwa"
    IWA_CREATED = "system.iwa.create"
    IWA_UPDATED = "system.iwa.update"
    IWA_REMOVED = "system.iwa.remove"
    IWA_WENT_ONLINE = "system.iwa.go_online"
    IWA_WENT_OFFLINE = "system.iwa.go_offline"
    IWA_PROMOTED = "system.iwa.promote_primary"


DISPLAY_MESSAGES: Final[Mapping[EventType, str]] = {
    EventType.DEVICE_AUTHENTICATED: "Authentication of device through a certificate",
    EventType.CERTIFICATE_ENROLLED: "Device Trust certificate enrollment",
    EventType.CERTIFICATE_ISSUED: "Device Trust certificate issuance",
    EventType.CERTIFICATE_REVOKED: "Device Trust certificate revocation",
    EventType.CERTIFICATE_RENEWED: "Device Trust certificate renewal",
    EventType.CERTIFICATE_RELEASED: "Device Trust certificate release from hold",
    EventType.AUTHORITY_ADDED: "Add certificate authority",
    EventType.AUTHORITY_RENEWED: "Renew certificate authority",
    EventType.AUTHORITY_DELETED: "Delete certificate authority",
    EventType.CRL_DOWNLOAD_FAILED: "Download of certificate revocation list failed",
    EventType.SIGN_ON_EVALUATED: "Evaluation of sign-on policy",
    EventType.ACCESS_DENIED: "Deny user access due to app sign on policy",
    EventType.SIGNED_ON: "User single sign on to app",
    EventType.REQUEST_BLOCKED: "Request blocked",
    EventType.USER_CREATED: "Create user",
    EventType.USER_ACTIVATED: "Activate user",
    EventType.USER_REACTIVATED: "Reactivate user",
    EventType.USER_DEACTIVATED: "Deactivate user",
    EventType.USER_SUSPENDED: "Suspend user",
    EventType.USER_UNSUSPENDED: "Unsuspend user",
    EventType.USER_DELETED: "Delete user",
    EventType.USER_UPDATED: "Update user profile",
    EventType.USER_SESSIONS_CLEARED: "Clear user session",
    EventType.GROUP_CREATED: "Create group",
    EventType.GROUP_UPDATED: "Update group",
    EventType.GROUP_DELETED: "Delete group",
    EventType.GROUP_MEMBER_ADDED: "Add user to group membership",
    EventType.GROUP_MEMBER_REMOVED: "Remove user from group membership",
    EventType.DEVICE_REGISTERED: "Register device",
    EventType.DEVICE_ACTIVATED: "Activate device",
    EventType.DEVICE_DEACTIVATED: "Deactivate device",
    EventType.DEVICE_SUSPENDED: "Suspend device",
    EventType.DEVICE_UNSUSPENDED: "Unsuspend device",
    EventType.DEVICE_DELETED: "Delete device",
    EventType.DEVICE_USER_ADDED: "Add user to device",
    EventType.DEVICE_USER_REMOVED: "Remove user from device",
    EventType.POLICY_CREATED: "Create policy",
    EventType.POLICY_ACTIVATED: "Activate policy",
    EventType.POLICY_DEACTIVATED: "Deactivate policy",
    EventType.POLICY_DELETED: "Delete policy",
    EventType.POLICY_UPDATED: "Update app sign on policy",
    EventType.RULE_CREATED: "Create rule of app sign on policy",
    EventType.RULE_UPDATED: "Update rule of app sign on policy",
    EventType.RULE_DELETED: "Delete rule of app sign on policy",
    EventType.ZONE_CREATED: "Create network zone",
    EventType.ZONE_UPDATED: "Update network zone",
    EventType.ZONE_ACTIVATED: "Activate network zone",
    EventType.ZONE_DEACTIVATED: "Deactivate network zone",
    EventType.ZONE_DELETED: "Delete network zone",
    EventType.API_TOKEN_CREATED: "Create API token",
    EventType.API_TOKEN_REVOKED: "Revoke API token",
    EventType.SETTING_CHANGED: "Update setting",
    EventType.CONFIGURATION_IMPORTED: "Import configuration",
    EventType.LOG_TRIMMED: "Remove old events from the System Log",
    EventType.ENROLLMENT_CODE_CREATED: "Create enrollment code",
    EventType.IWA_AUTHENTICATED: "Authenticate user via IWA",
    EventType.IWA_CREATED: "Create IWA agent",
    EventType.IWA_UPDATED: "Update IWA agent",
    EventType.IWA_REMOVED: "Remove IWA agent",
    EventType.IWA_WENT_ONLINE: "IWA agent went online",
    EventType.IWA_WENT_OFFLINE: "IWA agent went offline",
    EventType.IWA_PROMOTED: "Promote IWA agent to primary",
}

_GRAVE_OUTCOMES: Final = frozenset((Outcome.FAILURE, Outcome.DENY))
_GRAVE_TYPES: Final = frozenset(
    (EventType.CRL_DOWNLOAD_FAILED, EventType.IWA_WENT_OFFLINE, EventType.REQUEST_BLOCKED)
)

SYSTEM: Final = Actor("system", "SystemPrincipal", "system@devicetrust", "Device Trust Gateway")


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who does something, when and from where: the same for all events of one request or job.

    ``new_uuid`` gives each event a name of its own (uuid4, or whatever else is unique and stable).
    """

    at: datetime
    new_uuid: Callable[[], str]
    transaction: Transaction
    actor: Actor = SYSTEM
    client: Client = field(default_factory=Client)
    authentication: Authentication = field(default_factory=Authentication)


def job(at: datetime, new_uuid: Callable[[], str], transaction_id: str) -> Occasion:
    """What the gateway does by itself, or a command does at its machine."""
    return Occasion(at, new_uuid, Transaction(transaction_id, TransactionType.JOB))


def event(
    occasion: Occasion,
    event_type: EventType,
    *targets: Target,
    outcome: Outcome = Outcome.SUCCESS,
    reason: str | None = None,
    severity: Severity | None = None,
    device: LoggedDevice | None = None,
    debug_data: Mapping[str, object] | None = None,
) -> LogEvent:
    """An event of the catalog. Without ``severity``: a warning where something was denied or failed, else
    information."""
    grave = outcome in _GRAVE_OUTCOMES or event_type in _GRAVE_TYPES
    return LogEvent(
        uuid=occasion.new_uuid(),
        published=occasion.at,
        event_type=event_type.value,
        display_message=DISPLAY_MESSAGES[event_type],
        severity=severity or (Severity.WARN if grave else Severity.INFO),
        outcome=outcome,
        actor=occasion.actor,
        transaction=occasion.transaction,
        reason=reason or None,
        client=occasion.client,
        targets=targets,
        authentication=occasion.authentication,
        device=device,
        # Names without a value say nothing, and tools list every name that they meet.
        debug_data={name: value for name, value in (debug_data or {}).items() if value not in (None, "")},
    )
