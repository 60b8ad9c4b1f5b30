"""The OpenAPI document, made of the routes, so that it lists what there is and nothing else."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway import __version__
from gateway.server.org.route import Route

_PARAMETER: Final = re.compile(r"\{(\w+)(\*?)\}")

ERROR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["errorCode", "errorSummary", "errorLink", "errorId", "errorCauses"],
    "properties": {
        "errorCode": {"type": "string", "pattern": "^E[0-9]{7}$"},
        "errorSummary": {"type": "string"},
        "errorLink": {"type": "string"},
        "errorId": {"type": "string", "description": "Reference id of the request; also in the log."},
        "errorCauses": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["errorSummary"],
                "properties": {"errorSummary": {"type": "string"}},
            },
        },
    },
}


def reference(name: str) -> dict[str, str]:
    """A reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def answers(description: str, schema: Mapping[str, Any] | None = None, status: int = 200) -> dict[str, Any]:
    """The `responses` of an operation that has one kind of good answer."""
    response: dict[str, Any] = {"description": description}
    if schema is not None:
        response["content"] = json_content(schema)
    return {str(status): response}


def takes(schema: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """The `requestBody` of an operation."""
    return {"required": required, "content": json_content(schema)}


def query_parameter(name: str, description: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}


def document(routes: Iterable[Route], schemas: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document. ``schemas`` are the JSON Schemas that operations refer to by name."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Device Trust Gateway",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR_SCHEMA, **schemas},
            "securitySchemes": {
                "apiToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`SSWS <token>`, made by `devicetrust token create`.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name, _ in _PARAMETER.findall(route.path)
    ]
    operation = dict(route.operation)
    operation["parameters"] = [*in_path, *operation.get("parameters", ())]
    operation["responses"] = {
        "default": {"description": "An error.", "content": json_content(reference("Error"))},
        **operation.get("responses", {"200": {"description": "Done."}}),
    }
    if route.scope is None:
        operation["security"] = []
    else:
        operation["security"] = [{"apiToken": []}, {"bearer": []}]
        operation["x-devicetrust-scope"] = route.scope.value
    return operation
