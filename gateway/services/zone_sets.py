"""The zones in force: those of gateway.yaml, and before them the active ones of the store."""

from collections.abc import Mapping
from ipaddress import ip_network

from gateway.model.org import Lifecycle, StoredZone
from gateway.model.settings import IPNetwork, Zone
from gateway.policy.wire.zones import zone_cidrs
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policy_work import PolicyView


def zones_in_force(view: PolicyView, configuration: OrgConfiguration) -> dict[str, Zone]:
    return {**configuration.zones, **{zone.name: zone for zone in map(_zone, _active(view))}}


def state_zones(view: PolicyView) -> dict[str, list[str]]:
    """What workers are told: the networks of each active zone of the store. All others are gateway.yaml's."""
    return {zone.name: zone_cidrs(zone.document) for zone in _active(view)}


def _active(view: PolicyView) -> list[StoredZone]:
    return [zone for zone in view.zones.all() if zone.status is Lifecycle.ACTIVE]


def _zone(stored: StoredZone) -> Zone:
    return Zone(stored.name, stored_zone_networks(stored.document))


def stored_zone_networks(document: Mapping[str, object]) -> tuple[IPNetwork, ...]:
    return tuple(map(ip_network, zone_cidrs(document)))
