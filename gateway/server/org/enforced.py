"""Changes that are answered when they are in force: with the time until the last worker had applied them, and
with the workers that have not."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from gateway.adapters.store import Work
from gateway.server.org.call import Call
from gateway.server.org.enforcement import Applied
from gateway.server.org.openapi import reference

_T = TypeVar("_T")

_WORKER: Final = {"gateway": {"type": "string"}, "worker": {"type": "integer"}}
SCHEMAS: Final[dict[str, Any]] = {
    "Enforcement": {
        "type": "object",
        "description": "How a change came into force. `seconds` is from its commit until the last worker had "
        "applied it, open connections included; workers that have not are `missing`.",
        "required": ["number", "seconds", "workers", "missing"],
        "properties": {
            "number": {"type": "integer"},
            "seconds": {"type": "number"},
            "workers": {"type": "array", "items": {"type": "object", "properties": _WORKER}},
            "missing": {
                "type": "array",
                "items": {"type": "object", "properties": {**_WORKER, "detail": {"type": "string"}}},
            },
        },
    },
    "EnforcedChange": {
        "type": "object",
        "required": ["enforcement"],
        "properties": {
            "enforcement": reference("Enforcement"),
            "revokedCertificates": {"type": "integer", "description": "How many were revoked by this."},
        },
    },
}


async def enforced(call: Call, use_case: Callable[[Work], _T]) -> tuple[_T, Applied]:
    """Commit what the use case does, and wait until it is in force, for a bounded time."""
    value, number = await call.store.change_numbered(use_case)
    return value, await call.enforcement.wait(number)
