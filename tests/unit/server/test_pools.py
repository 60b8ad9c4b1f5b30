"""Which connections to the apps survive a reload."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.pki import Authority

from gateway.model.settings import GatewaySettings, Limits, Upstream
from gateway.server.deadlines import Deadlines
from gateway.server.pools import Pools
from gateway.services.snapshot import App

WIKI = cast(App, SimpleNamespace(settings=SimpleNamespace(name="wiki")))


def _settings(*upstreams: Upstream) -> GatewaySettings:
    app = SimpleNamespace(name="wiki", upstreams=upstreams)
    return cast(GatewaySettings, SimpleNamespace(apps=(app,), limits=Limits()))


def _pools() -> Pools:
    loop = asyncio.get_running_loop()
    return Pools(loop, Deadlines(loop))


async def test_an_unchanged_upstream_keeps_its_pool() -> None:
    pools, settings = _pools(), _settings(Upstream("http", "127.0.0.1", 9000))
    pools.replace(settings)
    kept = pools.of(WIKI)
    pools.replace(settings)
    assert pools.of(WIKI) is kept


async def test_other_roots_under_the_same_name_make_another_pool(tmp_path: Path) -> None:
    roots = tmp_path / "app-ca.pem"
    pools, settings = _pools(), _settings(Upstream("https", "127.0.0.1", 9000, ca_file=str(roots)))
    roots.write_bytes(Authority.create_root("App root").pem)
    pools.replace(settings)
    former = pools.of(WIKI)
    pools.replace(settings)
    assert pools.of(WIKI) is former
    roots.write_bytes(Authority.create_root("Next app root").pem)
    pools.replace(settings)
    assert pools.of(WIKI) is not former


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "no certificate"])
async def test_roots_that_cannot_be_read_change_nothing(tmp_path: Path, content: bytes | None) -> None:
    pools = _pools()
    pools.replace(_settings(Upstream("http", "127.0.0.1", 9000)))
    kept = pools.of(WIKI)
    roots = tmp_path / "app-ca.pem"
    if content is not None:
        roots.write_bytes(content)
    with pytest.raises(OSError, match=r"app-ca\.pem"):
        pools.replace(_settings(Upstream("https", "127.0.0.1", 9000, ca_file=str(roots))))
    assert pools.of(WIKI) is kept
