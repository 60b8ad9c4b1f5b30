"""What requests about policies, rules, zones and simulations look like, for the OpenAPI document.

The words are those that `gateway.policy.wire` reads; whether ids, names and networks are any is told by the
answer only.
"""

from typing import Any, Final

from gateway.policy.wire.conditions import (
    ANY_EXPRESSION,
    CLIENTS,
    HARDWARE_KEYS,
    LINUX_EXPRESSION,
    OS_TYPES,
    TRUST_LEVELS,
)

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_IDS: Final[dict[str, Any]] = {"type": ["array", "null"], "items": {"type": "string", "minLength": 1}}
_OPEN: Final[dict[str, Any]] = {}


def _object(required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


# What an answer has beside what can be written; it may be sent back.
_BESIDE: Final = ("id", "created", "lastUpdated", "_links", "_embedded", "enforcement", "system", "status")
_READ_ONLY: Final[dict[str, Any]] = dict.fromkeys(_BESIDE, _OPEN)
_MEMBERS: Final = _object(include=_IDS, exclude=_IDS)
_PLATFORMS: Final = {
    "type": "array",
    "items": _object(
        type={"enum": ["ANY", "DESKTOP", "MOBILE"]},
        os=_object(
            type={"enum": list(OS_TYPES)},
            expression={"enum": [ANY_EXPRESSION, LINUX_EXPRESSION, "", None]},
        ),
    ),
}
_CONDITIONS: Final = _object(
    people=_nullable(_object(users=_nullable(_MEMBERS), groups=_nullable(_MEMBERS))),
    network=_nullable(_object(connection={"enum": ["ANYWHERE", "ZONE"]}, include=_IDS, exclude=_IDS)),
    platform=_nullable(_object(include=_nullable(_PLATFORMS), exclude=_nullable(_PLATFORMS))),
    office365Client=_nullable(
        _object(["include"], include={"type": "array", "items": {"enum": list(CLIENTS.values())}})
    ),
    device=_nullable(
        _object(
            registered={"type": ["boolean", "null"]},
            managed={"type": ["boolean", "null"]},
            trustLevel={"enum": [*TRUST_LEVELS.values(), None]},
            hardwareKey={
                "enum": [*HARDWARE_KEYS.values(), None],
                "description": "REQUIRED: a key that the built-in authority has verified to be in a TPM. "
                "Beside trustLevel TRUSTED.",
            },
        )
    ),
    plugIns={"type": ["object", "null"], "description": "Conditions of plug-ins, by their key."},
)
_ACTIONS: Final = _object(
    ["appSignOn"],
    appSignOn=_object(
        ["access"],
        access={"enum": ["ALLOW", "DENY"]},
        verificationMethod=_nullable(
            _object(
                type={"enum": ["ASSURANCE", None]},
                factorMode={"enum": ["1FA", "2FA", None]},
                reauthenticateIn={
                    "type": ["string", "null"],
                    "description": "ISO 8601: PT0S every sign-on, PT43800H once a session, PT2H, …",
                },
                constraints={"type": ["array", "null"], "maxItems": 0},
            )
        ),
    ),
)

RULE: Final = _object(
    ["actions"],
    **{
        **_READ_ONLY,
        "type": {"enum": ["ACCESS_POLICY", None]},
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 200},
        "monitor": {
            "type": ["boolean", "null"],
            "description": "Decides nothing, is logged. `status` is INACTIVE then.",
        },
        "conditions": _nullable(_CONDITIONS),
        "actions": _ACTIONS,
        "warnings": _OPEN,
    },
)
POLICY: Final = _object(
    ["name"],
    **{
        **_READ_ONLY,
        "type": {"enum": ["ACCESS_POLICY", None]},
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        **dict.fromkeys(
            ("description", "conditions", "app", "source", "default", "fileChanged", "warnings"), _OPEN
        ),
    },
)
ZONE: Final = _object(
    ["name", "gateways"],
    **{
        **_READ_ONLY,
        "type": {"enum": ["IP", None]},
        "name": {"type": "string", "minLength": 1, "maxLength": 128},
        "gateways": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": _object(
                ["type", "value"],
                type={"enum": ["CIDR", "RANGE"]},
                value={"type": "string", "description": "10.0.0.0/8, or 10.0.0.1-10.0.0.9"},
            ),
        },
        **dict.fromkeys(("usage", "proxies", "useAsExemptList", "source"), _OPEN),
    },
)
SIMULATION: Final = _object(
    ["appInstance"],
    appInstance={"type": "string", "minLength": 1, "maxLength": 100},
    policyTypes=_IDS,
    policyType=_OPEN,
    policyContext=_nullable(
        _object(
            user=_nullable(_object(id=_TEXT)),
            groups=_nullable(_object(ids=_IDS)),
            ip={"type": ["string", "null"]},
            zones=_nullable(_object(ids=_IDS)),
            risk=_OPEN,
            device={"type": ["object", "null"]},
            client={"enum": [*CLIENTS.values(), None]},
        )
    ),
)
SCHEMAS: Final[dict[str, Any]] = {
    "PolicyRuleWrite": RULE,
    "PolicyWrite": POLICY,
    "NetworkZoneWrite": ZONE,
    "PolicySimulation": SIMULATION,
}
