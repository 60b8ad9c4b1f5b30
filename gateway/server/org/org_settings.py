"""`/api/v1/settings` and `/api/v1/org`: what holds for the whole organization."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway import __version__
from gateway.adapters.store import Work
from gateway.model.org import SettingName, TokenScope
from gateway.policy.trust_impact import impact_json, rules_json
from gateway.server.org.call import Call
from gateway.server.org.enforced import enforced
from gateway.server.org.errors import conflict
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.route import Answer, Route
from gateway.services import org_settings
from gateway.services.org_settings import OrgSettingsNow, SwitchedPolicies, TrustStillUsed, settings_now

_URL_OR_NULL: Final = {"type": ["string", "null"], "maxLength": org_settings.MAX_URL_CHARACTERS}
_SETTINGS: Final = {
    "device_trust_enabled": {"type": "boolean"},
    "learn_more_url": _URL_OR_NULL,
    "read_only": {"type": "boolean", "description": "Certificates are not issued; sign-ons go on."},
    "edited": {
        "type": "array",
        "items": {"enum": [name.value for name in SettingName]},
        "description": "Those that were set here, instead of in gateway.yaml.",
    },
    "_links": {"type": "object"},
}
_OBJECTS: Final = {"type": "array", "items": {"type": "object"}}
SCHEMAS: Final[dict[str, Any]] = {
    "Settings": {
        "type": "object",
        "required": ["device_trust_enabled", "learn_more_url", "read_only", "edited"],
        "properties": _SETTINGS,
    },
    "ChangedSettings": {
        "type": "object",
        "required": ["device_trust_enabled", "learn_more_url", "read_only", "edited", "enforcement"],
        "properties": {
            **_SETTINGS,
            "enforcement": reference("Enforcement"),
            "impact": {
                **_OBJECTS,
                "description": "Where the switch was turned: by app, the rules that start or stop to decide.",
            },
        },
    },
    "Org": {
        "type": "object",
        "required": ["version", "url", "apps"],
        "properties": {
            "version": {"type": "string"},
            "url": {"type": "string"},
            "apps": {"type": "array", "items": {"type": "object"}},
        },
    },
}


async def get_settings(call: Call) -> Answer:
    configuration = call.configuration
    now = await call.store.read(lambda view: settings_now(view, configuration))
    return Answer(json=_json(now, call))


async def change_settings(call: Call) -> Answer:
    """PUT and POST alike: what is left out stays as it is."""
    body = call.json_object(known={name.value for name in SettingName} | {"edited", "_links"})
    wanted = {SettingName(name): value for name, value in body.items() if name not in ("edited", "_links")}
    force, occasion, configuration = call.flag("force"), call.occasion(), call.configuration

    def use_case(work: Work) -> tuple[SwitchedPolicies | None, OrgSettingsNow]:
        switched = org_settings.change_settings(work, occasion, configuration, wanted, force=force)
        return switched, settings_now(work, configuration)

    try:
        (switched, now), applied = await enforced(call, use_case)
    except TrustStillUsed as used:
        raise conflict(
            "device_trust_enabled: active rules use Device Trust; force=true switches it off all the same",
            rules=rules_json(used.rules),
        ) from None
    answer = {**_json(now, call), "enforcement": applied.json()}
    if switched is not None:
        answer["impact"] = impact_json(await asyncio.to_thread(switched.impact))
    return Answer(json=answer)


async def get_org(call: Call) -> Answer:
    apps = [{"name": app.name, "label": app.label} for app in call.configuration.apps.values()]
    return Answer(json={"version": __version__, "url": call.base_url, "apps": apps})


def _json(now: OrgSettingsNow, call: Call) -> dict[str, Any]:
    return {
        "device_trust_enabled": now.device_trust_enabled,
        "learn_more_url": now.learn_more_url,
        "read_only": now.read_only,
        "edited": sorted(name.value for name in now.edited),
        "_links": {"self": {"href": f"{call.base_url}/api/v1/settings"}},
    }


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["Organization"], "responses": responses, **more}


_CHANGE: Final = _operation(
    "Change settings",
    {
        **answers("The settings as they are now.", reference("ChangedSettings")),
        "409": {
            "description": "Active rules use Device Trust; `rules` tells which.",
            "content": {"application/json": {"schema": reference("Error")}},
        },
    },
    parameters=[
        query_parameter(
            "force", "Switch Device Trust off although active rules use it.", {"enum": ["true", "false"]}
        )
    ],
    requestBody=takes(
        {
            "type": "object",
            "description": "What is left out stays; null leaves a setting to gateway.yaml.",
            "additionalProperties": False,
            "properties": {
                "device_trust_enabled": {"type": ["boolean", "null"]},
                "learn_more_url": _URL_OR_NULL,
                "read_only": {"type": ["boolean", "null"]},
            },
        }
    ),
)
ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/settings",
        TokenScope.READ,
        get_settings,
        _operation("Settings", answers("Settings.", reference("Settings"))),
    ),
    Route("PUT", "/api/v1/settings", TokenScope.ADMIN, change_settings, _CHANGE),
    Route("POST", "/api/v1/settings", TokenScope.ADMIN, change_settings, _CHANGE),
    Route(
        "GET",
        "/api/v1/org",
        TokenScope.READ,
        get_org,
        _operation("The organization", answers("It.", reference("Org"))),
    ),
)
