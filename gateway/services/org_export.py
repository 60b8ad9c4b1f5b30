"""What administrators have changed at run time, as one value: to keep under version control, and to restore.

It holds the policies that were edited, the zones of the store and the settings that were set; not people,
devices, certificates and tokens, which are no configuration. It is the whole truth: to import a value makes
the store hold exactly that, so what is not in it goes back to what gateway.yaml and the policy files say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from gateway.model.changes import StatePart, state_changed
from gateway.model.ids import IdKind
from gateway.model.org import Lifecycle, PolicySource, SettingName, StoredPolicy, StoredZone
from gateway.model.settings import Zone
from gateway.policy.errors import PolicyInvalid
from gateway.policy.rules import Policy, compile_policy
from gateway.policy.trust_impact import TrustRule, rules_using_trust
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import rules_of
from gateway.services.policy_files import file_policy
from gateway.services.policy_work import Editing, PolicyView, PolicyWork
from gateway.services.zone_sets import stored_zone_networks
from gateway.system_log.administration import (
    configuration_imported,
    policy_event,
    setting_changed,
    zone_event,
)
from gateway.system_log.catalog import EventType


@dataclass(frozen=True, slots=True)
class ExportedZone:
    """``document`` as in the store; ``id`` None: a new one."""

    name: str
    document: Mapping[str, Any]
    active: bool = True
    id: str | None = None


@dataclass(frozen=True, slots=True)
class OrgExport:
    """``policies`` by app, with an id for each rule; ``settings`` hold what was set, null included."""

    settings: Mapping[SettingName, object] = field(default_factory=dict)
    zones: tuple[ExportedZone, ...] = ()
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many of what differ from what was there before."""

    settings: int = 0
    zones: int = 0
    policies: int = 0

    @property
    def nothing(self) -> bool:
        return self == Imported()


class ImportRefused(Exception):
    """``path`` is where the fault stands in the value: ("policies", app, …), ("zones", index, …)."""

    def __init__(self, path: Sequence[str | int], detail: str) -> None:
        super().__init__(detail)
        self.path = tuple(path)


class TrustSwitchedOff(Exception):
    """The import switches Device Trust off while ``rules`` use it."""

    def __init__(self, rules: tuple[TrustRule, ...]) -> None:
        super().__init__("Device Trust is switched off while active rules use it")
        self.rules = rules


class SettingRows(Protocol):
    def get(self, name: SettingName) -> object: ...
    def put(self, name: SettingName, value: object, at: datetime) -> None: ...
    def clear(self, name: SettingName) -> bool: ...
    def all(self) -> Mapping[str, object]: ...


class ExportView(PolicyView, Protocol):
    @property
    def settings(self) -> SettingRows: ...


class ImportWork(PolicyWork, Protocol):
    @property
    def settings(self) -> SettingRows: ...


def export_org(view: ExportView) -> OrgExport:
    """In a stable order: the same store gives the same value."""
    known = {name.value for name in SettingName}
    settings = {
        SettingName(name): value for name, value in sorted(view.settings.all().items()) if name in known
    }
    zones = sorted(view.zones.all(), key=lambda zone: zone.name)
    policies = sorted(view.policies.all(), key=lambda stored: stored.app)
    return OrgExport(
        settings,
        tuple(
            ExportedZone(zone.name, zone.document, zone.status is Lifecycle.ACTIVE, zone.id) for zone in zones
        ),
        {
            stored.app: {**stored.document, "rules": rules_of(stored)}
            for stored in policies
            if stored.source is PolicySource.EDITED
        },
    )


def import_org(
    work: ImportWork, editing: Editing, wanted: OrgExport, source: str, *, force: bool = False
) -> Imported:
    """Make the store hold exactly this. ``source`` names the file in the System Log.

    Everything is checked before anything is written: raises ImportRefused, and TrustSwitchedOff unless
    ``force``. What is the same already is not written, and not told.
    """
    compiled = check_import(wanted, editing.configuration, work)
    if not force:
        _check_switch(work, editing.configuration, wanted, compiled)
    done = Imported(
        settings=_import_settings(work, editing, wanted),
        zones=_import_zones(work, editing, wanted),
        policies=_import_policies(work, editing, wanted),
    )
    for part, count in (
        (StatePart.SETTINGS, done.settings),
        (StatePart.ZONES, done.zones),
        (StatePart.POLICIES, done.policies),
    ):
        if count:
            work.record(state_changed(part))
    if not done.nothing:
        summary = {"settings": done.settings, "zones": done.zones, "policies": done.policies}
        work.log_event(configuration_imported(editing.occasion, source, summary))
    return done


def check_import(
    wanted: OrgExport, configuration: OrgConfiguration, view: PolicyView
) -> Mapping[str, Policy]:
    """Every app's policy as it would be, compiled with the zones that there would be. Raises
    ImportRefused."""
    in_force: dict[str, Zone] = dict(configuration.zones)
    in_force |= {
        zone.name: Zone(zone.name, stored_zone_networks(zone.document))
        for zone in wanted.zones
        if zone.active
    }
    _check_zones(wanted)
    compiled: dict[str, Policy] = {}
    for name in wanted.policies:
        if name not in configuration.apps and view.policies.of_app(name) is None:
            raise ImportRefused(("policies", name), "gateway.yaml has no such app")
    for app in configuration.apps.values():
        edited = wanted.policies.get(app.name)
        try:
            compiled[app.name] = compile_policy(
                app.policy if edited is None else edited,
                configuration.parsers,
                client_conditions=app.client_conditions,
                zone_names=in_force.keys(),
            )
        except PolicyInvalid as error:
            rule = "" if error.rule is None else f"rule {error.rule}: "
            whose = "" if edited is not None else f"the policy file of app {app.name}: "
            path = ("policies", app.name, *error.path) if edited is not None else ("policies",)
            raise ImportRefused(path, f"{whose}{rule}{error.detail}") from error
    return compiled


