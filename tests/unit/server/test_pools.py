"""Which connections to the apps survive a reload."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.pki import Authority

from gateway.model.settings import GatewaySettings, Limits, Upstream
from gateway.server.deadlines import Deadlines
from gateway.server.pools import Pools
from gateway.services.snapshot import App

LIMITS = Limits()
FIRST, SECOND = Upstream("http", "127.0.0.1", 9000), Upstream("http", "127.0.0.1", 9001)
WIKI = cast(App, SimpleNamespace(settings=SimpleNamespace(name="wiki")))


def _settings(
    *upstreams: Upstream, names: tuple[str, ...] = ("wiki",), limits: Limits = LIMITS
) -> GatewaySettings:
    apps = [SimpleNamespace(name=name, upstreams=upstreams) for name in names]
    return cast(GatewaySettings, SimpleNamespace(apps=apps, limits=limits))


class Reports:
    """What an administrator sees in the log and in the metric."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []
        self.out: dict[str, int] = {}

    def upstream_down(self, address: str, apps: list[str], kind: str, pause_seconds: float) -> None:
        self.lines.append(("down", address, *apps, kind))

    def upstream_up(self, address: str, apps: list[str]) -> None:
        self.lines.append(("up", address, *apps))

    def upstreams_out(self, numbers: Iterable[tuple[str, int]]) -> None:
        self.out.update(numbers)


def _pools(reports: Reports | None = None) -> Pools:
    loop = asyncio.get_running_loop()
    return Pools(loop, Deadlines(loop), reports or Reports())


async def test_an_unchanged_upstream_keeps_its_pool() -> None:
    pools, settings = _pools(), _settings(Upstream("http", "127.0.0.1", 9000))
    pools.commit(pools.prepare(settings))
    kept = pools.of(WIKI)
    pools.commit(pools.prepare(settings))
    assert pools.of(WIKI) is kept


async def test_other_roots_under_the_same_name_make_another_pool(tmp_path: Path) -> None:
    roots = tmp_path / "app-ca.pem"
    pools, settings = _pools(), _settings(Upstream("https", "127.0.0.1", 9000, ca_file=str(roots)))
    roots.write_bytes(Authority.create_root("App root").pem)
    pools.commit(pools.prepare(settings))
    former = pools.of(WIKI)
    pools.commit(pools.prepare(settings))
    assert pools.of(WIKI) is former
    roots.write_bytes(Authority.create_root("Next app root").pem)
    pools.commit(pools.prepare(settings))
    assert pools.of(WIKI) is not former


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "no certificate"])
async def test_roots_that_cannot_be_read_change_nothing(tmp_path: Path, content: bytes | None) -> None:
    pools = _pools()
    pools.commit(pools.prepare(_settings(Upstream("http", "127.0.0.1", 9000))))
    kept = pools.of(WIKI)
    roots = tmp_path / "app-ca.pem"
    if content is not None:
        roots.write_bytes(content)
    with pytest.raises(OSError, match=r"app-ca\.pem"):
        pools.commit(pools.prepare(_settings(Upstream("https", "127.0.0.1", 9000, ca_file=str(roots)))))
    assert pools.of(WIKI) is kept


async def test_an_address_that_stays_keeps_its_server_and_one_that_is_new_gets_one() -> None:
    pools = _pools()
    pools.commit(pools.prepare(_settings(FIRST)))
    (first,) = pools.of(WIKI).servers
    pools.commit(pools.prepare(_settings(SECOND, FIRST)))
    second, kept = pools.of(WIKI).servers
    assert kept is first
    assert second.upstream == SECOND


async def test_apps_with_the_same_address_share_its_connections() -> None:
    pools = _pools()
    pools.commit(pools.prepare(_settings(FIRST, names=("wiki", "mail"))))
    mail = cast(App, SimpleNamespace(settings=SimpleNamespace(name="mail")))
    assert pools.of(WIKI).servers == pools.of(mail).servers


async def test_health_outlives_a_reload_with_other_limits_and_ends_with_the_address() -> None:
    reports = Reports()
    pools = _pools(reports)
    pools.commit(pools.prepare(_settings(FIRST, SECOND, names=("wiki", "mail"))))
    for _ in range(3):
        pools.of(WIKI).servers[0].failed("connect")
    assert reports.lines == [("down", "http://127.0.0.1:9000", "wiki", "mail", "connect")]
    assert reports.out == {"wiki": 1, "mail": 1}

    pools.commit(pools.prepare(_settings(FIRST, limits=replace(LIMITS, max_upstream_connections=7))))
    assert pools.of(WIKI).servers[0].health.out
    assert reports.out == {"wiki": 1, "mail": 0}  # mail is not configured any more

    pools.commit(pools.prepare(_settings(SECOND)))
    assert reports.out == {"wiki": 0, "mail": 0}
    pools.commit(pools.prepare(_settings(FIRST)))
    assert not pools.of(WIKI).servers[0].health.out


async def test_servers_with_the_same_roots_share_what_was_made_of_them(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(Authority.create_root("App root").pem)
    secure = [Upstream("https", "127.0.0.1", port, ca_file=str(roots)) for port in (9000, 9001)]
    pools = _pools()
    pools.commit(pools.prepare(_settings(*secure)))
    first, second = pools.of(WIKI).servers
    assert first._tls is second._tls is not None
    pools.commit(pools.prepare(_settings(*secure, FIRST, limits=replace(LIMITS, max_upstream_connections=7))))
    *kept, plain = pools.of(WIKI).servers
    assert [server._tls for server in kept] == [first._tls] * 2
    assert plain._tls is None
