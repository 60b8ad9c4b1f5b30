"""`/api/v1/devices`: devices, their lifecycle, and who uses them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.adapters.store import View, Work
from gateway.model.ids import IdKind
from gateway.model.org import Device, DeviceStatus, TokenScope, User
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.device_shape import device_json
from gateway.server.org.enforced import enforced
from gateway.server.org.errors import invalid_filter, validation_failed
from gateway.server.org.listing import PAGE_PARAMETERS, list_of, page_answer, page_begin
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.route import NO_CONTENT, Answer, Route
from gateway.server.org.search import equalities
from gateway.server.org.user_shape import user_json
from gateway.services import devices, people, revoking
from gateway.services.devices import PLATFORMS, DeviceProfile
from gateway.services.refusals import NotAllowedNow
from gateway.system_log.catalog import EventType
from gateway.system_log.wire import timestamp

_NAMED: Final = ("displayName", "platform", "serialNumber", "registered")
_SEARCHED: Final = ("id", "status")
_TEXT_ATTRIBUTES: Final = {
    "manufacturer": 127,
    "meid": 14,
    "model": 127,
    "osVersion": 127,
    "sid": 256,
    "tpmPublicKeyHash": 1_024,
    "udid": 47,
}
_FLAGS: Final = ("managed", "integrityJailbreak", "secureHardwarePresent")
_DISK_ENCRYPTION: Final = ("ALL_INTERNAL_VOLUMES", "FULL", "NONE", "SYSTEM_VOLUME", "USER")
_MIN_IMEI_CHARACTERS: Final = 14


async def list_devices(call: Call) -> Answer:
    limit, begin, q = call.limit(), page_begin(call), call.text("q")
    wanted = equalities(call.text("search"), _SEARCHED)
    status = _status(wanted.get("status"))

    def query(view: View) -> Sequence[Device]:
        if "id" in wanted:
            device = view.devices.get(wanted["id"])
            return [device] if device is not None and status in (None, device.status) else []
        return view.devices.page(after=begin, limit=limit + 1, q=q, status=status)

    return page_answer(call, await call.store.read(query), limit, device_json)


async def register_device(call: Call) -> Answer:
    """Okta's devices register themselves; here administrators may register them, too."""
    body = call.json_object(known={"profile", "certificateName", "userIds"})
    given = members.an_object(body, "profile")
    profile = DeviceProfile(
        name=members.text(given, "displayName", "profile."),
        platform=members.word(given, "platform", "profile.", PLATFORMS),
        serial_number=members.optional_text(given, "serialNumber", "profile."),
        certificate_name=members.optional_text(body, "certificateName", ""),
        more=members.attributes(given, _NAMED, "profile."),
    )
    _check_attributes(given)
    user_ids = members.texts(body, "userIds", limit=100)
    device_id, occasion = call.new_id(IdKind.DEVICE), call.occasion()

    def use_case(work: Work) -> Device:
        device = devices.register_device(work, occasion, device_id, profile)
        for user_id in user_ids:
            devices.add_device_user(work, occasion, device, people.find_user(work.users, user_id))
        return device

    return Answer(201, json=device_json(await call.store.change(use_case), call.base_url))


async def get_device(call: Call) -> Answer:
    device_id = call.parameters["deviceId"]
    device = await call.store.read(lambda view: devices.find_device(view.devices, device_id))
    return Answer(json=device_json(device, call.base_url))


def _lifecycle(event: EventType) -> Callable[[Call], Awaitable[Answer]]:
    async def change_status(call: Call) -> Answer:
        device_id, occasion = call.parameters["deviceId"], call.occasion()

        def use_case(work: Work) -> Device:
            device = devices.find_device(work.devices, device_id, lock=True)
            return devices.change_device_status(work, occasion, device, event)

        _, applied = await enforced(call, use_case)
        return Answer(json={"enforcement": applied.json()})

    return change_status


async def deactivate_device(call: Call) -> Answer:
    device_id, occasion = call.parameters["deviceId"], call.occasion()

    def use_case(work: Work) -> int:
        device = devices.find_device(work.devices, device_id, lock=True)
        if device.status is DeviceStatus.DEACTIVATED:
            raise NotAllowedNow("the device is DEACTIVATED")
        return len(revoking.deactivate_device(work, device, occasion).revoked)

    revoked, applied = await enforced(call, use_case)
    return Answer(json={"revokedCertificates": revoked, "enforcement": applied.json()})


async def delete_device(call: Call) -> Answer:
    device_id, occasion = call.parameters["deviceId"], call.occasion()
    await enforced(
        call,
        lambda work: devices.delete_device(
            work, occasion, devices.find_device(work.devices, device_id, lock=True)
        ),
    )
    return NO_CONTENT


