"""One transaction of a store that is a few dictionaries, for tests of use cases."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from itertools import count
from typing import Any, Generic, TypeVar

from support.policies import PARSERS

from gateway.model.changes import Change
from gateway.model.log_event import LogEvent, Transaction
from gateway.model.org import (
    Group,
    GroupType,
    SettingName,
    StoredPolicy,
    StoredZone,
    User,
    UserSource,
    UserStatus,
)
from gateway.model.settings import Zone
from gateway.services.org_configuration import ConfiguredApp, OrgConfiguration
from gateway.services.policy_files import adopt_files
from gateway.services.policy_work import Editing
from gateway.system_log.catalog import Occasion, job

T = TypeVar("T", StoredPolicy, StoredZone, User, Group)
_NUMBERS = count(1)
NOW = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
ANA = User(
    "00u00000000000000001",
    "ana@example.test",
    "ana@example.test",
    "Ana",
    "A",
    UserStatus.ACTIVE,
    UserSource.LOCAL,
    NOW,
    NOW,
)
EVERYONE = Group("00g00000000000000000", "Everyone", "", GroupType.BUILT_IN, NOW, NOW)
IT = Group("00g00000000000000001", "IT", "", GroupType.OKTA_GROUP, NOW, NOW)


class Rows(Generic[T]):
    def __init__(self, *rows: T) -> None:
        self.rows: dict[str, T] = {row.id: row for row in rows}

    def put(self, row: T) -> None:
        self.rows[row.id] = row

    def get(self, row_id: str, *, lock: bool = False) -> T | None:
        return self.rows.get(row_id)

    def all(self) -> list[T]:
        return list(self.rows.values())

    def delete(self, row_id: str) -> bool:
        return self.rows.pop(row_id, None) is not None

    def _first(self, wanted: Callable[[Any], bool]) -> T | None:
        return next((row for row in self.rows.values() if wanted(row)), None)


class PolicyRows(Rows[StoredPolicy]):
    def of_app(self, app: str, *, lock: bool = False) -> StoredPolicy | None:
        return self._first(lambda row: row.app == app)


class ZoneRows(Rows[StoredZone]):
    def by_name(self, name: str) -> StoredZone | None:
        return self._first(lambda row: row.name == name)


class UserRows(Rows[User]):
    def by_login(self, login: str) -> User | None:
        return self._first(lambda row: row.login_key == login.casefold())


class GroupRows(Rows[Group]):
    def by_name(self, name: str) -> Group | None:
        return self._first(lambda row: row.name == name)

    def of_user(self, user_id: str) -> Sequence[Group]:
        return [IT] if user_id == ANA.id else []


@dataclass
class Settings:
    values: dict[str, object] = field(default_factory=dict)

    def get(self, name: SettingName) -> object:
        return self.values.get(name)

    def put(self, name: SettingName, value: object, at: datetime) -> None:
        self.values[name] = value

    def clear(self, name: SettingName) -> bool:
        return self.values.pop(name, None) is not None

    def all(self) -> dict[str, object]:
        return dict(self.values)


class FakeWork:
    """Satisfies `gateway.services.policy_work.PolicyWork`."""

    def __init__(self) -> None:
        self.policies = PolicyRows()
        self.zones = ZoneRows()
        self.users = UserRows(ANA)
        self.groups = GroupRows(EVERYONE, IT)
        self.settings = Settings()
        self.changes: list[Change] = []
        self.events: list[LogEvent] = []

    def record(self, change: Change) -> None:
        self.changes.append(change)

    def log_event(self, event: LogEvent) -> None:
        self.events.append(event)

    def heard(self) -> tuple[list[str], list[str]]:
        """What the change feed and the System Log have been told since the last call."""
        told = [str(change.payload["what"]) for change in self.changes], [e.event_type for e in self.events]
        self.changes.clear()
        self.events.clear()
        return told


def occasion(at: datetime = NOW) -> Occasion:
    numbers = count()
    made = job(at, lambda: f"uuid-{next(numbers)}", "transaction")
    return replace(made, transaction=Transaction("reference"))


def configuration(
    *apps: tuple[str, dict[str, Any]], client_conditions: Collection[str] = (), digest: str = "1"
) -> OrgConfiguration:
    """Apps with their policy documents, and a zone ``office``. ``client_conditions`` names apps."""
    return OrgConfiguration(
        apps={
            name: ConfiguredApp(name, name.title(), name in client_conditions, document, digest)
            for name, document in apps
        },
        zones={"office": Zone("office", (ip_network("10.0.0.0/8"),))},
        parsers=PARSERS,
    )


def editing(configured: OrgConfiguration, minutes: int = 1) -> Editing:
    return Editing(
        occasion(NOW + timedelta(minutes=minutes)),
        configured,
        lambda size: next(_NUMBERS).to_bytes(size, "big"),
    )


def adopted(configured: OrgConfiguration) -> FakeWork:
    """A store that has just learned of the files."""
    work = FakeWork()
    adopt_files(work, configured, occasion())
    work.heard()
    return work
