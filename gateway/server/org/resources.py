"""Every resource of the org, with the schemas that its operations refer to. A new one is named here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.server.org import (
    authorities,
    certificates,
    device_shape,
    devices,
    enforced,
    enrollment_answers,
    groups,
    iwas,
    logs,
    org_settings,
    policies,
    policy_requests,
    policy_rules,
    policy_shape,
    simulate,
    tokens,
    user_shape,
    users,
    zones,
)
from gateway.server.org.route import Route

_ROUTES: Final[Sequence[Sequence[Route]]] = (
    users.ROUTES,
    groups.ROUTES,
    devices.ROUTES,
    iwas.ROUTES,
    certificates.ROUTES,
    authorities.ROUTES,
    logs.ROUTES,
    policies.ROUTES,
    policy_rules.ROUTES,
    simulate.ROUTES,
    zones.ROUTES,
    org_settings.ROUTES,
    tokens.ROUTES,
)
_SCHEMAS: Final[Sequence[Mapping[str, Any]]] = (
    user_shape.SCHEMAS,
    device_shape.SCHEMAS,
    enforced.SCHEMAS,
    iwas.SCHEMAS,
    enrollment_answers.SCHEMAS,
    authorities.SCHEMAS,
    logs.SCHEMAS,
    policy_shape.SCHEMAS,
    org_settings.SCHEMAS,
    tokens.SCHEMAS,
    policy_requests.SCHEMAS,
)


def all_routes() -> tuple[Route, ...]:
    return tuple(route for routes in _ROUTES for route in routes)


def all_schemas() -> dict[str, Any]:
    return {name: schema for schemas in _SCHEMAS for name, schema in schemas.items()}
