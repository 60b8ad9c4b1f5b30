"""The connection pools of all apps, kept across a reload as long as an app's upstream stays the same: its
address, the roots that it is verified by, and the limits."""

import asyncio
import ssl
from pathlib import Path

from gateway.model.settings import GatewaySettings, Limits, Upstream
from gateway.server.deadlines import Deadlines
from gateway.server.upstream import UpstreamPool, upstream_tls
from gateway.services.snapshot import App

_Key = tuple[Upstream, bytes | None, Limits]


class Pools:
    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._pools: dict[_Key, UpstreamPool] = {}
        self._of_app: dict[str, UpstreamPool] = {}

    def replace(self, settings: GatewaySettings) -> None:
        """Make pools for new upstreams, close those that no app has any more. Raises OSError
        for a CA file that cannot be used, with nothing changed."""
        key_of_app = {
            app.name: (app.upstream, _roots(app.upstream), settings.limits) for app in settings.apps
        }
        wanted = frozenset(key_of_app.values())
        made = {
            key: UpstreamPool(key[0], _tls(key[0]), self._loop, self._deadlines, key[2])
            for key in wanted
            if key not in self._pools
        }
        gone = [key for key in self._pools if key not in wanted]
        self._pools.update(made)
        # An app that is gone keeps its entry: a request that began before the reload may still ask for it.
        self._of_app.update((name, self._pools[key]) for name, key in key_of_app.items())
        for key in gone:
            self._pools.pop(key).close()

    def of(self, app: App) -> UpstreamPool:
        return self._of_app[app.settings.name]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


def _roots(upstream: Upstream) -> bytes | None:
    """The configured roots as they are now: their file may hold others under the same name."""
    return None if upstream.ca_file is None else Path(upstream.ca_file).read_bytes()


def _tls(upstream: Upstream) -> ssl.SSLContext | None:
    try:
        return upstream_tls(upstream)
    except ssl.SSLError as error:  # which does not say in which file
        raise OSError(f"{upstream.ca_file}: holds no certificate in PEM form ({error.reason})") from error
