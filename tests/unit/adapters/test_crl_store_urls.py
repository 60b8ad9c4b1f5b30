"""CRL URLs as dialogues: servers answer or fail, authorities come and go, and the index follows."""

import asyncio
import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from support.crl_world import (
    CA,
    HOUR,
    IMPOSTOR,
    OTHER,
    QUICK,
    START,
    CrlServer,
    World,
    authority,
    replace,
    status_500,
)
from support.forge import Extension, forge_authority, forge_crl

from gateway.adapters.crl_source import CrlPace


async def test_a_url_is_asked_again_conditionally_and_followed(tmp_path: Path) -> None:
    async with CrlServer(CA.crl([1], number=1)) as server:
        world = World(authority(server.url()))
        async with world.running():
            assert world.status(1) == "revoked"
            await world.until(lambda: server.asked.count("not modified") >= 2)
            server.body = CA.crl([1, 2], number=2)
            await world.until(lambda: world.status(2) == "revoked")
    assert server.asked[0] == "body"
    assert server.asked.count("body") == 2
    assert world.report.failures() == []


async def test_a_server_that_fails_and_recovers_is_told_once_each(tmp_path: Path) -> None:
    async with CrlServer(CA.crl([1], number=1)) as server:
        server.instead = status_500
        world = World(authority(server.url()))
        async with world.running():
            assert world.status(1) == "unknown"
            await world.until(lambda: len(server.asked) >= 4)
            server.instead = None
            await world.until(lambda: world.status(1) == "revoked")
            server.instead = status_500
            await world.until(lambda: len(world.report.lines) == 3)
            assert world.status(1) == "revoked"
            server.instead = None
            await world.until(lambda: len(world.report.lines) == 4)
    assert world.report.lines == [
        ("failed", "corp.crl", "answered with status 500"),
        ("loaded", "corp.crl", 1, 1),
        ("failed", "corp.crl", "answered with status 500"),
        ("loaded", "corp.crl", 1, 1),
    ]


async def test_slow_servers_delay_the_start_together_and_only_so_long(tmp_path: Path) -> None:
    async def stall(request: web.Request) -> web.Response:
        await asyncio.sleep(0.6)
        return web.Response(body=CA.crl([1], number=1))

    async with CrlServer() as server:
        server.instead = stall
        world = World(authority(*(server.url(f"{n}.crl") for n in range(5))))
        began = asyncio.get_running_loop().time()
        await world.store.load()
        assert 0.3 <= asyncio.get_running_loop().time() - began < 1.2
        assert world.report.failures() == ["no complete answer within 0.3 s"] * 5
        async with world.running(load=False):  # which has more patience
            await world.until(lambda: world.status(1) == "revoked")


async def test_a_crl_past_its_next_update_is_told_and_asked_for_in_full() -> None:
    async with CrlServer(CA.crl([1], number=1, next_update=START + HOUR)) as server:
        world = World(authority(server.url()))
        async with world.running():
            await world.until(lambda: "not modified" in server.asked)
            world.clock.at = START + HOUR + timedelta(seconds=1)
            asked = len(server.asked)
            await world.until(lambda: len(server.asked) > asked + 2)
            assert server.asked[-1] == "body"
            server.body = CA.crl([1], number=2, next_update=START + 2 * HOUR)
            await world.until(lambda: world.status(2) == "good")
    assert world.report.failures() == [f"its successor was due on {START + HOUR:%Y-%m-%d %H:%M} UTC"]
    assert world.report.lines[-1] == ("loaded", "corp.crl", 2, 1)


async def test_a_crl_that_is_stale_after_a_step_of_the_clock_is_asked_for_before_its_time() -> None:
    """A virtual machine that slept for a night, say."""
    patient = dataclasses.replace(QUICK, latest=3_600.0)
    async with CrlServer(CA.crl([1], number=1, next_update=START + HOUR)) as server:
        world = World(authority(server.url()), pace=patient)
        async with world.running():
            await asyncio.sleep(0.2)
            assert server.asked == ["body"]
            server.body = CA.crl([1], number=2, next_update=START + 9 * HOUR)
            world.clock.at = START + 8 * HOUR
            assert world.status(2) == "stale"
            await world.until(lambda: world.status(2) == "good")


# The cache.


