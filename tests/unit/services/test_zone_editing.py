"""Zones at run time: file zones, zones of the store before them, and rules that rest on them."""

from collections.abc import Callable
from typing import Any

import pytest
from okta import models
from support.policy_work import FakeWork, adopted, configuration, editing

from gateway.policy.derived_ids import file_zone_id
from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.zones import ZoneOnWire, zone_document, zone_wire
from gateway.services.policies import create_rule, policies
from gateway.services.policy_work import StillUsed, names_of
from gateway.services.refusals import NotAllowedNow, NotFound
from gateway.services.zone_sets import state_zones, zones_in_force
from gateway.services.zones import create_zone, delete_zone, replace_zone, set_zone_status, zone, zones

CONFIGURED = configuration(("wiki", {"name": "Wiki", "default": "deny", "rules": []}))
OFFICE = file_zone_id("office")


def body(name: str, *values: str, **members: Any) -> dict[str, Any]:
    gateways = [{"type": "RANGE" if "-" in value else "CIDR", "value": value} for value in values]
    return {"type": "IP", "name": name, "gateways": gateways, **members}


@pytest.fixture
def work() -> FakeWork:
    return adopted(CONFIGURED)


def shown(work: FakeWork) -> list[tuple[str, str, bool]]:
    return [(each.name, each.source, each.active) for each in zones(work, CONFIGURED)]


def create(work: FakeWork, *args: str) -> ZoneOnWire:
    return create_zone(work, editing(CONFIGURED), body(*args))


def rule_in(work: FakeWork, zone_id: str) -> None:
    [wiki] = policies(work, CONFIGURED)
    network = {"connection": "ZONE", "include": [zone_id]}
    actions = {"appSignOn": {"access": "ALLOW"}}
    create_rule(
        work,
        editing(CONFIGURED),
        wiki.id,
        {"name": f"in {zone_id}", "conditions": {"network": network}, "actions": actions},
    )
    work.heard()


def test_a_zone_of_the_store_is_told_to_workers_and_logged(work: FakeWork) -> None:
    made = create(work, "lab", "192.0.2.0/24", "198.51.100.1-198.51.100.4")
    assert shown(work) == [("lab", "store", True), ("office", "file", True)]
    assert state_zones(work) == {
        "lab": ["192.0.2.0/24", "198.51.100.1/32", "198.51.100.2/31", "198.51.100.4/32"]
    }
    assert work.heard() == (["zones"], ["zone.create"])
    assert zone(work, CONFIGURED, made.id).gateways[1] == ("RANGE", "198.51.100.1-198.51.100.4")
    replace_zone(work, editing(CONFIGURED), made.id, body("lab", "192.0.2.0/25"))
    assert state_zones(work) == {"lab": ["192.0.2.0/25"]}
    assert work.events[0].targets[0].changed_to == {"gateways": ["192.0.2.0/25"]}
    assert work.heard() == (["zones"], ["zone.update"])
    replace_zone(work, editing(CONFIGURED), made.id, body("lab", "192.0.2.0/25"))
    assert work.heard() == ([], [])
    delete_zone(work, editing(CONFIGURED), made.id)
    assert work.heard() == (["zones"], ["zone.delete"])
    assert state_zones(work) == {}


@pytest.mark.parametrize(
    "write",
    [
        lambda work: replace_zone(work, editing(CONFIGURED), OFFICE, body("office", "10.0.0.0/8")),
        lambda work: set_zone_status(work, editing(CONFIGURED), OFFICE, active=False),
        lambda work: delete_zone(work, editing(CONFIGURED), OFFICE),
    ],
)
def test_a_zone_of_the_file_is_shown_and_cannot_be_written(
    work: FakeWork, write: Callable[[FakeWork], object]
) -> None:
    assert zone(work, CONFIGURED, OFFICE).gateways == (("CIDR", "10.0.0.0/8"),)
    with pytest.raises(NotAllowedNow, match=r"that of gateway\.yaml"):
        write(work)


