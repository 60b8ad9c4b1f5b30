"""IWA web apps and directory accounts as rows, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.org_values import NOW, a_certificate, a_device, a_user, an_authority, an_iwa, reserved

from gateway.adapters.store import Store
from gateway.model.iwa import IwaStatus
from gateway.model.org import NameKind
from gateway.model.store_errors import AlreadyExists


def test_one_is_found_by_its_id_its_name_and_its_key(store: Store) -> None:
    one, other = an_iwa("hq-1"), an_iwa("hq-2", status=IwaStatus.DISABLED, realms=[])
    with store.begin() as work:
        work.iwas.add(one)
        work.iwas.add(other)
    with store.read() as view:
        assert view.iwas.get(one.id) == view.iwas.by_name("hq-1") == view.iwas.by_key_id(one.key_id) == one
        assert view.iwas.all() == [one, other]
        assert view.iwas.by_key_id("none") is None


@pytest.mark.parametrize("taken", ["name", "key_id"])
def test_names_and_keys_are_unique(store: Store, taken: str) -> None:
    one, other = an_iwa("hq-1"), an_iwa("hq-2")
    with store.begin() as work:
        work.iwas.add(one)
    with pytest.raises(AlreadyExists, match=f"iwas.{taken}"), store.begin() as work:
        work.iwas.add(replace(other, **{taken: getattr(one, taken)}))


def test_there_is_one_primary(store: Store) -> None:
    one, other = an_iwa("hq-1", is_primary=True), an_iwa("hq-2")
    with store.begin() as work:
        work.iwas.add(one)
        work.iwas.add(other)
        work.iwas.make_primary(other.id)
    with store.read() as view:
        assert [iwa.is_primary for iwa in view.iwas.all()] == [False, True]


def test_who_reports_is_online_until_it_falls_silent(store: Store) -> None:
    one, other = an_iwa("hq-1"), an_iwa("hq-2")
    later = NOW + timedelta(seconds=60)
    with store.begin() as work:
        work.iwas.add(one)
        work.iwas.add(other)
        assert work.iwas.report(one.id, NOW, "1.1", {"keytab": "ok"})
        assert not work.iwas.report(one.id, later, "1.2", {"keytab": "old"})
    with store.begin() as work:
        assert work.iwas.mark_offline(later) == []
        (gone,) = work.iwas.mark_offline(later + timedelta(seconds=1))
        assert (gone.id, gone.version, gone.health, gone.last_seen) == (
            one.id,
            "1.2",
            {"keytab": "old"},
            later,
        )
        assert work.iwas.mark_offline(later + timedelta(days=1)) == []
    with store.read() as view:
        assert [iwa.online for iwa in view.iwas.all()] == [False, False]


def test_it_can_be_removed(store: Store) -> None:
    one = an_iwa()
    with store.begin() as work:
        work.iwas.add(one)
        assert work.iwas.update(replace(one, url="https://other.example.test/iwa"))
        assert work.iwas.delete(one.id)
        assert not work.iwas.delete(one.id)
        assert not work.iwas.update(one)


def test_a_directory_account_belongs_to_one_user_and_one_device(store: Store) -> None:
    user, device = a_user(directory_key="sid:S-1"), a_device(directory_key="sid:S-2")
    with store.begin() as work:
        work.users.add(user)
        work.devices.add(device)
        work.users.add(a_user())
        work.users.add(a_user())  # several without one
    with store.read() as view:
        assert view.users.by_directory_key("sid:S-1") == user
        assert view.devices.by_directory_key("sid:S-2") == device
        assert view.users.by_directory_key("sid:S-2") is None
    with pytest.raises(AlreadyExists, match=r"users\.directory_key"), store.begin() as work:
        work.users.add(a_user(directory_key="sid:S-1"))
    with pytest.raises(AlreadyExists, match=r"devices\.directory_key"), store.begin() as work:
        work.devices.add(a_device(directory_key="sid:S-2"))


def test_what_a_device_and_a_user_got_lately_is_counted(store: Store) -> None:
    authority = an_authority()
    hour_ago = NOW - timedelta(hours=1)
    with store.begin() as work:
        work.authorities.add(authority)
        for number, created in enumerate((hour_ago, hour_ago + timedelta(seconds=1), NOW)):
            work.certificates.reserve(
                reserved(a_certificate(authority.id, number, created=created, device_id="d1", user_id="u1"))
            )
        work.certificates.reserve(
            reserved(a_certificate(authority.id, 9, created=NOW, device_id="d2", user_id="u1"))
        )
    with store.read() as view:
        count = view.certificates.made_since
        assert count(hour_ago, device_id="d1") == 2
        assert count(hour_ago, user_id="u1") == 3
        assert count(hour_ago, device_id="d2", user_id="u1") == 1
        assert count(NOW, device_id="d1") == 0


def test_a_name_that_was_deleted_is_known(store: Store) -> None:
    with store.begin() as work:
        work.deleted_names.keep(NameKind.USER, "bob", NOW)
        assert work.deleted_names.holds(NameKind.USER, "bob")
        assert not work.deleted_names.holds(NameKind.DEVICE, "bob")
        work.deleted_names.take_back(NameKind.USER, "bob")
        assert not work.deleted_names.holds(NameKind.USER, "bob")
