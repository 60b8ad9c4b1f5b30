"""The connection pools of all apps, kept across a reload as long as an app's upstream stays the same."""

import asyncio

from gateway.model.settings import GatewaySettings, Limits, Upstream
from gateway.server.deadlines import Deadlines
from gateway.server.upstream import UpstreamPool, upstream_tls
from gateway.services.snapshot import App


class Pools:
    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._pools: dict[tuple[Upstream, Limits], UpstreamPool] = {}
        self._of_app: dict[str, UpstreamPool] = {}

    def replace(self, settings: GatewaySettings) -> None:
        """Make pools for new upstreams, close those that no app has any more. Raises OSError or ssl.SSLError
        for a CA file that cannot be read, with nothing changed."""
        wanted = {(app.upstream, settings.limits) for app in settings.apps}
        made = {
            key: UpstreamPool(key[0], upstream_tls(key[0]), self._loop, self._deadlines, key[1])
            for key in wanted
            if key not in self._pools
        }
        gone = [key for key in self._pools if key not in wanted]
        self._pools.update(made)
        # An app that is gone keeps its entry: a request that began before the reload may still ask for it.
        for app in settings.apps:
            self._of_app[app.name] = self._pools[(app.upstream, settings.limits)]
        for key in gone:
            self._pools.pop(key).close()

    def of(self, app: App) -> UpstreamPool:
        return self._of_app[app.settings.name]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
