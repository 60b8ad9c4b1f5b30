"""An app's servers whose connections are only counted."""

import asyncio
from typing import cast

from support.proxy_in_process import HealthChanges

from gateway.model.settings import Limits, Upstream
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import NameLookup
from gateway.server.upstream import UpstreamConnection, UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool
from gateway.server.upstream_server import UpstreamServer


class Connection:
    """Stands for an `UpstreamConnection` whose socket the test closes."""

    def __init__(self, owner: UpstreamServer) -> None:
        self.owner = owner
        self.is_open = True
        self.idle_since = 0.0

    def abort(self) -> None:
        """As with a transport: the end is reported, later."""
        if self.is_open:
            self.is_open = False
            asyncio.get_running_loop().call_soon(self.owner.forget, cast(UpstreamConnection, self))


class Server(UpstreamServer):
    """Connects to nobody."""

    works = True

    async def _connect(self, seconds: float) -> UpstreamConnection:
        await asyncio.sleep(0)
        if not Server.works:
            raise UpstreamFailed("connect", 502, "told to fail")
        return cast(UpstreamConnection, Connection(self))


def pool_of(number: int, limits: Limits) -> UpstreamPool:
    """A pool of so many servers, on the running loop."""
    loop = asyncio.get_running_loop()
    names, deadlines = NameLookup(loop), Deadlines(loop)
    servers = []
    for port in range(1, number + 1):
        upstream, health = Upstream("http", "127.0.0.1", port), UpstreamHealth()
        servers.append(Server(upstream, None, loop, deadlines, limits, names, health, HealthChanges()))
    return UpstreamPool(tuple(servers), limits, loop)
