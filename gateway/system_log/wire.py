"""An event of the System Log as other tools read it: the LogEvent of Okta's `GET /api/v1/logs`.

What differs between events comes from `LogEvent`; the rest is the same for all. Every text is bounded, and
holds nothing that an engine or a line of a file could not keep: whatever a person or a peer called themselves
ends up here. Not checked: that a text is no secret. What is called like one has no value here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from gateway.model.log_event import Actor, Authentication, Client, LogEvent, LoggedDevice, Target

# Of the API: a reason has 1 to 255 characters. The others are as long as what they name may be; nothing that
# is logged needs more, and a row stays below some 20 KB.
MAX_REASON_CHARACTERS: Final = 255
MAX_NAME_CHARACTERS: Final = 255
MAX_MESSAGE_CHARACTERS: Final = 255
MAX_USER_AGENT_CHARACTERS: Final = 512
MAX_DETAIL_CHARACTERS: Final = 1_024
MAX_DETAIL_ITEMS: Final = 50
MAX_DETAIL_DEPTH: Final = 4
MAX_TARGETS: Final = 20
MAX_ADDRESSES: Final = 10

_VERSION: Final = "0"  # a text: the SDK refuses a number
_REMOVED: Final = "[removed]"
_SECRETS: Final = frozenset(
    (
        "accesstoken",
        "authorization",
        "clientsecret",
        "cookie",
        "password",
        "pin",
        "privatekey",
        "secret",
        "token",
    )
)


def to_okta(event: LogEvent) -> dict[str, Any]:
    """The JSON value of an event."""
    return {
        "actor": _actor(event.actor),
        "authenticationContext": _authentication(event.authentication),
        "client": _client(event.client),
        "debugContext": {"debugData": _details(event.debug_data, 1)},
        "device": None if event.device is None else _device(event.device),
        "displayMessage": _text(event.display_message, MAX_MESSAGE_CHARACTERS),
        "eventType": event.event_type,
        "legacyEventType": None,
        "outcome": {
            "reason": _optional(event.reason, MAX_REASON_CHARACTERS),
            "result": event.outcome.value,
        },
        "published": timestamp(event.published),
        "request": {"ipChain": [_address(ip) for ip in event.client.ip_chain[:MAX_ADDRESSES]]},
        "securityContext": {
            "asNumber": None,
            "asOrg": None,
            "domain": None,
            "isProxy": None,
            "isp": None,
        },
        "severity": event.severity.value,
        "target": [_target(target) for target in event.targets[:MAX_TARGETS]] or None,
        "transaction": {
            "detail": _details(event.transaction.detail or {}, 1),
            "id": _text(event.transaction.id, MAX_NAME_CHARACTERS),
            "type": event.transaction.type.value,
        },
        "uuid": event.uuid,
        "version": _VERSION,
    }


def as_named(text: str) -> str:
    """An id or a name as events hold it."""
    return _text(text, MAX_NAME_CHARACTERS)


def timestamp(at: datetime) -> str:
    """``YYYY-MM-DDTHH:MM:SS.sssZ``, always with three digits: other readers know no other form."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _actor(actor: Actor) -> dict[str, Any]:
    return {
        "alternateId": _text(actor.alternate_id, MAX_NAME_CHARACTERS),
        "detailEntry": None if actor.detail is None else _details(actor.detail, 1),
        "displayName": _text(actor.display_name, MAX_NAME_CHARACTERS),
        "id": _text(actor.id, MAX_NAME_CHARACTERS),
        "type": _text(actor.type, MAX_NAME_CHARACTERS),
    }


def _target(target: Target) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "alternateId": _text(target.alternate_id, MAX_NAME_CHARACTERS),
        "detailEntry": None if target.detail is None else _details(target.detail, 1),
        "displayName": _text(target.display_name, MAX_NAME_CHARACTERS),
        "id": _text(target.id, MAX_NAME_CHARACTERS),
        "type": _text(target.type, MAX_NAME_CHARACTERS),
    }
    if target.changed_from is not None or target.changed_to is not None:
        wire["changeDetails"] = {
            "from": _details(target.changed_from or {}, 1),
            "to": _details(target.changed_to or {}, 1),
        }
    return wire


