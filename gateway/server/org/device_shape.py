"""Devices and certificates as the API writes them. Devices have the shape of Okta's, with what certificates
call them, and what they run on, beside it; certificates are our own.

Okta's own tools read four platforms, and fail on the whole list where one device has another. So a device
that runs Linux, or something else, has WINDOWS in its profile, whose attributes (sid, tpmPublicKeyHash) are
its own, too; ``platform`` beside the profile is what it does run on.
"""

import base64
from typing import Any, Final

from gateway.model.issued import CertificateStatus, IssuedCertificate, RevocationReason
from gateway.model.org import Device, DeviceStatus
from gateway.server.org.openapi import reference
from gateway.services.devices import PLATFORMS
from gateway.system_log.wire import timestamp

_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
# Tools know no CREATED: a device that was registered is in use.
_STATUS: Final = {
    DeviceStatus.CREATED: "ACTIVE",
    DeviceStatus.ACTIVE: "ACTIVE",
    DeviceStatus.SUSPENDED: "SUSPENDED",
    DeviceStatus.DEACTIVATED: "DEACTIVATED",
}
_PROFILE_PLATFORMS: Final = ("ANDROID", "IOS", "MACOS", "WINDOWS")
_OF_OTHERS: Final = "WINDOWS"
_STEPS: Final = {
    "ACTIVE": ("deactivate", "suspend"),
    "SUSPENDED": ("unsuspend", "deactivate"),
    "DEACTIVATED": ("activate",),
}

SCHEMAS: Final[dict[str, Any]] = {
    "DeviceProfile": {
        "type": "object",
        "required": ["displayName", "platform"],
        "properties": {
            "displayName": {"type": "string", "minLength": 1, "maxLength": 255},
            "platform": {
                "enum": PLATFORMS,
                "description": f"Answers have {', '.join(_PROFILE_PLATFORMS)} only, which Okta's tools can"
                f" read: {_OF_OTHERS} for devices that run something else. See the device's own `platform`.",
            },
            "serialNumber": {"type": ["string", "null"], "maxLength": 127},
        },
    },
    "Device": {
        "type": "object",
        "required": [
            "id",
            "status",
            "created",
            "lastUpdated",
            "profile",
            "platform",
            "certificateName",
            "resourceType",
            "resourceId",
            "_links",
        ],
        "properties": {
            "id": {"type": "string"},
            "status": {"enum": sorted(set(_STATUS.values()))},
            "created": _MOMENT,
            "lastUpdated": _MOMENT,
            "profile": reference("DeviceProfile"),
            "platform": {"enum": PLATFORMS, "description": "What the device runs on."},
            "certificateName": {"type": "string", "description": "What certificates call the device."},
            "resourceType": {"const": "UDDevice"},
            "resourceId": {"type": "string"},
            "resourceAlternateId": _TEXT_OR_NULL,
            "resourceDisplayName": {"type": "object"},
            "_links": {"type": "object"},
        },
    },
    "DeviceUser": {
        "type": "object",
        "required": ["created", "user"],
        "properties": {
            "created": _MOMENT,
            "managementStatus": {"type": "string"},
            "screenLockType": {"type": "string"},
            "user": reference("User"),
        },
    },
    "Certificate": {
        "type": "object",
        "description": "A certificate of the built-in authority.",
        "required": ["serialNumber", "issuer", "status", "deviceId", "notBefore", "notAfter", "_links"],
        "properties": {
            "thumbprint": {
                **_TEXT_OR_NULL,
                "description": "x5t#S256; null while it is not signed.",
            },
            "serialNumber": {"type": "string", "description": "Hexadecimal."},
            "issuer": {
                "type": "string",
                "description": "Which issuer: a hash, hexadecimal.",
            },
            "authorityId": {"type": "string"},
            "status": {"enum": [status.value for status in CertificateStatus]},
            "profile": {"type": "string"},
            "deviceId": {"type": "string"},
            "userId": _TEXT_OR_NULL,
            "notBefore": _MOMENT,
            "notAfter": _MOMENT,
            "created": _MOMENT,
            "revokedAt": _MOMENT_OR_NULL,
            "revocationReason": {"enum": [*(reason.value for reason in RevocationReason), None]},
            "replaces": {**_TEXT_OR_NULL, "description": "Thumbprint of the one that it renews."},
            "firstSeen": _MOMENT_OR_NULL,
            "x5c": {"type": "array", "items": {"type": "string"}, "description": "Base64 of the DER."},
            "_links": {"type": "object"},
        },
    },
}


def device_json(device: Device, base_url: str) -> dict[str, Any]:
    itself = f"{base_url}/api/v1/devices/{device.id}"
    status = _STATUS[device.status]
    return {
        "id": device.id,
        "status": status,
        "created": timestamp(device.created),
        "lastUpdated": timestamp(device.last_updated),
        "profile": {
            **device.profile,
            "displayName": device.name,
            "platform": device.platform if device.platform in _PROFILE_PLATFORMS else _OF_OTHERS,
            "serialNumber": device.serial_number,
            "registered": True,
        },
        "platform": device.platform,
        "certificateName": device.certificate_name,
        "resourceType": "UDDevice",
        "resourceId": device.id,
        "resourceAlternateId": None,
        "resourceDisplayName": {"value": device.name, "sensitive": False},
        "_links": {
            "self": {"href": itself},
            "users": {"href": f"{itself}/users"},
            "certificates": {"href": f"{itself}/certificates"},
            **{
                step: {"href": f"{itself}/lifecycle/{step}", "hints": {"allow": ["POST"]}}
                for step in _STEPS[status]
            },
        },
    }


def certificate_json(certificate: IssuedCertificate, base_url: str) -> dict[str, Any]:
    name = certificate.thumbprint or certificate.serial_hex
    itself = f"{base_url}/api/v1/certificates/{name}"
    revoked_at, first_seen = certificate.revoked_at, certificate.first_seen
    der = certificate.certificate_der
    return {
        "thumbprint": certificate.thumbprint,
        "serialNumber": certificate.serial_hex,
        "issuer": certificate.issuer_hash.hex(),
        "authorityId": certificate.authority_id,
        "status": certificate.status.value,
        "profile": certificate.profile,
        "deviceId": certificate.device_id,
        "userId": certificate.user_id,
        "notBefore": timestamp(certificate.not_before),
        "notAfter": timestamp(certificate.not_after),
        "created": timestamp(certificate.created),
        "revokedAt": None if revoked_at is None else timestamp(revoked_at),
        "revocationReason": certificate.revocation_reason,
        "replaces": certificate.replaces,
        "firstSeen": None if first_seen is None else timestamp(first_seen),
        "x5c": [] if der is None else [base64.b64encode(der).decode()],
        "_links": {
            "self": {"href": itself},
            "device": {"href": f"{base_url}/api/v1/devices/{certificate.device_id}"},
        },
    }
