"""From the spools into the store: each event once, and who is who."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.org_values import NOW, a_certificate, a_device, a_user, an_authority

from gateway.adapters.spool import Spool
from gateway.adapters.store import Store
from gateway.model.events import ChallengeAnswered, SignOnDecided
from gateway.model.issued import CertificateStatus
from gateway.model.settings import CaSettings
from gateway.model.store_errors import StoreUnavailable
from gateway.server.log import LogWriter
from gateway.server.org import log_intake
from gateway.server.org.log_intake import LogIntake
from gateway.server.org.opening import OpeningStore
from gateway.services.log_retention import beginning
from gateway.system_log.spooled import encode_event
from gateway.system_log.verification import Head, Verification

ANSWERED = ChallengeAnswered(
    NOW, "ref", "wiki", "flow", "trusted", "", "", "urn:devicetrust:device:x", "thumb", "192.0.2.1", "ann"
)
DECIDED = SignOnDecided(
    NOW, "ref", "wiki", "saml2", "ANN@example.test", "idp", "192.0.2.1", "web_browser", "windows", "allow",
    "DEFAULT_RULE", None, "trusted", None, "", "urn:devicetrust:device:x", "thumb", "flow", (), False,
)  # fmt: skip


class World:
    def __init__(self, keys: Path, store_url: str, store: Store) -> None:
        self.keys = str(keys)
        self.store = store
        self.lines: list[bytes] = []
        self.log = LogWriter(self.lines.append)
        self.runs = 0
        self._url = store_url

    def spool(self) -> Spool:
        self.runs += 1
        return Spool(self.keys, 1, 1 << 26, now_ns=self.runs, random=b"rand")

    def sign_on(self, spool: Spool, number: int) -> None:
        spool.append([encode_event(replace(ANSWERED, flow_id=f"flow-{number}"))])
        spool.append([encode_event(replace(DECIDED, flow_id=f"flow-{number}"))])

    async def take_in(self, until: Callable[[], bool]) -> None:
        """Run an intake of its own until something holds."""
        door = OpeningStore(self._url, lambda _: None)
        store = await door.open()
        intake = LogIntake(door, self.keys, CaSettings, self.log)
        running = asyncio.create_task(intake.run())
        try:
            async with asyncio.timeout(30):
                while not until():
                    assert not running.done(), running.result()
                    await asyncio.sleep(0.01)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            store.close()

    def events(self) -> list[dict[str, Any]]:
        with self.store.read() as view:
            return [json.loads(row.event_json) for row in view.log.rows()]

    def count(self) -> int:
        with self.store.read() as view:
            return view.log.count()

    def has(self, count: int) -> Callable[[], bool]:
        return lambda: self.count() >= count


@pytest.fixture
def world(tmp_path: Path, store_url: str, store: Store) -> World:
    return World(tmp_path / "keys", store_url, store)


async def test_every_spooled_event_is_in_the_log_once_however_often_the_reader_is_replaced(
    world: World,
) -> None:
    spool = world.spool()
    for number in range(120):
        world.sign_on(spool, number)
        if number % 40 == 39:
            spool.close()
            spool = world.spool()
            await world.take_in(world.has(3 * (number - 20)))
    spool.close()
    await world.take_in(lambda: world.count() == 360 and not list(Path(world.keys).rglob("*.spool")))
    events = world.events()
    flows = [event["debugContext"]["debugData"]["flowId"] for event in events]
    assert flows == [f"flow-{number}" for number in range(120) for _ in range(3)]
    assert len({event["uuid"] for event in events}) == 360
    with world.store.read() as view:
        verification = Verification(beginning(view.log))
        assert list(verification.read(view.log.rows())) == []
        assert list(verification.end(Head(*view.log.head()))) == []


async def test_people_and_devices_are_those_of_the_store(world: World) -> None:
    user, device = a_user("ann@example.test"), a_device(certificate_name="urn:devicetrust:device:x")
    with world.store.begin() as work:
        work.users.add(user)
        work.devices.add(device)
    world.sign_on(world.spool(), 1)
    await world.take_in(world.has(3))
    authenticated, _, signed_on = world.events()
    assert authenticated["device"]["id"] == device.id
    assert signed_on["actor"]["id"] == user.id
    assert signed_on["debugContext"]["debugData"]["deviceId"] == device.id


async def test_the_first_use_of_a_renewed_certificate_is_noted_and_ends_the_former_one(world: World) -> None:
    with world.store.begin() as work:
        authority, device = an_authority(), a_device()
        work.authorities.add(authority)
        work.devices.add(device)
        former = a_certificate(authority.id, 1, device_id=device.id, user_id=None, thumbprint="former")
        work.certificates.add_many(
            [former, replace(former, serial_number=2, thumbprint="thumb", replaces="former")]
        )
    world.sign_on(world.spool(), 1)
    later = replace(ANSWERED, at=NOW + timedelta(hours=1))
    world.spool().append([encode_event(later)])
    await world.take_in(world.has(5))
    with world.store.read() as view:
        seen, ended = view.certificates.by_thumbprint("thumb"), view.certificates.by_thumbprint("former")
    assert seen is not None
    assert seen.first_seen == NOW
    assert ended is not None
    assert ended.status is CertificateStatus.REVOKED
    assert [event["eventType"] for event in world.events()].count("pki.cert.revoke") == 1


async def test_while_the_store_is_away_spools_wait_and_nothing_is_lost_or_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = world.spool()
    world.sign_on(spool, 1)
    commits = 0
    begin = Store.begin

    class Unsure:
        """A store whose first answers are lost: once before, once after the commit."""

        def __init__(self, store: Store) -> None:
            self._context = begin(store)

        def __enter__(self) -> Any:
            return self._context.__enter__()

        def __exit__(self, *raised: Any) -> Any:
            nonlocal commits
            commits += 1
            if commits == 1:
                self._context.__exit__(StoreUnavailable, StoreUnavailable("away"), None)
                raise StoreUnavailable("away before the commit")
            self._context.__exit__(*raised)
            if commits == 2:
                raise StoreUnavailable("away after the commit")

    def unsure(store: Store) -> Unsure:
        return Unsure(store)

    monkeypatch.setattr(Store, "begin", unsure)
    monkeypatch.setattr(log_intake, "_PAUSE_SECONDS", 0.01)
    await world.take_in(lambda: commits >= 2)
    world.sign_on(spool, 2)
    await world.take_in(world.has(6))
    flows = [event["debugContext"]["debugData"]["flowId"] for event in world.events()]
    assert flows == ["flow-1"] * 3 + ["flow-2"] * 3


async def test_events_that_are_in_the_log_already_are_passed_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position that was lost must not stop the intake for ever."""
    monkeypatch.setattr(log_intake, "_PAUSE_SECONDS", 0.01)
    spool = world.spool()
    world.sign_on(spool, 1)
    await world.take_in(world.has(3))
    with world.store.begin() as work:
        for path in Path(world.keys).rglob("*.spool"):
            work.spools.forget(path.name.partition("-")[0])
    world.sign_on(spool, 2)
    await world.take_in(world.has(6))
    assert len({event["uuid"] for event in world.events()}) == 6


async def test_a_record_that_nobody_can_read_is_told_and_passed_over(world: World) -> None:
    spool = world.spool()
    spool.append([b"rubbish"])
    world.sign_on(spool, 1)
    await world.take_in(world.has(3))
    world.log.start()
    world.log.stop(5)
    assert b"system_log_record_unreadable" in b"".join(world.lines)


@pytest.mark.parametrize("name", ["rule\0", "urn:\ud800:x"])
async def test_a_name_that_no_store_can_keep_holds_nothing_up(world: World, name: str) -> None:
    spool = world.spool()
    spool.append([encode_event(replace(DECIDED, user=name, device=name, rule=name, app=name))])
    spool.append([encode_event(replace(ANSWERED, user=name, device=name))])
    world.sign_on(spool, 1)
    await world.take_in(lambda: world.count() >= 6)
    assert world.count() == 6