def _client(client: Client) -> dict[str, Any]:
    known = client.browser, client.os, client.user_agent
    user_agent = None
    if any(part is not None for part in known):
        user_agent = {
            "browser": _optional(client.browser, MAX_NAME_CHARACTERS),
            "os": _optional(client.os, MAX_NAME_CHARACTERS),
            "rawUserAgent": _optional(client.user_agent, MAX_USER_AGENT_CHARACTERS),
        }
    return {
        "device": _optional(client.device, MAX_NAME_CHARACTERS),
        "geographicalContext": None,
        "id": _optional(client.id, MAX_NAME_CHARACTERS),
        "ipAddress": _optional(client.ip, MAX_NAME_CHARACTERS),
        "userAgent": user_agent,
        "zone": _optional(client.zone, MAX_NAME_CHARACTERS),
    }


def _authentication(by: Authentication) -> dict[str, Any]:
    issuer = None
    if by.issuer_id is not None or by.issuer_type is not None:
        issuer = {
            "id": _optional(by.issuer_id, MAX_NAME_CHARACTERS),
            "type": _optional(by.issuer_type, MAX_NAME_CHARACTERS),
        }
    return {
        "authenticationProvider": by.provider,
        "authenticationStep": 0,
        "credentialProvider": by.credential_provider,
        "credentialType": by.credential_type,
        "externalSessionId": _optional(by.external_session_id, MAX_NAME_CHARACTERS),
        "interface": _optional(by.interface, MAX_NAME_CHARACTERS),
        "issuer": issuer,
    }


def _device(device: LoggedDevice) -> dict[str, Any]:
    return {
        "id": _text(device.id, MAX_NAME_CHARACTERS),
        "managed": device.managed,
        "name": _text(device.name, MAX_NAME_CHARACTERS),
        "os_platform": _optional(device.os_platform, MAX_NAME_CHARACTERS),
        "os_version": _optional(device.os_version, MAX_NAME_CHARACTERS),
        "registered": device.registered,
    }


def _address(text: str) -> dict[str, Any]:
    try:
        version = f"V{ip_address(text).version}"
    except ValueError:
        version = None
    return {
        "geographicalContext": None,
        "ip": _text(text, MAX_NAME_CHARACTERS),
        "source": None,
        "version": version,
    }


def _details(details: Mapping[str, object], depth: int) -> dict[str, Any]:
    """Below an open object: as many items and as deep as is bounded; what is called like a secret is gone."""
    wire: dict[str, Any] = {}
    for name in list(details)[:MAX_DETAIL_ITEMS]:
        value = details[name]
        hidden = name.replace("_", "").replace("-", "").lower() in _SECRETS
        wire[_text(name, MAX_NAME_CHARACTERS)] = _REMOVED if hidden else _value(value, depth)
    return wire


def _value(value: object, depth: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON has neither infinity nor NaN
    if isinstance(value, datetime):
        return timestamp(value)
    if depth < MAX_DETAIL_DEPTH:
        if isinstance(value, Mapping):
            return _details({str(name): item for name, item in value.items()}, depth + 1)
        if isinstance(value, list | tuple | set | frozenset):
            return [_value(item, depth + 1) for item in list(value)[:MAX_DETAIL_ITEMS]]
    return _text(str(value), MAX_DETAIL_CHARACTERS)


def _optional(text: str | None, limit: int) -> str | None:
    """Nothing is said with nothing: the SDK refuses an empty reason."""
    return _text(text, limit) if text else None


def _text(text: str, limit: int) -> str:
    clipped = text if len(text) <= limit else text[: limit - 1] + "…"
    if clipped.isascii() and "\0" not in clipped:
        return clipped
    # Half of a surrogate pair has no UTF-8, and PostgreSQL keeps no NUL.
    return clipped.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
