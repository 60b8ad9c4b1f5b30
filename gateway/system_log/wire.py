"""A LogEvent in the JSON that Okta's System Log API gives out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from gateway.model.log_event import Actor, Client, LogEvent, Target


def to_okta(event: LogEvent) -> dict[str, object]:
    """The whole event as JSON values. Every name of the API is there, null where nothing is known."""
    return {
        "uuid": event.uuid,
        "published": timestamp(event.published),
        "eventType": event.event_type,
        "version": "0",
        "severity": event.severity.value,
        "legacyEventType": None,
        "displayMessage": event.display_message,
        "actor": _actor(event.actor),
        "client": _client(event.client),
        "device": None
        if event.device is None
        else {
            "id": event.device.id,
            "name": event.device.name,
            "os_platform": event.device.os_platform,
            "os_version": event.device.os_version,
            "managed": event.device.managed,
            "registered": event.device.registered,
        },
        "outcome": {"result": event.outcome.value, "reason": event.reason},
        "target": [_target(target) for target in event.targets],
        "transaction": {
            "id": event.transaction.id,
            "type": event.transaction.type.value,
            "detail": dict(event.transaction.detail or {}),
        },
        "debugContext": {"debugData": dict(event.debug_data)},
        "authenticationContext": {
            "authenticationProvider": event.authentication.provider,
            "authenticationStep": 0,
            "credentialProvider": event.authentication.credential_provider,
            "credentialType": event.authentication.credential_type,
            "externalSessionId": event.authentication.external_session_id,
            "interface": event.authentication.interface,
            "issuer": None
            if event.authentication.issuer_id is None
            else {"id": event.authentication.issuer_id, "type": event.authentication.issuer_type},
        },
        "securityContext": {"asNumber": None, "asOrg": None, "domain": None, "isp": None, "isProxy": None},
        "request": {"ipChain": [_hop(ip) for ip in event.client.ip_chain]},
    }


def timestamp(at: datetime) -> str:
    """``2026-01-02T03:04:05.678Z``: always UTC, always milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _actor(actor: Actor) -> dict[str, object]:
    return {
        "id": actor.id,
        "type": actor.type,
        "alternateId": actor.alternate_id,
        "displayName": actor.display_name,
        "detailEntry": _optional(actor.detail),
    }


def _target(target: Target) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": target.id,
        "type": target.type,
        "alternateId": target.alternate_id,
        "displayName": target.display_name,
        "detailEntry": _optional(target.detail),
    }
    if target.changed_from is not None or target.changed_to is not None:
        shown["changeDetails"] = {
            "from": dict(target.changed_from or {}),
            "to": dict(target.changed_to or {}),
        }
    return shown


def _client(client: Client) -> dict[str, object]:
    return {
        "id": client.id,
        "ipAddress": client.ip,
        "device": client.device,
        "zone": client.zone,
        "userAgent": {"rawUserAgent": client.user_agent, "os": client.os, "browser": client.browser},
        "geographicalContext": None,
    }


def _hop(ip: str) -> dict[str, object]:
    return {
        "ip": ip,
        "version": f"V{ip_address(ip).version}",
        "source": None,
        "geographicalContext": None,
    }


def _optional(detail: Mapping[str, object] | None) -> dict[str, object] | None:
    return None if detail is None else dict(detail)
