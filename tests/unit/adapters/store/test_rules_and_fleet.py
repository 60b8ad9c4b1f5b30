"""Policies, zones, settings, tokens, one-use keys, gateways and spools in both engines."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.org_values import NOW

from gateway.adapters.store import Store
from gateway.adapters.store.spools import SpoolPosition
from gateway.model.org import (
    ApiToken,
    GatewayRecord,
    Lifecycle,
    PolicySource,
    SettingName,
    StoredPolicy,
    StoredZone,
    TokenScope,
    WorkerRecord,
)
from gateway.model.store_errors import AlreadyExists, ReferenceMissing

LATER = NOW + timedelta(hours=1)
DOCUMENT = {"name": "p", "rules": [{"id": "0pr1", "name": "Trusted", "device_trust": "trusted"}]}
POLICY = StoredPolicy(
    "rst1", "wiki", "p", DOCUMENT, PolicySource.FILE, "ab" * 32, Lifecycle.ACTIVE, 1, NOW, NOW
)
ZONE = StoredZone("nzo1", "office", {"cidrs": ["10.0.0.0/8"]}, Lifecycle.ACTIVE, NOW, NOW)
TOKEN = ApiToken("00T1", "script", TokenScope.OPERATE, b"digest", "alice", NOW, expires=LATER)
GATEWAY = GatewayRecord("gw1", "one", "0.1.0", NOW, NOW, "fingerprint", health={"store": "ok"})


def test_an_app_has_one_policy(store: Store) -> None:
    edited = replace(POLICY, source=PolicySource.EDITED, last_updated=LATER)
    with store.begin() as work:
        work.policies.put(POLICY)
        work.policies.put(edited)
        work.policies.put(replace(POLICY, id="rst2", app="mail", priority=0))
        assert work.policies.of_app("wiki", lock=True) == edited
        assert work.policies.get("rst1") == edited
        assert [policy.app for policy in work.policies.all()] == ["mail", "wiki"]
        assert work.policies.delete("rst2")
        assert not work.policies.delete("rst2")
    with pytest.raises(AlreadyExists, match=r"policies\.app"), store.begin() as work:
        work.policies.put(replace(POLICY, id="rst3"))


def test_zones(store: Store) -> None:
    with store.begin() as work:
        work.zones.put(ZONE)
        work.zones.put(replace(ZONE, status=Lifecycle.INACTIVE))
        work.zones.put(replace(ZONE, id="nzo2", name="home"))
        assert work.zones.get("nzo1", lock=True) == replace(ZONE, status=Lifecycle.INACTIVE)
        assert [zone.name for zone in work.zones.all()] == ["home", "office"]
        assert work.zones.delete("nzo2")
        assert work.zones.by_name("home") is None
    with pytest.raises(AlreadyExists, match=r"zones\.name"), store.begin() as work:
        work.zones.put(replace(ZONE, id="nzo3"))


@pytest.mark.parametrize("value", [True, False, "https://help.example.test/", 5, ["a"], {"b": 1}])
def test_a_setting_is_any_json_value(store: Store, value: object) -> None:
    with store.begin() as work:
        assert work.settings.get(SettingName.READ_ONLY) is None
        work.settings.put(SettingName.READ_ONLY, "before", NOW)
        work.settings.put(SettingName.READ_ONLY, value, LATER)
    with store.begin() as work:
        assert work.settings.get(SettingName.READ_ONLY) == value
        assert work.settings.all() == {"read_only": value}
        assert work.settings.clear(SettingName.READ_ONLY)
        assert not work.settings.clear(SettingName.READ_ONLY)


def test_tokens_are_found_by_the_hash_of_their_secret(store: Store) -> None:
    with store.begin() as work:
        work.tokens.add(TOKEN)
        assert work.tokens.by_secret_sha256(b"digest") == TOKEN
        assert work.tokens.by_secret_sha256(b"other") is None
        work.tokens.mark_used("00T1", NOW)
        assert work.tokens.revoke("00T1", LATER)
        assert not work.tokens.revoke("00T1", LATER)
        assert work.tokens.get("00T1") == replace(TOKEN, last_used=NOW, revoked=LATER)
        assert len(work.tokens.all()) == 1


def test_a_key_is_claimed_once_until_it_expires(store: Store) -> None:
    with store.begin() as work:
        assert work.one_use.claim(b"ticket", LATER, NOW)
        assert not work.one_use.claim(b"ticket", LATER, NOW)
        assert work.one_use.claim(b"other", LATER, NOW)
    with store.begin() as work:
        assert not work.one_use.claim(b"ticket", LATER, NOW)
        assert work.one_use.claim(b"ticket", LATER + timedelta(hours=1), LATER)
        assert not work.one_use.claim(b"ticket", LATER, LATER)
        assert work.one_use.forget_expired(LATER) == 1
        assert not work.one_use.claim(b"ticket", LATER, LATER)


def test_a_request_belongs_to_its_app_for_a_while(store: Store) -> None:
    with store.begin() as work:
        work.one_use.remember_request(b"id", "wiki", LATER)
        assert work.one_use.request_app(b"id", NOW) == "wiki"
        assert work.one_use.request_app(b"id", LATER) is None
        assert work.one_use.request_app(b"other", NOW) is None
        assert work.one_use.forget_expired(LATER) == 1


def test_gateways_say_how_far_their_workers_are(store: Store) -> None:
    with store.begin() as work:
        work.gateways.report(GATEWAY)
        work.gateways.report(replace(GATEWAY, seen_at=LATER))
        work.gateways.report(replace(GATEWAY, id="gw2", name="another"))
        for worker, applied in ((0, 5), (1, 7), (1, 9)):
            work.gateways.report_worker(WorkerRecord("gw1", worker, applied, LATER))
        work.gateways.report_worker(WorkerRecord("gw2", 0, 2, NOW))
        assert work.gateways.get("gw1") == replace(GATEWAY, seen_at=LATER)
        assert [gateway.name for gateway in work.gateways.all()] == ["another", "one"]
        assert [found.applied_number for found in work.gateways.workers("gw1")] == [5, 9]
        assert len(work.gateways.workers()) == 3
        assert work.gateways.lowest_applied(NOW) == 2
        assert work.gateways.lowest_applied(LATER) == 5
        assert work.gateways.lowest_applied(LATER + timedelta(hours=1)) is None
        assert work.gateways.keep_workers("gw1", [1]) == 1
        assert work.gateways.mark_seen("gw2", LATER)
        assert not work.gateways.mark_seen("gw3", LATER)
        assert work.gateways.remove("gw2")
        assert [found.worker for found in work.gateways.workers()] == [1]
    with pytest.raises(ReferenceMissing), store.begin() as work:
        work.gateways.report_worker(WorkerRecord("gw3", 0, 1, NOW))


def test_a_spool_is_read_from_where_it_was_left(store: Store) -> None:
    with store.begin() as work:
        assert work.spools.position("0") is None
        work.spools.advance("0", 1, 100)
        work.spools.advance("0", 2, 2**40)
        assert work.spools.position("0") == SpoolPosition(2, 2**40)
        assert work.spools.forget("0")
        assert not work.spools.forget("0")
