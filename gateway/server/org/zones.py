"""`/api/v1/zones`: network zones that policies name."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.model.org import TokenScope
from gateway.policy.wire.zones import ZoneOnWire, zone_wire
from gateway.server.org.call import Call
from gateway.server.org.enforcement import Applied
from gateway.server.org.listing import PAGE_PARAMETERS, list_of, page_answer, page_begin
from gateway.server.org.openapi import answers, reference, takes
from gateway.server.org.policy_shape import edited, seen
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.services import zones


async def list_zones(call: Call) -> Answer:
    limit, begin, configuration = call.limit(), page_begin(call), call.configuration
    found = await seen(call, lambda view: zones.zones(view, configuration))
    wanted = sorted((zone for zone in found if begin is None or zone.id > begin), key=lambda zone: zone.id)
    return page_answer(call, wanted[: limit + 1], limit, lambda zone, _: _zone_json(call, zone))


async def get_zone(call: Call) -> Answer:
    configuration, zone_id = call.configuration, call.parameters["zoneId"]
    zone = await seen(call, lambda view: zones.zone(view, configuration, zone_id))
    return Answer(json=_zone_json(call, zone))


async def create_zone(call: Call) -> Answer:
    body = call.json_object()
    zone, applied = await edited(call, lambda work, editing: zones.create_zone(work, editing, body))
    return _written(call, zone, applied)


async def replace_zone(call: Call) -> Answer:
    body, zone_id = call.json_object(), call.parameters["zoneId"]
    zone, applied = await edited(call, lambda work, editing: zones.replace_zone(work, editing, zone_id, body))
    return _written(call, zone, applied)


async def delete_zone(call: Call) -> Answer:
    zone_id = call.parameters["zoneId"]
    await edited(call, lambda work, editing: zones.delete_zone(work, editing, zone_id))
    return NO_CONTENT


def _lifecycle(active: bool) -> Callable[[Call], Awaitable[Answer]]:
    async def change_status(call: Call) -> Answer:
        zone_id = call.parameters["zoneId"]
        zone, applied = await edited(
            call, lambda work, editing: zones.set_zone_status(work, editing, zone_id, active=active)
        )
        return _written(call, zone, applied)

    return change_status


def _written(call: Call, zone: ZoneOnWire, applied: Applied) -> Answer:
    return Answer(json={**_zone_json(call, zone), "enforcement": applied.json()})


def _zone_json(call: Call, zone: ZoneOnWire) -> dict[str, Any]:
    return zone_wire(zone, f"{call.base_url}/api/v1/zones/{zone.id}")


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"tags": ["NetworkZone"], "summary": summary, "responses": responses, **more}


_PATH: Final = "/api/v1/zones"
_ONE: Final = answers("The zone.", reference("NetworkZone"))
_BODY: Final = takes(reference("NetworkZoneWrite"))

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        _PATH,
        TokenScope.READ,
        list_zones,
        _operation(
            "List zones",
            answers("Zones, in the order of their ids.", list_of(reference("NetworkZone"))),
            parameters=list(PAGE_PARAMETERS),
        ),
    ),
    Route(
        "POST",
        _PATH,
        TokenScope.ADMIN,
        create_zone,
        _operation("Create a zone", _ONE, requestBody=_BODY),
    ),
    Route("GET", f"{_PATH}/{{zoneId}}", TokenScope.READ, get_zone, _operation("A zone", _ONE)),
    Route(
        "PUT",
        f"{_PATH}/{{zoneId}}",
        TokenScope.ADMIN,
        replace_zone,
        _operation("Replace a zone", _ONE, requestBody=_BODY),
    ),
    Route(
        "DELETE",
        f"{_PATH}/{{zoneId}}",
        TokenScope.ADMIN,
        delete_zone,
        _operation("Delete a zone that no rule names", {"204": {"description": "Done."}}),
    ),
    Route(
        "POST",
        f"{_PATH}/{{zoneId}}/lifecycle/activate",
        TokenScope.ADMIN,
        _lifecycle(True),
        _operation("Activate a zone", _ONE),
    ),
    Route(
        "POST",
        f"{_PATH}/{{zoneId}}/lifecycle/deactivate",
        TokenScope.ADMIN,
        _lifecycle(False),
        _operation("Deactivate a zone that no rule names", _ONE),
    ),
)
