"""Use cases for devices. Each runs within one transaction, as those of `gateway.services.people`.

A device that is suspended or deactivated is not trusted, whatever its certificate says. The certificates of
one that is suspended stay as they are, and are good again when it is in use again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

from gateway.model.changes import Change, device_activated, device_deactivated
from gateway.model.log_event import LogEvent
from gateway.model.org import Device, DeviceStatus, NameKind, User, default_certificate_name
from gateway.services.refusals import InvalidValue, NotAllowedNow, NotFound
from gateway.system_log.administration import device_event, device_user_added, device_user_removed
from gateway.system_log.catalog import EventType, Occasion

# The words for what a device runs on, wherever one is told: by an agent, over the API, at the command line.
PLATFORMS: Final = ("ANDROID", "IOS", "LINUX", "MACOS", "OTHER", "WINDOWS")
MAX_NAME_CHARACTERS: Final = 255
MAX_CERTIFICATE_NAME_CHARACTERS: Final = 1_024
MAX_SERIAL_NUMBER_CHARACTERS: Final = 127


class FindsDevices(Protocol):
    def get(self, device_id: str, *, lock: bool = False) -> Device | None: ...


class Devices(FindsDevices, Protocol):
    def add(self, device: Device) -> None: ...
    def update(self, device: Device) -> bool: ...
    def delete(self, device_id: str) -> bool: ...
    def link(self, device_id: str, user_id: str, at: datetime) -> bool: ...
    def unlink(self, device_id: str, user_id: str) -> bool: ...
    def users_of(self, device_id: str) -> Sequence[tuple[User, datetime]]: ...


class DeletedNames(Protocol):
    def keep(self, kind: NameKind, name: str, at: datetime) -> None: ...
    def take_back(self, kind: NameKind, name: str) -> bool: ...


class DeviceWork(Protocol):
    @property
    def devices(self) -> Devices: ...
    @property
    def deleted_names(self) -> DeletedNames: ...
    def record(self, change: Change) -> None: ...
    def log_event(self, event: LogEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """``certificate_name``: what certificates call it, None for a name made of its id. ``more`` are
    attributes that only whoever wrote them reads."""

    name: str
    platform: str
    serial_number: str | None = None
    certificate_name: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)


def find_device(devices: FindsDevices, device_id: str, *, lock: bool = False) -> Device:
    """Raises NotFound."""
    device = devices.get(device_id, lock=lock)
    if device is None:
        raise NotFound("Device", device_id)
    return device


def register_device(
    work: DeviceWork,
    occasion: Occasion,
    device_id: str,
    profile: DeviceProfile,
    directory_key: str | None = None,
) -> Device:
    """``directory_key``: its account in a directory. Raises InvalidValue; AlreadyExists where another device
    has the name in certificates, or the account."""
    _check(profile)
    device = Device(
        id=device_id,
        name=profile.name,
        certificate_name=profile.certificate_name or default_certificate_name(device_id),
        platform=profile.platform,
        status=DeviceStatus.ACTIVE,
        created=occasion.at,
        last_updated=occasion.at,
        serial_number=profile.serial_number,
        profile=dict(profile.more),
        directory_key=directory_key,
    )
    work.devices.add(device)
    if work.deleted_names.take_back(NameKind.DEVICE, device.certificate_name):
        work.record(device_activated(device.certificate_name))
    work.log_event(device_event(occasion, EventType.DEVICE_REGISTERED, device))
    return device


_STEPS: Final[Mapping[EventType, tuple[frozenset[DeviceStatus], DeviceStatus]]] = {
    EventType.DEVICE_ACTIVATED: (
        frozenset((DeviceStatus.CREATED, DeviceStatus.DEACTIVATED)),
        DeviceStatus.ACTIVE,
    ),
    EventType.DEVICE_SUSPENDED: (
        frozenset((DeviceStatus.CREATED, DeviceStatus.ACTIVE)),
        DeviceStatus.SUSPENDED,
    ),
    EventType.DEVICE_UNSUSPENDED: (frozenset((DeviceStatus.SUSPENDED,)), DeviceStatus.ACTIVE),
}


def change_device_status(work: DeviceWork, occasion: Occasion, device: Device, event: EventType) -> Device:
    """Activate, suspend or unsuspend. ``device`` was read with its lock. Raises NotAllowedNow.

    Deactivation revokes certificates, too: see `gateway.services.revoking`.
    """
    allowed, status = _STEPS[event]
    if device.status not in allowed:
        raise NotAllowedNow(f"the device is {device.status}")
    updated = replace(device, status=status, last_updated=occasion.at)
    work.devices.update(updated)
    if updated.active is not device.active:
        change = device_activated if updated.active else device_deactivated
        work.record(change(updated.certificate_name))
    work.log_event(device_event(occasion, event, updated))
    return updated


def delete_device(work: DeviceWork, occasion: Occasion, device: Device) -> None:
    """Forget a device that is deactivated, its certificates revoked. Its name stays shut out until a device
    is made by it again: another authority may still vouch for it. Raises NotAllowedNow.
    """
    if device.status is not DeviceStatus.DEACTIVATED:
        raise NotAllowedNow(f"the device is {device.status}: deactivate it first")
    work.devices.delete(device.id)
    work.deleted_names.keep(NameKind.DEVICE, device.certificate_name, occasion.at)
    work.log_event(device_event(occasion, EventType.DEVICE_DELETED, device))


def add_device_user(work: DeviceWork, occasion: Occasion, device: Device, user: User) -> None:
    """Nothing happens where the user is known to use the device."""
    if work.devices.link(device.id, user.id, occasion.at):
        work.log_event(device_user_added(occasion, device, user))


def remove_device_user(work: DeviceWork, occasion: Occasion, device: Device, user: User) -> None:
    """Nothing happens where the user is not known to use the device."""
    if work.devices.unlink(device.id, user.id):
        work.log_event(device_user_removed(occasion, device, user))


def _check(profile: DeviceProfile) -> None:
    if not profile.name.strip() or len(profile.name) > MAX_NAME_CHARACTERS:
        raise InvalidValue("profile.displayName", f"must have 1 to {MAX_NAME_CHARACTERS} characters")
    if profile.platform not in PLATFORMS:
        raise InvalidValue("profile.platform", f"must be one of {', '.join(PLATFORMS)}")
    if len(profile.serial_number or "") > MAX_SERIAL_NUMBER_CHARACTERS:
        raise InvalidValue(
            "profile.serialNumber", f"must have at most {MAX_SERIAL_NUMBER_CHARACTERS} characters"
        )
    name = profile.certificate_name
    if name is not None and not (
        0 < len(name) <= MAX_CERTIFICATE_NAME_CHARACTERS and name.isascii() and name.isprintable()
    ):
        raise InvalidValue("certificateName", "must be printable ASCII")