async def list_users_of_device(call: Call) -> Answer:
    device_id = call.parameters["deviceId"]

    def query(view: View) -> Sequence[tuple[User, datetime]]:
        return view.devices.users_of(devices.find_device(view.devices, device_id).id)

    return Answer(
        json=[
            {
                "created": timestamp(since),
                "managementStatus": "MANAGED",
                "screenLockType": "NONE",
                "user": user_json(user, call.base_url),
            }
            for user, since in await call.store.read(query)
        ]
    )


async def add_user(call: Call) -> Answer:
    return await _link(call, devices.add_device_user)


async def remove_user(call: Call) -> Answer:
    return await _link(call, devices.remove_device_user)


async def _link(call: Call, use: Callable[[Work, Any, Device, User], None]) -> Answer:
    device_id, user_id, occasion = call.parameters["deviceId"], call.parameters["userId"], call.occasion()

    def use_case(work: Work) -> None:
        device = devices.find_device(work.devices, device_id)
        use(work, occasion, device, people.find_user(work.users, user_id))

    await call.store.change(use_case)
    return NO_CONTENT


def _check_attributes(given: Mapping[str, Any]) -> None:
    """What programs for the Okta API know the kind of: one device that is otherwise would keep them from
    reading any."""
    for name, limit in _TEXT_ATTRIBUTES.items():
        members.optional_text(given, name, "profile.", limit)
    for name in _FLAGS:
        if given.get(name) is not None:
            members.flag(given, name, "profile.", False)
    imei = members.optional_text(given, "imei", "profile.", 17)
    if imei is not None and len(imei) < _MIN_IMEI_CHARACTERS:
        raise validation_failed("profile.imei", "profile.imei: must have 14 to 17 characters")
    if given.get("diskEncryptionType") is not None:
        members.word(given, "diskEncryptionType", "profile.", _DISK_ENCRYPTION)


def _status(text: str | None) -> DeviceStatus | None:
    if text is None:
        return None
    try:
        return DeviceStatus(text)
    except ValueError:
        raise invalid_filter("status: there is no such status") from None


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["Devices"], "responses": responses, **more}


def _step(name: str, summary: str, handler: Callable[[Call], Awaitable[Answer]]) -> Route:
    return Route(
        "POST",
        f"/api/v1/devices/{{deviceId}}/lifecycle/{name}",
        TokenScope.OPERATE,
        handler,
        _operation(summary, answers("Done, and in force.", reference("EnforcedChange"))),
    )


_DONE: Final = {"204": {"description": "Done."}}
_NEW: Final = {
    "type": "object",
    "required": ["profile"],
    "additionalProperties": False,
    "properties": {
        "profile": reference("DeviceProfile"),
        "certificateName": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 1024,
            "description": "What certificates call the device. Left out: a name made of its id.",
        },
        "userIds": {"type": "array", "items": {"type": "string"}, "maxItems": 100},
    },
}
ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/devices",
        TokenScope.READ,
        list_devices,
        _operation(
            "List devices",
            answers("Devices, in the order of their ids.", list_of(reference("Device"))),
            parameters=[
                query_parameter("q", "Begins the name, the name in certificates or the serial number."),
                query_parameter("search", 'Such as `status eq "DEACTIVATED"`.'),
                *PAGE_PARAMETERS,
            ],
        ),
    ),
    Route(
        "POST",
        "/api/v1/devices",
        TokenScope.OPERATE,
        register_device,
        _operation(
            "Register a device",
            answers("The device.", reference("Device"), 201),
            requestBody=takes(_NEW),
        ),
    ),
    Route(
        "GET",
        "/api/v1/devices/{deviceId}",
        TokenScope.READ,
        get_device,
        _operation("A device", answers("The device.", reference("Device"))),
    ),
    _step("activate", "Activate a deactivated device", _lifecycle(EventType.DEVICE_ACTIVATED)),
    _step("deactivate", "Deactivate a device, and revoke all its certificates", deactivate_device),
    _step("suspend", "Suspend a device; certificates stay", _lifecycle(EventType.DEVICE_SUSPENDED)),
    _step("unsuspend", "End the suspension of a device", _lifecycle(EventType.DEVICE_UNSUSPENDED)),
    Route(
        "DELETE",
        "/api/v1/devices/{deviceId}",
        TokenScope.OPERATE,
        delete_device,
        _operation("Delete a deactivated device", _DONE),
    ),
    Route(
        "GET",
        "/api/v1/devices/{deviceId}/users",
        TokenScope.READ,
        list_users_of_device,
        _operation("Users of a device", answers("Users.", list_of(reference("DeviceUser")))),
    ),
    Route(
        "PUT",
        "/api/v1/devices/{deviceId}/users/{userId}",
        TokenScope.OPERATE,
        add_user,
        _operation("Let a user use a device", _DONE),
    ),
    Route(
        "DELETE",
        "/api/v1/devices/{deviceId}/users/{userId}",
        TokenScope.OPERATE,
        remove_user,
        _operation("Have a user use a device no more", _DONE),
    ),
)