async def test_the_last_good_crl_bridges_a_start_while_its_server_is_down(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    async with CrlServer(CA.crl([1], number=5)) as server:
        url = server.url()
        await World(authority(url), cache=cache).store.load()
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    world = World(authority(url), cache=cache)
    await world.store.load()
    assert world.status(1) == "revoked"
    assert [str(failure).startswith("no connection") for failure in world.report.failures()] == [True]
    assert [state.fresh for state in world.store.freshness(START)] == [True]


async def test_a_restart_does_not_let_the_crl_number_go_back(tmp_path: Path) -> None:
    async with CrlServer(CA.crl([1], number=5)) as server:
        await World(authority(server.url()), cache=tmp_path).store.load()
        server.body = CA.crl([], number=4)
        world = World(authority(server.url()), cache=tmp_path)
        await world.store.load()
    assert world.status(1) == "revoked"
    assert world.report.failures() == ["CRL number 4 is lower than 5, which is held"]


async def test_what_is_refused_does_not_replace_what_is_cached(tmp_path: Path) -> None:
    async with CrlServer(CA.crl([1], number=5)) as server:
        await World(authority(server.url()), cache=tmp_path).store.load()
        (kept,) = tmp_path.iterdir()
        good = kept.read_bytes()
        server.body = IMPOSTOR.crl([], number=6)
        await World(authority(server.url()), cache=tmp_path).store.load()
    assert kept.read_bytes() == good


async def test_a_cached_crl_is_verified_like_any_other(tmp_path: Path) -> None:
    async with CrlServer(CA.crl([1], number=5)) as server:
        await World(authority(server.url()), cache=tmp_path).store.load()
        (kept,) = tmp_path.iterdir()
        kept.write_bytes(IMPOSTOR.crl([], number=9))
        server.instead = status_500
        world = World(authority(server.url()), cache=tmp_path)
        await world.store.load()
    assert world.status(1) == "unknown"
    assert world.report.failures() == [
        "answered with status 500",
        "its copy in the cache is refused: "
        "not signed by a configured authority of that name that may sign CRLs",
    ]


async def test_a_cache_that_cannot_be_written_does_not_keep_the_crl_out(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file in its place")
    async with CrlServer(CA.crl([1], number=5)) as server:
        world = World(authority(server.url()), cache=tmp_path / "cache")
        await world.store.load()
    assert world.status(1) == "revoked"
    assert world.report.failures() == [f"cannot be kept in {tmp_path / 'cache'}: File exists"]


# A new configuration.


async def test_a_new_configuration_keeps_what_stays_and_loads_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "other.crl").write_bytes(OTHER.crl([3], number=1))
    async with CrlServer(CA.crl([1], number=1)) as server:
        slow = CrlPace(earliest=30, latest=30)
        world = World(authority(server.url()), pace=slow)
        async with world.running():
            world.store.replace_authorities(
                [authority(server.url()), authority(tmp_path / "other.crl", name="other", ca=OTHER)]
            )
            assert world.status(1) == "revoked"
            await world.until(lambda: world.status(3, OTHER) == "revoked")
            assert world.status(1) == "revoked"
            assert server.asked == ["body"], "what stays is not fetched again"
            world.store.replace_authorities([authority(tmp_path / "other.crl", name="other", ca=OTHER)])
            await world.until(lambda: world.status(1) == "unknown")
            assert world.status(3, OTHER) == "revoked"
            replace(tmp_path / "other.crl", OTHER.crl([3, 4], number=2))
            await world.until(lambda: world.status(4, OTHER) == "revoked")


async def test_a_crl_that_moves_stays_in_force_until_its_new_place_works(tmp_path: Path) -> None:
    (tmp_path / "old.crl").write_bytes(CA.crl([1], number=7))
    world = World(authority(tmp_path / "old.crl"))
    async with world.running():
        world.store.replace_authorities([authority(tmp_path / "new.crl")])
        await world.until(lambda: world.report.failures() != [])
        assert world.status(1) == "revoked"
        assert [state.fresh for state in world.store.freshness(START)] == [False]
        replace(tmp_path / "new.crl", CA.crl([], number=6))
        await world.until(lambda: len(world.report.failures()) == 2)
        assert world.status(1) == "revoked", "nor does the move let the number go back"
        replace(tmp_path / "new.crl", CA.crl([1, 2], number=8))
        await world.until(lambda: world.status(2) == "revoked")


async def test_a_crl_that_no_location_gives_any_more_does_not_go_stale_in_the_way(tmp_path: Path) -> None:
    """Every CRL that covers a certificate has to be fresh: a forgotten one would lock everybody out."""
    ca = forge_authority("Forged CA")
    users: Extension = (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)
    (tmp_path / "all.crl").write_bytes(forge_crl(ca, [1], number=1))
    (tmp_path / "users.crl").write_bytes(forge_crl(ca, [1], number=2, extra=[users]))
    before, after = (
        dataclasses.replace(authority(tmp_path / name), anchors=(ca.parsed,))
        for name in ("all.crl", "users.crl")
    )
    world = World(before)

    def covers() -> list[str]:
        return [held.full.scope.covers.value for held in world.store.index.held_for(ca.parsed.issuer_hash)]

    async with world.running():
        assert covers() == ["all"]
        world.store.replace_authorities([after])
        await world.until(lambda: covers() == ["end_entities"])


async def test_new_certificates_of_an_authority_look_at_its_crls_again(tmp_path: Path) -> None:
    path = tmp_path / "all.pem"
    path.write_bytes(CA.crl([1], number=1) + OTHER.crl([2], number=1))
    world = World(authority(path))
    async with world.running():
        assert world.status(2, OTHER) == "unknown"
        world.store.replace_authorities([authority(path, more=[OTHER])])
        await world.until(lambda: world.status(2, OTHER) == "revoked")
        assert world.status(1) == "revoked"


# Pace.


@pytest.mark.parametrize(
    ("left", "randomness", "seconds"),
    [
        (timedelta(minutes=20), 0.0, 600),
        (timedelta(minutes=20), 0.5, 570),
        (timedelta(days=7), 0.0, 3600),
        (timedelta(seconds=100), 0.0, 60),
        (timedelta(days=-1), 0.99, 60),
    ],
    ids=["half of the time", "some of it off", "an hour at most", "a minute at least", "when it is stale"],
)
def test_a_url_is_asked_well_before_its_crl_goes_stale(
    left: timedelta, randomness: float, seconds: float
) -> None:
    assert CrlPace().after_success(left, randomness) == pytest.approx(seconds)


def test_retries_grow_to_ten_minutes_and_are_spread() -> None:
    pace = CrlPace()
    assert [pace.after_failures(n, 0.0) for n in (1, 2, 3, 6, 7, 8, 100_000)] == [
        10,
        20,
        40,
        320,
        600,
        600,
        600,
    ]
    assert pace.after_failures(1, 0.5) == 7.5
