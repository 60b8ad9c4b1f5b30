"""Zones at run time. Those of gateway.yaml are shown and cannot be written, but one of the same name in the
store counts before it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from gateway.model.changes import StatePart, state_changed
from gateway.model.ids import IdKind
from gateway.model.org import Lifecycle, StoredZone
from gateway.model.quoting import printable
from gateway.model.settings import Zone
from gateway.policy.derived_ids import file_zone_id
from gateway.policy.wire.refusal import refused
from gateway.policy.wire.zones import ZoneOnWire, document_of, zone_document, zone_gateways
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import policies
from gateway.services.policy_work import Editing, PolicyView, PolicyWork, StillUsed
from gateway.services.refusals import NotAllowedNow, NotFound
from gateway.system_log.administration import zone_event
from gateway.system_log.catalog import EventType

# Workers take no more of the store's.
MAX_STORED_ZONES: Final = 1_000
# gateway.yaml does not say since when a zone is there.
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


def zones(view: PolicyView, configuration: OrgConfiguration) -> list[ZoneOnWire]:
    """All, by name. A zone of gateway.yaml that one of the store counts before is left out."""
    stored = view.zones.all()
    hidden = {zone.name for zone in stored if zone.status is Lifecycle.ACTIVE}
    of_file = [_of_file(zone) for zone in configuration.zones.values() if zone.name not in hidden]
    return sorted((*map(_of_store, stored), *of_file), key=lambda zone: (zone.name, zone.source))


def zone(view: PolicyView, configuration: OrgConfiguration, zone_id: str) -> ZoneOnWire:
    """Raises NotFound."""
    stored = view.zones.get(zone_id)
    if stored is not None:
        return _of_store(stored)
    for found in configuration.zones.values():
        if file_zone_id(found.name) == zone_id:
            return _of_file(found)
    raise NotFound("NetworkZone", zone_id)


def create_zone(work: PolicyWork, editing: Editing, body: object) -> ZoneOnWire:
    """Raises WireRefused, AlreadyExists."""
    written = zone_document(body)
    if len(work.zones.all()) >= MAX_STORED_ZONES:
        raise refused("name", f"there are {MAX_STORED_ZONES} zones, more than workers take")
    at = editing.occasion.at
    status = Lifecycle.INACTIVE if written.active is False else Lifecycle.ACTIVE
    if work.zones.by_name(written.name) is not None:
        raise refused("name", f"a zone is named {printable(written.name)} already")
    made = StoredZone(editing.new_id(IdKind.ZONE), written.name, written.document, status, at, at)
    work.zones.put(made)
    work.record(state_changed(StatePart.ZONES))
    work.log_event(
        zone_event(editing.occasion, EventType.ZONE_CREATED, made, changed_from={}, changed_to=_values(made))
    )
    return _of_store(made)


def replace_zone(work: PolicyWork, editing: Editing, zone_id: str, body: object) -> ZoneOnWire:
    """Raises NotFound, NotAllowedNow, WireRefused, StillUsed: rules name zones, so a zone that they name
    keeps its name."""
    before = _stored(work, editing, zone_id)
    written = zone_document(body)
    if written.name != before.name:
        other = work.zones.by_name(written.name)
        if other is not None:
            raise refused("name", f"a zone is named {printable(written.name)} already")
        _unused(work, editing, before)
    status = before.status
    if written.active is not None:
        status = Lifecycle.ACTIVE if written.active else Lifecycle.INACTIVE
    if status is not before.status and status is Lifecycle.INACTIVE:
        _unused(work, editing, before)
    after = replace(
        before,
        name=written.name,
        document=written.document,
        status=status,
        last_updated=editing.occasion.at,
    )
    if replace(after, last_updated=before.last_updated) == before:
        return _of_store(before)
    _write(work, editing, before, after, EventType.ZONE_UPDATED)
    return _of_store(after)


def set_zone_status(work: PolicyWork, editing: Editing, zone_id: str, *, active: bool) -> ZoneOnWire:
    """Raises NotFound, NotAllowedNow, StillUsed: a rule cannot be decided without the zones that it names."""
    before = _stored(work, editing, zone_id)
    status = Lifecycle.ACTIVE if active else Lifecycle.INACTIVE
    if status is before.status:
        return _of_store(before)
    if not active:
        _unused(work, editing, before)
    after = replace(before, status=status, last_updated=editing.occasion.at)
    event_type = EventType.ZONE_ACTIVATED if active else EventType.ZONE_DEACTIVATED
    _write(work, editing, before, after, event_type)
    return _of_store(after)


def delete_zone(work: PolicyWork, editing: Editing, zone_id: str) -> None:
    """Raises NotFound, NotAllowedNow, StillUsed."""
    before = _stored(work, editing, zone_id)
    _unused(work, editing, before)
    work.zones.delete(zone_id)
    work.record(state_changed(StatePart.ZONES))
    work.log_event(
        zone_event(
            editing.occasion, EventType.ZONE_DELETED, before, changed_from=_values(before), changed_to={}
        )
    )


def rules_naming(
    view: PolicyView, configuration: OrgConfiguration, zone_name: str
) -> Iterator[tuple[str, str]]:
    """(app, rule) of every rule that names the zone, whatever its status."""
    for stored in policies(view, configuration):
        rules: Any = stored.document["rules"]
        for rule in rules:
            location = rule.get("location", "anywhere")
            if location != "anywhere" and any(zone_name in names for names in location.values()):
                yield stored.app, rule["name"]


def _stored(work: PolicyWork, editing: Editing, zone_id: str) -> StoredZone:
    found = work.zones.get(zone_id, lock=True)
    if found is not None:
        return found
    shown = zone(work, editing.configuration, zone_id)  # raises NotFound
    raise NotAllowedNow(
        f"Zone {shown.name} is that of gateway.yaml; change it there, or create a zone of this name, which"
        " counts before it."
    )


def _unused(work: PolicyWork, editing: Editing, before: StoredZone) -> None:
    """A zone of the same name in gateway.yaml takes its place: then rules can still be decided."""
    if before.status is Lifecycle.INACTIVE or before.name in editing.configuration.zones:
        return
    rules = list(rules_naming(work, editing.configuration, before.name))
    if rules:
        raise StillUsed(before.name, rules)


def _write(
    work: PolicyWork, editing: Editing, before: StoredZone, after: StoredZone, event_type: EventType
) -> None:
    work.zones.put(after)
    work.record(state_changed(StatePart.ZONES))
    old, new = _values(before), _values(after)
    differing = [key for key in new if old[key] != new[key]]
    work.log_event(
        zone_event(
            editing.occasion,
            event_type,
            after,
            changed_from={key: old[key] for key in differing},
            changed_to={key: new[key] for key in differing},
        )
    )


def _values(zone: StoredZone) -> dict[str, object]:
    return {
        "name": zone.name,
        "gateways": [value for _, value in zone_gateways(zone.document)],
        "status": zone.status.value,
    }


def _of_store(zone: StoredZone) -> ZoneOnWire:
    return ZoneOnWire(
        zone.id,
        zone.name,
        zone_gateways(zone.document),
        zone.status is Lifecycle.ACTIVE,
        "store",
        zone.created,
        zone.last_updated,
    )


def _of_file(zone: Zone) -> ZoneOnWire:
    gateways = zone_gateways(document_of(zone.networks))
    return ZoneOnWire(file_zone_id(zone.name), zone.name, gateways, True, "file", _ALWAYS, _ALWAYS)
