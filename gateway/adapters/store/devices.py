"""Devices, and who uses them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from gateway.adapters.store import schema
from gateway.adapters.store.records import Record
from gateway.adapters.store.statements import Statements
from gateway.model.org import Device, DeviceStatus, DeviceUser, User

_DEVICES = Record(schema.devices, Device)
_USERS = Record(schema.users, User)
_LINKS = Record(schema.device_users, DeviceUser)
_TABLE = schema.devices
_LINK = schema.device_users


class Devices:
    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def add(self, device: Device) -> None:
        """Raises AlreadyExists with ``devices.certificate_name``, ``devices.directory_key`` or
        ``devices.id``."""
        self._statements.insert(_TABLE, _DEVICES.values(device))

    def add_many(self, devices: Iterable[Device]) -> None:
        self._statements.change_many(insert(_TABLE), map(_DEVICES.values, devices))

    def get(self, device_id: str, *, lock: bool = False) -> Device | None:
        """``lock``: nobody else changes it before this transaction ends."""
        return self._one(_TABLE.c.id == device_id, lock)

    def by_certificate_name(self, name: str, *, lock: bool = False) -> Device | None:
        return self._one(_TABLE.c.certificate_name == name, lock)

    def by_directory_key(self, key: str, *, lock: bool = False) -> Device | None:
        return self._one(_TABLE.c.directory_key == key, lock)

    def by_ids(self, device_ids: Iterable[str]) -> dict[str, Device]:
        """Those that exist, by their ids. At most some thousands at once."""
        rows = self._statements.all(_DEVICES.select().where(_TABLE.c.id.in_(list(device_ids))))
        return {device.id: device for device in map(_DEVICES.read, rows)}

    def update(self, device: Device) -> bool:
        """Every field but the id. False: there is no such device. Raises AlreadyExists."""
        change = update(_TABLE).where(_TABLE.c.id == device.id).values(_DEVICES.values(device))
        return self._statements.change(change) == 1

    def set_status(self, device_id: str, status: DeviceStatus, at: datetime) -> bool:
        """False: there is no such device, or it has the status already."""
        change = (
            update(_TABLE)
            .where(_TABLE.c.id == device_id, _TABLE.c.status != status)
            .values(status=status, last_updated=at)
        )
        return self._statements.change(change) == 1

    def delete(self, device_id: str) -> bool:
        """Links to users go along; certificates stay."""
        return self._statements.change(delete(_TABLE).where(_TABLE.c.id == device_id)) == 1

    def page(
        self,
        *,
        after: str | None = None,
        limit: int = 200,
        q: str | None = None,
        status: DeviceStatus | None = None,
    ) -> Sequence[Device]:
        """Devices in the order of their ids. ``q`` begins, without regard to case, a name, the name in
        certificates or a serial number."""
        wanted = _DEVICES.select().order_by(_TABLE.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(_TABLE.c.id > after)
        if status is not None:
            wanted = wanted.where(_TABLE.c.status == status)
        if q:
            wanted = wanted.where(
                or_(
                    *(
                        func.lower(column).startswith(q.lower(), autoescape=True)
                        for column in (_TABLE.c.name, _TABLE.c.certificate_name, _TABLE.c.serial_number)
                    )
                )
            )
        return [_DEVICES.read(row) for row in self._statements.all(wanted)]

    def all(self) -> Iterator[Device]:
        """Streamed, in the order of their ids."""
        return map(_DEVICES.read, self._statements.stream(_DEVICES.select().order_by(_TABLE.c.id)))

    def inactive_names(self) -> Iterator[str]:
        """What certificates call the devices that are suspended or deactivated, streamed."""
        wanted = select(_TABLE.c.certificate_name).where(
            _TABLE.c.status.in_((DeviceStatus.SUSPENDED, DeviceStatus.DEACTIVATED))
        )
        return (row[0] for row in self._statements.stream(wanted))

    def count(self) -> int:
        return int(self._statements.scalar(select(func.count()).select_from(_TABLE)))

    def link(self, device_id: str, user_id: str, at: datetime) -> bool:
        """The user uses the device. False: was known already. Raises ReferenceMissing."""
        return self._statements.insert_unless_there(
            _LINK, {"device_id": device_id, "user_id": user_id, "created": at}
        )

    def link_many(self, links: Iterable[DeviceUser]) -> None:
        self._statements.change_many(insert(_LINK), map(_LINKS.values, links))

    def unlink(self, device_id: str, user_id: str) -> bool:
        gone = delete(_LINK).where(_LINK.c.device_id == device_id, _LINK.c.user_id == user_id)
        return self._statements.change(gone) == 1

    def users_of(self, device_id: str) -> Sequence[tuple[User, datetime]]:
        """Who uses the device, and since when, by login."""
        wanted = (
            select(*_USERS.columns, _LINK.c.created)
            .join(_LINK, _LINK.c.user_id == schema.users.c.id)
            .where(_LINK.c.device_id == device_id)
            .order_by(schema.users.c.login_key)
        )
        return [(_USERS.read(row[:-1]), row[-1]) for row in self._statements.all(wanted)]

    def of_user(self, user_id: str) -> Sequence[Device]:
        """The devices that the user uses, in the order of their ids."""
        wanted = (
            select(*_DEVICES.columns)
            .join(_LINK, _LINK.c.device_id == _TABLE.c.id)
            .where(_LINK.c.user_id == user_id)
            .order_by(_TABLE.c.id)
        )
        return [_DEVICES.read(row) for row in self._statements.all(wanted)]

    def _one(self, condition: ColumnElement[bool], lock: bool) -> Device | None:
        wanted = _DEVICES.select().where(condition)
        row = self._statements.first(wanted.with_for_update() if lock else wanted)
        return None if row is None else _DEVICES.read(row)