def _check_zones(wanted: OrgExport) -> None:
    seen_names: set[str] = set()
    seen_ids: set[str] = set()
    for index, zone in enumerate(wanted.zones):
        if zone.name in seen_names:
            raise ImportRefused(("zones", index, "name"), "is that of another zone")
        if zone.id is not None and zone.id in seen_ids:
            raise ImportRefused(("zones", index, "id"), "is that of another zone")
        seen_names.add(zone.name)
        if zone.id is not None:
            seen_ids.add(zone.id)


def _check_switch(
    work: ImportWork, configuration: OrgConfiguration, wanted: OrgExport, compiled: Mapping[str, Policy]
) -> None:
    now = work.settings.get(SettingName.DEVICE_TRUST_ENABLED)
    then = wanted.settings.get(SettingName.DEVICE_TRUST_ENABLED)
    was_on = configuration.device_trust_enabled if now is None else bool(now)
    is_on = configuration.device_trust_enabled if then is None else bool(then)
    if was_on and not is_on:
        rules = rules_using_trust(compiled)
        if rules:
            raise TrustSwitchedOff(rules)


def _import_settings(work: ImportWork, editing: Editing, wanted: OrgExport) -> int:
    before = {SettingName(name): value for name, value in work.settings.all().items()}
    changed = 0
    for name in SettingName:
        if (name in before, before.get(name)) == (name in wanted.settings, wanted.settings.get(name)):
            continue
        if name in wanted.settings:
            work.settings.put(name, wanted.settings[name], editing.occasion.at)
        else:
            work.settings.clear(name)
        work.log_event(
            setting_changed(editing.occasion, name.value, before.get(name), wanted.settings.get(name))
        )
        changed += 1
    return changed


def _import_zones(work: ImportWork, editing: Editing, wanted: OrgExport) -> int:
    """Zones that go are deleted first: one that comes may have the name of one that goes."""
    before = {zone.id: zone for zone in work.zones.all()}
    by_name = {zone.name: zone for zone in before.values()}
    pairs: list[tuple[StoredZone | None, ExportedZone]] = []
    for zone in wanted.zones:
        same = by_name.get(zone.name) if zone.id is None else before.get(zone.id)
        pairs.append((same, zone))
    kept = {same.id for same, _ in pairs if same is not None}
    changed = 0
    for gone in before.values():
        if gone.id not in kept:
            work.zones.delete(gone.id)
            work.log_event(zone_event(editing.occasion, EventType.ZONE_DELETED, gone))
            changed += 1
    renamed = [same for same, zone in pairs if same is not None and same.name != zone.name]
    for same in renamed:
        work.zones.delete(same.id)  # written anew below: two zones may have changed names with each other
    for same, zone in pairs:
        changed += _import_zone(work, editing, same, zone)
    return changed


def _import_zone(work: ImportWork, editing: Editing, same: StoredZone | None, zone: ExportedZone) -> int:
    status = Lifecycle.ACTIVE if zone.active else Lifecycle.INACTIVE
    at = editing.occasion.at
    if same is None:
        zone_id = zone.id or editing.new_id(IdKind.ZONE)
        made = StoredZone(zone_id, zone.name, zone.document, status, at, at)
        event_type = EventType.ZONE_CREATED
    else:
        made = replace(same, name=zone.name, document=zone.document, status=status)
        if made == same:
            return 0
        made = replace(made, last_updated=at)
        event_type = EventType.ZONE_UPDATED
    work.zones.put(made)
    work.log_event(zone_event(editing.occasion, event_type, made))
    return 1


def _import_policies(work: ImportWork, editing: Editing, wanted: OrgExport) -> int:
    changed = 0
    before = {stored.app: stored for stored in work.policies.all()}
    for made in _policies(before, editing, wanted):
        old = before.get(made.app)
        if old is not None and _says(old) == _says(made):
            continue
        work.policies.put(made)
        event_type = EventType.POLICY_CREATED if old is None else EventType.POLICY_UPDATED
        work.log_event(
            policy_event(
                editing.occasion,
                event_type,
                made,
                changed_from=None if old is None else {"source": old.source.value, "name": old.name},
                changed_to={"source": made.source.value, "name": made.name},
            )
        )
        changed += 1
    for old in before.values():
        # Of an app that gateway.yaml has no longer: there is no file to go back to.
        if _is_dropped(old, wanted) and old.app not in editing.configuration.apps:
            work.policies.delete(old.id)
            work.log_event(policy_event(editing.occasion, EventType.POLICY_DELETED, old))
            changed += 1
    return changed


def _is_dropped(old: StoredPolicy, wanted: OrgExport) -> bool:
    return old.source is PolicySource.EDITED and old.app not in wanted.policies


def _policies(
    before: Mapping[str, StoredPolicy], editing: Editing, wanted: OrgExport
) -> Iterator[StoredPolicy]:
    """Every policy that is to be written, as it is to be: edited ones, and those that go back to the file."""
    at, apps = editing.occasion.at, editing.configuration.apps
    for app, document in wanted.policies.items():
        old = before.get(app)
        if old is None:
            old = file_policy(apps[app], at)
        yield replace(
            old,
            name=str(document["name"]),
            document=document,
            source=PolicySource.EDITED,
            last_updated=at,
        )
    for old in before.values():
        if _is_dropped(old, wanted) and old.app in apps:
            yield replace(file_policy(apps[old.app], at), id=old.id, created=old.created)


def _says(stored: StoredPolicy) -> tuple[PolicySource, object]:
    return stored.source, {**stored.document, "rules": rules_of(stored)}
