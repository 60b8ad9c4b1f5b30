"""Every resource of the org, with the schemas that its operations refer to. A new one is named here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.server.org.route import Route

RESOURCES: Final[Sequence[tuple[Sequence[Route], Mapping[str, Any]]]] = ()


def all_routes() -> tuple[Route, ...]:
    return tuple(route for routes, _ in RESOURCES for route in routes)


def all_schemas() -> dict[str, Any]:
    return {name: schema for _, schemas in RESOURCES for name, schema in schemas.items()}
