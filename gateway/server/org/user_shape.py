"""Users and groups as the API writes them, in the shape of Okta's."""

from typing import Any, Final

from gateway.model.org import Group, GroupType, User, UserSource, UserStatus
from gateway.server.org.openapi import reference
from gateway.services.directory_accounts import directory_account
from gateway.services.people import profile_of
from gateway.system_log.wire import timestamp

# Nobody has another kind of profile.
USER_TYPE_ID: Final = "otyDefaultUserType00"

_PROVIDERS: Final = {
    UserSource.LOCAL: ("OKTA", "OKTA"),
    UserSource.AD: ("ACTIVE_DIRECTORY", "ACTIVE_DIRECTORY"),
    UserSource.JIT: ("FEDERATION", "FEDERATION"),
}
PROVIDER_TYPES: Final = {kind: source for source, (kind, _) in _PROVIDERS.items()}
_STEPS: Final = {
    UserStatus.STAGED: ("activate", "deactivate"),
    UserStatus.ACTIVE: ("suspend", "deactivate"),
    UserStatus.SUSPENDED: ("unsuspend", "deactivate"),
    UserStatus.DEPROVISIONED: ("activate",),
}

_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
LINKS_SCHEMA: Final[dict[str, Any]] = {"type": "object"}

# Attributes whose kind programs for the Okta API know, and how long they may be.
TEXT_ATTRIBUTES: Final = {
    "city": 128,
    "countryCode": 2,
    "mobilePhone": 100,
    "primaryPhone": 100,
    "secondEmail": 100,
    "state": 128,
    "zipCode": 50,
    **dict.fromkeys(
        (
            "costCenter",
            "department",
            "displayName",
            "division",
            "employeeNumber",
            "honorificPrefix",
            "honorificSuffix",
            "locale",
            "manager",
            "managerId",
            "middleName",
            "nickName",
            "organization",
            "postalAddress",
            "preferredLanguage",
            "profileUrl",
            "streetAddress",
            "timezone",
            "title",
            "userType",
        ),
        1_024,
    ),
}

PROFILE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["login"],
    "properties": {
        "login": {
            "type": "string",
            "minLength": 1,
            "maxLength": 254,
            "description": "Unique, without regard to case.",
        },
        "email": {"type": ["string", "null"], "minLength": 5, "maxLength": 100},
        "firstName": {"type": ["string", "null"], "maxLength": 50},
        "lastName": {"type": ["string", "null"], "maxLength": 50},
    },
}

SCHEMAS: Final[dict[str, Any]] = {
    "UserProfile": PROFILE_SCHEMA,
    "User": {
        "type": "object",
        "required": ["id", "status", "created", "lastUpdated", "profile", "_links"],
        "properties": {
            "id": {"type": "string"},
            "status": {"enum": [status.value for status in UserStatus]},
            "created": _MOMENT,
            "activated": _MOMENT_OR_NULL,
            "statusChanged": _MOMENT_OR_NULL,
            "lastLogin": {"type": "null"},
            "lastUpdated": _MOMENT,
            "passwordChanged": {"type": "null"},
            "type": {"type": "object", "properties": {"id": {"type": "string"}}},
            "profile": reference("UserProfile"),
            "credentials": {"type": "object"},
            "directoryAccount": {
                "type": ["object", "null"],
                "description": "The account of the directory with which the person enrolled first: "
                "`principal`, `realm`, and where there are some `sid` and `guid`.",
            },
            "_links": LINKS_SCHEMA,
        },
    },
    "Group": {
        "type": "object",
        "required": ["id", "created", "lastUpdated", "objectClass", "type", "profile", "_links"],
        "properties": {
            "id": {"type": "string"},
            "created": _MOMENT,
            "lastUpdated": _MOMENT,
            "lastMembershipUpdated": _MOMENT,
            "objectClass": {"type": "array", "items": {"type": "string"}},
            "type": {"enum": [kind.value for kind in GroupType]},
            "profile": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "description": {"type": "string"}},
            },
            "_links": LINKS_SCHEMA,
        },
    },
}


def user_json(user: User, base_url: str) -> dict[str, Any]:
    itself = f"{base_url}/api/v1/users/{user.id}"
    profile = profile_of(user)
    provider, name = _PROVIDERS[user.source]
    changed = None if user.status_changed is None else timestamp(user.status_changed)
    return {
        "id": user.id,
        "status": user.status.value,
        "created": timestamp(user.created),
        "activated": changed if user.status is UserStatus.ACTIVE else None,
        "statusChanged": changed,
        "lastLogin": None,
        "lastUpdated": timestamp(user.last_updated),
        "passwordChanged": None,
        "type": {"id": USER_TYPE_ID},
        "profile": {
            **profile.more,
            "login": user.login,
            "email": user.email or None,
            "firstName": user.first_name or None,
            "lastName": user.last_name or None,
        },
        "credentials": {"provider": {"type": provider, "name": name}},
        "directoryAccount": directory_account(user),
        "_links": {
            "self": {"href": itself},
            **{
                step: {"href": f"{itself}/lifecycle/{step}", "method": "POST"} for step in _STEPS[user.status]
            },
        },
    }


def group_json(group: Group, base_url: str) -> dict[str, Any]:
    itself = f"{base_url}/api/v1/groups/{group.id}"
    return {
        "id": group.id,
        "created": timestamp(group.created),
        "lastUpdated": timestamp(group.last_updated),
        "lastMembershipUpdated": timestamp(group.last_updated),
        "objectClass": ["okta:user_group"],
        "type": group.type.value,
        "profile": {"name": group.name, "description": group.description},
        "_links": {"self": {"href": itself}, "users": {"href": f"{itself}/users"}},
    }
