"""Users, groups and devices in both engines: what was put in comes back, and what must be unique is."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.org_values import NOW, a_device, a_group, a_user

from gateway.adapters.store import Store
from gateway.model.org import DeviceStatus, UserSource, UserStatus
from gateway.model.store_errors import AlreadyExists, ReferenceMissing, UnstorableValue

LATER = NOW + timedelta(hours=1)


def test_a_user_comes_back_as_it_was_and_is_found_by_any_spelling(store: Store) -> None:
    alice = a_user(
        "Alice@Example.test", external={"dn": "CN=Alice", "groups": ["a", {"b": None}]}, source=UserSource.AD
    )
    with store.begin() as work:
        work.users.add(alice)
    with store.read() as view:
        assert view.users.get(alice.id) == alice
        assert view.users.by_login("aLICE@example.TEST") == alice
        assert view.users.by_login("alice") is None
        assert view.users.by_ids([alice.id, "00u"]) == {alice.id: alice}


def test_a_login_in_another_spelling_is_taken(store: Store) -> None:
    with store.begin() as work:
        work.users.add(a_user("bob@example.test"))
    with pytest.raises(AlreadyExists) as taken, store.begin() as work:
        work.users.add(a_user("BOB@example.test"))
    assert taken.value.what == "users.login_key"
    with store.read() as view:
        assert view.users.count() == 1


def test_a_user_changes_and_goes(store: Store) -> None:
    user = a_user("carol")
    with store.begin() as work:
        work.users.add(user)
    changed = replace(user, login="Carol", first_name="C", last_updated=LATER)
    with store.begin() as work:
        assert work.users.update(changed)
        assert not work.users.update(a_user("nobody"))
        assert work.users.get(user.id, lock=True) == changed
        assert work.users.set_status(user.id, UserStatus.DEPROVISIONED, LATER)
        assert not work.users.set_status(user.id, UserStatus.DEPROVISIONED, LATER)
        assert list(work.users.inactive_login_keys()) == ["carol"]
        stored = work.users.get(user.id)
        assert stored is not None
        assert (stored.status_changed, stored.active) == (LATER, False)
        assert work.users.delete(user.id)
        assert not work.users.delete(user.id)


def test_users_come_in_pages(store: Store) -> None:
    people = [a_user(f"user{number}") for number in range(7)]
    with store.begin() as work:
        work.users.add_many(people)
        work.users.set_status(people[3].id, UserStatus.SUSPENDED, LATER)
    with store.read() as view:
        first = view.users.page(limit=3)
        assert [user.login for user in first] == ["user0", "user1", "user2"]
        second = view.users.page(after=first[-1].id, limit=3)
        assert [user.login for user in second] == ["user3", "user4", "user5"]
        assert [user.login for user in view.users.page(status=UserStatus.SUSPENDED)] == ["user3"]
        assert [user.login for user in view.users.page(q="USER6")] == ["user6"]
        assert view.users.page(q="u%r") == []
        assert [user.id for user in view.users.all()] == [user.id for user in people]


@pytest.mark.parametrize("text", ["nul\0", "half \ud800"])
def test_a_text_that_not_every_engine_can_keep_is_refused_by_both(store: Store, text: str) -> None:
    with pytest.raises(UnstorableValue), store.begin() as work:
        work.users.add(a_user("dave", first_name=text))


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_what_is_no_json_is_refused(store: Store, value: object) -> None:
    with pytest.raises(UnstorableValue), store.begin() as work:
        work.users.add(a_user("dave", external={"value": value}))


def test_any_json_and_any_text_come_back(store: Store) -> None:
    external = {"nul": "\0", "half": "\ud800", "emoji": "🔐", "number": 1.5, "large": 2**70, "null": None}
    with store.begin() as work:
        work.users.add(a_user("dave", first_name="Ünï 🔐 'quoted' %s :x", external=external))
    with store.read() as view:
        stored = view.users.by_login("dave")
        assert stored is not None
        assert (stored.first_name, stored.external) == ("Ünï 🔐 'quoted' %s :x", external)


def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(UnstorableValue, match="time zone"), store.begin() as work:
        work.users.add(a_user("dave", created=NOW.replace(tzinfo=None)))


def test_groups_list_their_members(store: Store) -> None:
    admins, staff = a_group("admins"), a_group("staff")
    people = [a_user(f"user{number}") for number in range(3)]
    with store.begin() as work:
        work.groups.add(admins)
        work.groups.add(staff)
        work.users.add_many(people)
        for person in people:
            assert work.groups.add_member(staff.id, person.id)
        assert work.groups.add_member(admins.id, people[0].id)
        assert not work.groups.add_member(admins.id, people[0].id)
    with store.read() as view:
        assert view.groups.of_user(people[0].id) == [admins, staff]
        assert view.groups.members(staff.id, limit=2) == people[:2]
        assert view.groups.members(staff.id, after=people[1].id) == people[2:]
        assert view.groups.by_name("admins") == admins
        assert view.groups.page(q="STA") == [staff]
        assert view.groups.page(after=admins.id) == [staff]
    with store.begin() as work:
        assert work.groups.remove_member(admins.id, people[0].id)
        assert not work.groups.remove_member(admins.id, people[0].id)
        assert work.groups.update(replace(admins, description="all of it"))
        assert work.users.delete(people[0].id)
        assert work.groups.members(staff.id) == people[1:]
        assert work.groups.delete(staff.id)
        assert [group.description for group in work.groups.all()] == ["all of it"]


def test_nobody_becomes_a_member_of_nothing(store: Store) -> None:
    with pytest.raises(ReferenceMissing), store.begin() as work:
        work.groups.add_member("00g", "00u")


def test_group_names_are_unique(store: Store) -> None:
    with store.begin() as work:
        work.groups.add(a_group("staff"))
    with pytest.raises(AlreadyExists, match=r"groups\.name"), store.begin() as work:
        work.groups.add(a_group("staff"))


def test_devices_and_those_who_use_them(store: Store) -> None:
    laptop, phone = a_device("Laptop", profile={"tpm": True}), a_device("Phone", serial_number="C02")
    alice, bob = a_user("alice"), a_user("bob")
    with store.begin() as work:
        work.devices.add(laptop)
        work.devices.add_many([phone])
        work.users.add_many([alice, bob])
        assert work.devices.link(laptop.id, bob.id, NOW)
        assert work.devices.link(laptop.id, alice.id, LATER)
        assert not work.devices.link(laptop.id, alice.id, LATER)
        assert work.devices.link(phone.id, alice.id, NOW)
    with store.read() as view:
        assert view.devices.get(laptop.id) == laptop
        assert view.devices.by_certificate_name(phone.certificate_name) == phone
        assert view.devices.users_of(laptop.id) == [(alice, LATER), (bob, NOW)]
        assert view.devices.of_user(alice.id) == [laptop, phone]
        assert view.devices.by_ids([phone.id]) == {phone.id: phone}
        assert view.devices.page(q="c0") == [phone]
        assert view.devices.page(q="lap") == [laptop]
        assert view.devices.page(after=laptop.id) == [phone]
    with store.begin() as work:
        assert work.devices.unlink(laptop.id, bob.id)
        assert not work.devices.unlink(laptop.id, bob.id)
        assert work.devices.set_status(phone.id, DeviceStatus.DEACTIVATED, LATER)
        assert not work.devices.set_status(phone.id, DeviceStatus.DEACTIVATED, LATER)
        assert list(work.devices.inactive_names()) == [phone.certificate_name]
        assert [device.id for device in work.devices.page(status=DeviceStatus.ACTIVE)] == [laptop.id]
        assert work.devices.update(replace(laptop, name="Old laptop"))
        assert work.devices.delete(phone.id)
        assert [device.name for device in work.devices.all()] == ["Old laptop"]
        assert work.devices.of_user(alice.id) == [replace(laptop, name="Old laptop")]


def test_names_in_certificates_are_unique(store: Store) -> None:
    device = a_device()
    with store.begin() as work:
        work.devices.add(device)
    with pytest.raises(AlreadyExists, match=r"devices\.certificate_name"), store.begin() as work:
        work.devices.add(a_device(certificate_name=device.certificate_name))