def test_a_zone_of_the_store_counts_before_one_of_the_file(work: FakeWork) -> None:
    made = create(work, "office", "192.0.2.0/24")
    assert shown(work) == [("office", "store", True)]
    assert [str(n) for n in zones_in_force(work, CONFIGURED)["office"].networks] == ["192.0.2.0/24"]
    names = names_of(work, CONFIGURED)
    assert (names.zone_id("office"), names.zone_name(OFFICE), names.zone_name(made.id)) == (
        made.id, "office", "office",
    )  # fmt: skip
    rule_in(work, made.id)
    set_zone_status(work, editing(CONFIGURED), made.id, active=False)
    assert work.heard() == (["zones"], ["zone.deactivate"])
    assert [str(n) for n in zones_in_force(work, CONFIGURED)["office"].networks] == ["10.0.0.0/8"]
    assert shown(work) == [("office", "file", True), ("office", "store", False)]
    assert names_of(work, CONFIGURED).zone_id("office") == OFFICE


@pytest.mark.parametrize(
    "take_away",
    [
        lambda work, made: delete_zone(work, editing(CONFIGURED), made.id),
        lambda work, made: set_zone_status(work, editing(CONFIGURED), made.id, active=False),
        lambda work, made: replace_zone(work, editing(CONFIGURED), made.id, body("other", "192.0.2.0/24")),
        lambda work, made: replace_zone(
            work, editing(CONFIGURED), made.id, body("lab", "192.0.2.0/24", status="INACTIVE")
        ),
    ],
)
def test_a_zone_that_rules_name_stays(
    work: FakeWork, take_away: Callable[[FakeWork, ZoneOnWire], object]
) -> None:
    made = create(work, "lab", "192.0.2.0/24")
    rule_in(work, made.id)
    with pytest.raises(StillUsed) as used:
        take_away(work, made)
    assert used.value.rules == (("wiki", f"in {made.id}"),)
    assert work.heard() == ([], [])


def test_two_zones_of_the_store_have_two_names(work: FakeWork) -> None:
    create(work, "lab", "192.0.2.0/24")
    other = create(work, "shop", "192.0.2.0/24")
    with pytest.raises(WireRefused, match="is named"):
        create(work, "lab", "192.0.2.0/25")
    with pytest.raises(WireRefused, match="is named"):
        replace_zone(work, editing(CONFIGURED), other.id, body("lab", "192.0.2.0/24"))
    with pytest.raises(NotFound):
        zone(work, CONFIGURED, "nzo404")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"type": "DYNAMIC", "name": "x"}, "type"),
        ({"type": "IP", "name": "x", "locations": [{"country": "AT"}]}, "locations"),
        (body("x", "10.0.0.1/8"), "gateways[0].value"),
        (body("x", "mars"), "gateways[0].value"),
        (body("x", "10.0.0.9-10.0.0.1"), "gateways[0].value"),
        (body("x", "10.0.0.1-2001:db8::1"), "gateways[0].value"),
        (body("x"), "gateways"),
        ({"name": "x"}, "gateways"),
        (body("x", *(f"0.0.0.1-255.255.255.{i}" for i in range(230, 250))), None),
        (body("x", *(f"0.0.{i}.1-255.255.{i}.254" for i in range(60))), "gateways"),
        ({"type": "IP", "name": "x", "gateways": [{"type": "ASN", "value": "1"}]}, "gateways[0].type"),
        (body("", "10.0.0.0/8"), "name"),
        (body("a\nb", "10.0.0.0/8"), "name"),
        (body("x" * 129, "10.0.0.0/8"), "name"),
        (body("x", "10.0.0.0/8", usage="BLOCKLIST"), "usage"),
        (body("x", "10.0.0.0/8", proxies=[{"type": "CIDR", "value": "10.0.0.0/8"}]), "proxies"),
        (body("x", "10.0.0.0/8", status="GONE"), "status"),
        (body("x", "10.0.0.0/8", colour="red"), "colour"),
    ],
)
def test_what_a_zone_may_be(raw: dict[str, Any], field: str | None) -> None:
    if field is None:
        assert zone_document(raw).name == "x"
        return
    with pytest.raises(WireRefused) as refused:
        zone_document(raw)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_the_sdk_reads_a_zone_and_what_it_writes_back_is_the_same(work: FakeWork) -> None:
    made = create(work, "lab", "192.0.2.0/24", "198.51.100.1-198.51.100.4")
    read = models.NetworkZone.from_dict(zone_wire(made, f"https://sso.example.test/api/v1/zones/{made.id}"))
    assert isinstance(read, models.IPNetworkZone)
    work.heard()
    replace_zone(work, editing(CONFIGURED), made.id, read.to_dict())
    assert work.heard() == ([], [])
