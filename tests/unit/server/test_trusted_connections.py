"""What ends a connection that lasts, what of it is lost trust, and that others are served meanwhile."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.forge import forge_authority

from gateway.model.device import CertificateId, NotTrusted, TrustVerdict, VerifiedDevice
from gateway.model.org_state import OrgChange
from gateway.model.reasons import TrustReason
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.own_revocations import OwnRevocations
from gateway.server import trusted_connections
from gateway.server.exchange import Rested
from gateway.server.trusted_connections import Touched, TrustedConnections

NOW = datetime(2026, 1, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NOBODY_IS_TRUSTED = TrustSnapshot(enabled=False, authorities=())
NO_DEVICE = NotTrusted(TrustReason.NO_CERTIFICATE)
DEVICE = VerifiedDevice(
    authority="corp",
    device="urn:uuid:1",
    user=None,
    user_binding_required=False,
    certificate_thumbprint="x",
    certification_path=(),
    not_after=NOW + timedelta(days=1),
)


class _Channel:
    def __init__(self, order: "list[_Channel]") -> None:
        self.rested_on: Rested | None = None
        self.server_name = self.peer_host = ""
        self.peer_certificate = None
        self.is_open = True
        self.end = "none"
        self._order = order

    @property
    def connection(self) -> "_Channel":
        return self

    def abort(self) -> None:
        self._ended("aborted")

    def close_when_idle(self) -> None:
        self._ended("closed")

    def _ended(self, end: str) -> None:
        self.end, self.is_open = end, False
        self._order.append(self)


class World:
    def __init__(self) -> None:
        self.open: set[_Channel] = set()
        self.ended: list[_Channel] = []
        self.lost: list[int] = []
        self.connections = TrustedConnections(
            asyncio.get_running_loop(),
            self.open,
            lambda count, seconds: self.lost.append(count),
        )

    def connection(
        self,
        verdict: TrustVerdict,
        session_ends: datetime = LATER,
        *,
        user: str = "alice@example.test",
        runs: bool = True,
    ) -> _Channel:
        channel = _Channel(self.ended)
        self.open.add(channel)
        self.connections.rests_on(channel, verdict, user, session_ends)
        if not runs:
            self.connections.served(channel)
        return channel

    def look(self) -> None:
        self.connections.close_untrusted(NOBODY_IS_TRUSTED, NOW)


@pytest.mark.parametrize(
    ("verdict", "session_ends", "runs", "end", "lost"),
    [
        (NO_DEVICE, LATER, True, "none", []),
        (NO_DEVICE, NOW, True, "aborted", []),
        (NO_DEVICE, NOW, False, "none", []),
        (DEVICE, LATER, True, "aborted", [1]),
        (DEVICE, LATER, False, "closed", [1]),
        (DEVICE, NOW, True, "aborted", [1]),
    ],
    ids=[
        "no device was asked for, the session goes on",
        "a session ends: no lost trust",
        "a session ends between two requests",
        "a device loses trust",
        "a device loses trust between two requests",
        "both",
    ],
)
async def test_what_happens_to_a_connection(
    verdict: TrustVerdict, session_ends: datetime, runs: bool, end: str, lost: list[int]
) -> None:
    world = World()
    channel = world.connection(verdict, session_ends, runs=runs)
    world.look()
    assert (channel.end, world.lost) == (end, lost)
    world.look()
    assert world.lost == lost, "and nothing is counted twice"


async def test_connections_that_carry_no_session_or_are_gone_are_left_alone() -> None:
    world = World()
    world.open.add(_Channel(world.ended))
    world.connection(DEVICE, LATER, runs=False).is_open = False
    world.look()
    assert (world.ended, world.lost) == ([], [])


async def test_a_device_is_judged_once_for_all_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def recheck(device: VerifiedDevice, trust: TrustSnapshot, now: datetime) -> TrustVerdict:
        judged.append(device.certificate_thumbprint)
        return device

    monkeypatch.setattr(trusted_connections, "recheck", recheck)
    world = World()
    for name in ("a", "a", "b", "a"):
        world.connection(replace(DEVICE, certificate_thumbprint=name), LATER)
    world.look()
    assert sorted(judged) == ["a", "b"]
    assert world.ended == []


async def test_others_are_served_between_steps_and_all_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trusted_connections, "STEP_SECONDS", 0.0001)
    world = World()
    for number in range(3_000):
        world.connection(replace(DEVICE, certificate_thumbprint=str(number)), LATER)
    world.look()
    seen = []
    while len(world.ended) < 3_000:
        seen.append(len(world.ended))
        assert world.lost == []
        await asyncio.sleep(0)
    assert len(set(seen)) > 3
    assert world.lost == [3_000]


async def test_a_look_that_begins_during_another_goes_on_with_what_was_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def recheck(device: VerifiedDevice, trust: TrustSnapshot, now: datetime) -> TrustVerdict:
        judged.append(device.certificate_thumbprint)
        return NotTrusted(TrustReason.REVOKED) if trust is NOBODY_IS_TRUSTED else device

    monkeypatch.setattr(trusted_connections, "recheck", recheck)
    monkeypatch.setattr(trusted_connections, "perf_counter", iter(range(10_000)).__next__)
    world = World()
    for number in range(4):
        world.connection(replace(DEVICE, certificate_thumbprint=str(number)), LATER)
    everybody = TrustSnapshot(enabled=True, authorities=())
    monkeypatch.setattr(trusted_connections, "STEP_SECONDS", 1.5)  # of this clock: one look a step
    world.connections.close_untrusted(everybody, NOW)
    first = list(judged)
    assert len(first) == 1
    world.look()
    while len(world.ended) < 4:
        await asyncio.sleep(0)
    assert judged[-1] == first[0], "what was seen before comes last"
    assert len(world.ended) == 4
    assert world.lost == [4]


# What the org says.


def device(name: str, serial_number: int = 1) -> VerifiedDevice:
    path = (CertificateId(b"i" * 32, serial_number), CertificateId(b"r" * 32, 7))
    return replace(DEVICE, device=name, certificate_thumbprint=f"x{name}", certification_path=path)


@pytest.mark.parametrize(
    ("change", "concerns"),
    [
        (OrgChange(1, certificate=CertificateId(b"i" * 32, 5), revoked=True), "ab"),
        (OrgChange(1, certificate=CertificateId(b"r" * 32, 7), revoked=True), "abcd"),
        (OrgChange(1, certificate=CertificateId(b"i" * 32, 5)), ""),
        (OrgChange(1, device=("c", False)), "c"),
        (OrgChange(1, device=("c", True)), ""),
        (OrgChange(1, user=("dora", False)), "d"),
        (OrgChange(1, user=("dora", True)), ""),
        (OrgChange(1), ""),
    ],
    ids=[
        "a certificate, and one that has its number",
        "an authority on the path",
        "a certificate that is released",
        "a device",
        "a device that is active again",
        "a user",
        "a user who is active again",
        "nothing",
    ],
)
async def test_only_those_are_judged_whom_a_change_may_concern(
    change: OrgChange, concerns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[str] = []

    def recheck(device: VerifiedDevice, trust: TrustSnapshot, now: datetime) -> TrustVerdict:
        judged.append(device.device)
        return NotTrusted(TrustReason.REVOKED)

    monkeypatch.setattr(trusted_connections, "recheck", recheck)
    world = World()
    for number, runs in ((5, True), (6, False)):
        name = {5: "a", 6: "c"}[number]
        world.connection(device(name, number), runs=runs)
    world.connection(device("b", 5), runs=False)
    world.connection(device("d", 6), user="Dora")
    world.connection(NO_DEVICE, user="Dora")
    await world.connections.close_touched(Touched.by([change]), NOBODY_IS_TRUSTED, NOW)
    assert "".join(sorted(judged)) == concerns
    assert len(world.ended) == len(concerns)
    assert world.lost == ([len(concerns)] if concerns else [])


async def test_a_session_of_a_deactivated_user_ends_also_where_the_certificate_names_nobody() -> None:
    world = World()
    authority = AuthoritySettings(
        "corp", "", (), None, False, DeviceFrom.SAN_URI, UserFrom.NONE, builtin=True
    )
    anchor = forge_authority("Anchor").parsed
    rested = replace(device("a"), certification_path=(CertificateId(anchor.issuer_hash, 5),))
    hers = world.connection(rested, user="Alice@Example.test", runs=False)
    his = world.connection(rested, user="bob@example.test", runs=False)
    change = OrgChange(1, user=("alice@example.test", False))
    trust = TrustSnapshot(
        True,
        (authority_from(authority, [anchor]),),
        own=OwnRevocations().with_changes([change]),
    )
    await world.connections.close_touched(Touched.by([change]), trust, NOW)
    assert (hers.end, his.end) == ("closed", "none")
    await world.connections.close_untrusted(trust, NOW)
    assert his.end == "none"


async def test_what_a_change_concerns_is_closed_before_a_look_at_all_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trusted_connections, "perf_counter", iter(range(100_000)).__next__)
    monkeypatch.setattr(trusted_connections, "STEP_SECONDS", 5)  # of this clock
    world = World()
    all_of_them = [world.connection(device(str(number), number)) for number in range(50)]
    everything = world.connections.close_untrusted(NOBODY_IS_TRUSTED, NOW)
    ended = len(world.ended)
    assert 0 < ended < 10
    change = OrgChange(1, certificate=CertificateId(b"i" * 32, 30), revoked=True)
    await world.connections.close_touched(Touched.by([change]), NOBODY_IS_TRUSTED, NOW)
    assert all_of_them[30].end == "aborted"
    assert not everything.done()
    await everything
    assert len(world.ended) == 50
    assert sum(world.lost) == 50
