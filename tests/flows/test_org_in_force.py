"""What the org says is enforced by every worker at once, also on connections that are open, and none of it is
lost when a process dies. The org is one that says what the test wants (`support.fake_org`)."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import fake_org
from support.enforced_world import USER, EnforcedWorld, enforced_world
from support.gateway_process import GatewayProcess
from support.processes import http_get
from support.two_apps import PAYROLL


@pytest.fixture
def world(tmp_path: Path) -> Iterator[EnforcedWorld]:
    with enforced_world(tmp_path) as prepared:
        yield prepared


def test_each_thing_that_the_org_says_counts_at_once_and_can_be_taken_back(world: EnforcedWorld) -> None:
    """The steps of one story, in one gateway."""
    store = world.store
    store.state()
    one, other, foreign = world.device(), world.device("urn:device:2"), world.site.issue()
    with world.gateway() as gateway:
        assert world.outcome(one) == "UNKNOWN_ISSUER"
        store.wait_until_applied(world.trust_own(), 2)
        assert [world.outcome(each) for each in (one, other, foreign)] == [200, 200, 200]

        lost, kept = world.session(one), world.session(other)
        number = store.revoke(world.named(one))
        assert lost.ends()
        store.wait_until_applied(number, 2)
        assert kept.lasts()
        assert [world.outcome(each) for each in (one, other)] == ["REVOKED", 200]
        store.wait_until_applied(store.release(world.named(one)), 2)
        assert world.outcome(one) == 200

        lost = world.session(one)
        store.wait_until_applied(store.deactivate_device("urn:device:1"), 2)
        assert lost.ends()
        assert kept.lasts()
        assert world.outcome(one) == "DEVICE_DEACTIVATED"
        store.wait_until_applied(store.activate_device("urn:device:1"), 2)
        assert world.outcome(one) == 200

        foreigner = world.session(foreign)
        store.wait_until_applied(store.deactivate_user(USER), 2)
        assert kept.ends()
        assert foreigner.ends()
        assert [world.outcome(each) for each in (other, foreign)] == ["USER_DEACTIVATED"] * 2
        assert gateway.metric("devicetrust_change_number") == store.number
        assert gateway.metric("devicetrust_connections_closed_by_revocation_total") >= 4
        assert gateway.metric("devicetrust_revocation_seconds_count") >= 3


def test_settings_policies_and_zones_of_the_store_come_before_those_of_the_files(
    world: EnforcedWorld,
) -> None:
    store = world.store
    world.trust_own()
    device = world.device()
    nowhere = {
        "name": "Office only",
        "rules": [{"name": "Out", "location": {"not_in_zones": ["office"]}, "access": "deny"}],
    }
    with world.gateway() as gateway:
        assert [world.outcome(device), world.outcome(None)] == [200, "NO_CERTIFICATE"]
        number = store.state(policies={"wiki": nowhere}, zones={"office": ["192.0.2.0/24"]})
        store.wait_until_applied(number, 2)
        assert [world.outcome(device), world.outcome(device, PAYROLL)] == ["RULE Out", 200]
        gateway.reload()
        gateway.wait_for_records("reloaded", 1)
        assert world.outcome(device) == "RULE Out", "a reload keeps what the store says"
        store.wait_until_applied(store.state(zones={"office": ["127.0.0.0/8"]}), 2)
        assert world.outcome(None) == 200

        broken = {"name": "Broken", "rules": [{"name": "Typo", "acess": "deny"}]}
        store.wait_until_applied(store.state(policies={"wiki": broken, "payroll": broken}), 2)
        detail = gateway.wait_for_records("org_state_refused", 2)[-1]["detail"]
        assert 'policy of app "wiki" in the store' in detail
        assert world.outcome(None) == 200, "the one before stays in force"
        assert world.outcome(device, PAYROLL) == "POLICY_ERROR", "there was none before"

        store.wait_until_applied(store.state(policies={}, device_trust_enabled=False), 2)
        visit = world.sign_on(device)
        assert visit.device_trust_reason == "DEVICE_TRUST_DISABLED"
        url = "https://store.example.test/help"
        store.wait_until_applied(store.state(learn_more_url=url), 2)
        assert url in world.sign_on(device).last.text
        assert gateway.stderr_text() == ""


def test_before_the_org_has_said_anything_nothing_is_trusted_and_readiness_says_so(
    world: EnforcedWorld,
) -> None:
    device, foreign = world.device(), world.site.issue()
    world.configuration["listen"]["workers"] = 1
    gateway = GatewayProcess(
        world.configuration,
        world.site.directory,
        program=fake_org.GATEWAY,
        environment=fake_org.ENVIRONMENT,
    )
    try:
        gateway.wait_for_records("started", 1, 30)
        status, body = http_get(gateway.metrics_port, "/readyz")
        assert status == 503
        assert b"org: state not loaded since" in body
        assert b"there is no file" in body
        assert [world.outcome(each) for each in (device, foreign)] == ["REVOCATION_UNKNOWN"] * 2
        assert gateway.metric("devicetrust_store_reachable") == 0
        world.trust_own()
        world.store.wait_until_applied(1)
        assert http_get(gateway.metrics_port, "/readyz")[0] == 200
        world.store.say(store={"reachable": True})
        gateway.wait_for_metric("devicetrust_store_reachable", 1)
        assert http_get(gateway.metrics_port, "/readyz") == (200, b'{"status": "ready"}')
        assert [world.outcome(each) for each in (device, foreign)] == [200, 200]
        world.store.say(store={"reachable": False, "detail": "connection refused"})
        gateway.wait_for_metric("devicetrust_store_reachable", 0)
        status, body = http_get(gateway.metrics_port, "/readyz")
        assert status == 200
        assert b"org: not following since" in body
        assert [world.outcome(each) for each in (device, foreign)] == [200, 200]
        gateway.stop()
    finally:
        gateway.kill()


def test_an_org_that_is_killed_again_and_again_costs_no_wrong_answer(world: EnforcedWorld) -> None:
    store = world.store
    world.trust_own()
    good, bad = world.device(), world.device("urn:device:2")
    store.revoke(world.named(bad))
    with (
        world.gateway() as gateway,
        _again_and_again(lambda: world.outcome(good)) as goods,
        _again_and_again(lambda: world.outcome(bad)) as bads,
    ):
        for count in range(1, 6):
            os.kill(gateway.orgs()[0], signal.SIGKILL)
            number = store.revoke(world.named(world.device(f"urn:device:{count + 10}")))
            gateway.wait_for_records("org_started", count + 1, 60)
            store.wait_until_applied(number, 2)
    assert (set(goods), set(bads)) == ({200}, {"REVOKED"})
    assert len(goods) > 10


def test_a_worker_that_replaces_a_killed_one_enforces_all_that_came_before_and_meanwhile(
    world: EnforcedWorld,
) -> None:
    store = world.store
    world.trust_own()
    devices = [world.device(f"urn:device:{number}") for number in range(6)]
    with world.gateway(workers=1) as gateway:
        store.wait_until_applied(store.revoke(world.named(devices[0])))
        (victim,) = gateway.workers()
        os.kill(victim, signal.SIGKILL)
        for device in devices[1:5]:
            store.revoke(world.named(device))
        gateway.wait_for_records("worker_started", 1)
        assert [world.outcome(device) for device in devices] == ["REVOKED"] * 5 + [200]
        store.wait_until_applied(store.number)


def test_a_hundred_thousand_revoked_certificates_are_one_table_for_all_workers(world: EnforcedWorld) -> None:
    device, revoked = world.device(), world.device("urn:device:2")
    name = world.named(revoked)
    world.store.revoked[name.issuer.hex()] = {name.serial_number, *(2**150 + n for n in range(100_000))}
    number = world.trust_own()
    with world.gateway() as gateway:
        world.store.wait_until_applied(number, 2)
        assert [world.outcome(device), world.outcome(revoked)] == [200, "REVOKED"]
        shared = [
            line
            for worker in gateway.workers()
            for line in Path(f"/proc/{worker}/maps").read_text().splitlines()
            if "memfd:revoked serial numbers" in line
        ]
        assert len(shared) == 2
        assert len({line.split()[4] for line in shared}) == 1, "the same inode"


def test_an_org_that_says_what_cannot_be_passed_on_is_replaced(world: EnforcedWorld) -> None:
    world.trust_own()
    with world.gateway(workers=1) as gateway:
        world.store.wait_until_applied(1)
        world.store.say(changes=[{"number": 99, "kind": "state.changed", "payload": {}}])
        record = gateway.wait_for_records("org_misspoke", 1)[0]
        assert record["detail"] == "change 99 follows 1"
        gateway.wait_for_records("org_started", 2)
        world.store.wait_until_applied(world.store.revoke(world.named(world.device())))


@contextlib.contextmanager
def _again_and_again(ask: Callable[[], object]) -> Iterator[list[object]]:
    answers: list[object] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            answers.append(ask())

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()
