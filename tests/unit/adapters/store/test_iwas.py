"""IWA web apps and directory accounts as rows, on both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.org_values import NOW, a_device, a_user, an_iwa

from gateway.adapters.store import Store
from gateway.model.iwa import IwaStatus
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
