"""What the use cases of policies and zones need of the store, and how they say no."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model.changes import Change
from gateway.model.ids import IdKind, new_id
from gateway.model.log_event import LogEvent
from gateway.model.org import Group, Lifecycle, SettingName, StoredPolicy, StoredZone, User
from gateway.policy.derived_ids import file_zone_id
from gateway.policy.wire.refusal import Problem
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.refusals import Refused
from gateway.system_log.catalog import Occasion


class PolicyRows(Protocol):
    def put(self, policy: StoredPolicy) -> None: ...
    def get(self, policy_id: str, *, lock: bool = False) -> StoredPolicy | None: ...
    def of_app(self, app: str, *, lock: bool = False) -> StoredPolicy | None: ...
    def all(self) -> Sequence[StoredPolicy]: ...
    def delete(self, policy_id: str) -> bool: ...


class ZoneRows(Protocol):
    def put(self, zone: StoredZone) -> None: ...
    def get(self, zone_id: str, *, lock: bool = False) -> StoredZone | None: ...
    def by_name(self, name: str) -> StoredZone | None: ...
    def all(self) -> Sequence[StoredZone]: ...
    def delete(self, zone_id: str) -> bool: ...


class UserLookUps(Protocol):
    def get(self, user_id: str) -> User | None: ...
    def by_login(self, login: str) -> User | None: ...


class GroupLookUps(Protocol):
    def get(self, group_id: str) -> Group | None: ...
    def by_name(self, name: str) -> Group | None: ...
    def of_user(self, user_id: str) -> Sequence[Group]: ...


class SettingValues(Protocol):
    def get(self, name: SettingName) -> object: ...


class PolicyView(Protocol):
    """What is read. A work of the store is one, too."""

    @property
    def policies(self) -> PolicyRows: ...
    @property
    def zones(self) -> ZoneRows: ...
    @property
    def users(self) -> UserLookUps: ...
    @property
    def groups(self) -> GroupLookUps: ...
    @property
    def settings(self) -> SettingValues: ...


class PolicyWork(PolicyView, Protocol):
    """One transaction."""

    def record(self, change: Change) -> None: ...
    def log_event(self, event: LogEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class Editing:
    """What an edit needs beside the store. ``random`` gives unpredictable bytes."""

    occasion: Occasion
    configuration: OrgConfiguration
    random: Callable[[int], bytes]

    def new_id(self, kind: IdKind) -> str:
        return new_id(kind, self.random(16))


class ChangedMeanwhile(Refused):
    """It is no longer what the caller has read."""


class StillUsed(Refused):
    """Rules rest on it: ``rules`` are (app, rule)."""

    def __init__(self, name: str, rules: Sequence[tuple[str, str]]) -> None:
        super().__init__(f"{name} is named by {len(rules)} rules")
        self.name = name
        self.rules = tuple(rules)


class PolicyRefused(Refused):
    """A document that does not compile; ``problems`` is never empty."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class StoreNames:
    """`gateway.policy.wire.names.WireNames` over the store and the zones of gateway.yaml."""

    def __init__(self, view: PolicyView, zone_ids: Mapping[str, str], zone_names: Mapping[str, str]) -> None:
        self._view = view
        self._zone_ids = zone_ids
        self._zone_names = zone_names

    def user_id(self, login: str) -> str | None:
        user = self._view.users.by_login(login)
        return None if user is None else user.id

    def login(self, user_id: str) -> str | None:
        user = self._view.users.get(user_id)
        return None if user is None else user.login

    def group_id(self, name: str) -> str | None:
        group = self._view.groups.by_name(name)
        return None if group is None else group.id

    def group_name(self, group_id: str) -> str | None:
        group = self._view.groups.get(group_id)
        return None if group is None else group.name

    def zone_id(self, name: str) -> str | None:
        return self._zone_ids.get(name)

    def zone_name(self, zone_id: str) -> str | None:
        return self._zone_names.get(zone_id)


def names_of(view: PolicyView, configuration: OrgConfiguration) -> StoreNames:
    """A zone of the store stands before one of gateway.yaml that has the same name, if it is active."""
    of_file = {name: file_zone_id(name) for name in configuration.zones}
    stored = view.zones.all()
    ids = {zone.name: zone.id for zone in stored} | of_file
    ids |= {zone.name: zone.id for zone in stored if zone.status is Lifecycle.ACTIVE}
    zone_names = {zone_id: name for name, zone_id in of_file.items()}
    zone_names |= {zone.id: zone.name for zone in stored}
    return StoreNames(view, ids, zone_names)


def device_trust_enabled(view: PolicyView, configuration: OrgConfiguration) -> bool:
    """The switch as it stands: what administrators have set, or else gateway.yaml's."""
    value = view.settings.get(SettingName.DEVICE_TRUST_ENABLED)
    return configuration.device_trust_enabled if value is None else bool(value)
