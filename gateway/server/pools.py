"""The servers and pools of all apps, kept across a reload as long as they stay the same.

A server is kept with its address, the roots that it is verified by, and the limits; what is known of an
address's health stays as long as the address does.
"""

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.adapters.held_files import read_file
from gateway.model.settings import GatewaySettings, Limits, Upstream
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.configuration import MAX_ROOTS_BYTES
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import NameLookup
from gateway.server.upstream_pool import UpstreamPool
from gateway.server.upstream_server import UpstreamServer, upstream_tls
from gateway.services.snapshot import App

_Key = tuple[Upstream, bytes | None, Limits]
_Contexts = Mapping[bytes | None, ssl.SSLContext | None]  # by the roots in PEM form; None: the system's


class UpstreamReport(Protocol):
    """Who is told when an address goes out and comes back, and how many of an app's are out."""

    def upstream_down(self, address: str, apps: list[str], kind: str, pause_seconds: float) -> None: ...

    def upstream_up(self, address: str, apps: list[str]) -> None: ...

    def upstreams_out(self, numbers: Iterable[tuple[str, int]]) -> None:
        """(app, how many of its addresses are out) of these apps."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedPools:
    """The servers that a configuration wants, and their TLS contexts by the roots."""

    limits: Limits
    keys_of_app: Mapping[str, Sequence[_Key]]
    contexts: _Contexts


class Pools:
    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, report: UpstreamReport) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._report = report
        self._names = NameLookup(loop)
        self._servers: dict[_Key, UpstreamServer] = {}
        self._health: dict[str, UpstreamHealth] = {}
        self._contexts: _Contexts = {}
        self._of_app: dict[str, UpstreamPool] = {}
        self._apps_at: dict[str, list[str]] = {}

    def prepare(self, settings: GatewaySettings) -> PreparedPools:
        """What takes time and can fail: roots are read, TLS contexts made. Changes nothing, and may be called
        in a thread. Raises OSError for a CA file that cannot be used."""
        limits = settings.limits
        keys_of_app: dict[str, list[_Key]] = {
            app.name: [(upstream, _roots(upstream), limits) for upstream in app.upstreams]
            for app in settings.apps
        }
        # One for all servers with the same roots: to read the system's takes a tenth of a second.
        contexts: dict[bytes | None, ssl.SSLContext | None] = {}
        for upstream, roots, _ in (key for keys in keys_of_app.values() for key in keys):
            if upstream.scheme == "https" and roots not in contexts:
                contexts[roots] = self._contexts.get(roots) or _tls(upstream, roots)
        return PreparedPools(limits, keys_of_app, contexts)

    def commit(self, prepared: PreparedPools) -> None:
        """Make servers for new upstreams, close those that no app has any more. ``prepared`` was made since
        the last commit."""
        limits, keys_of_app, contexts = prepared.limits, prepared.keys_of_app, prepared.contexts
        wanted = {key for keys in keys_of_app.values() for key in keys}
        addresses = {key[0].address for key in wanted}
        self._health = {
            address: self._health.get(address) or UpstreamHealth() for address in sorted(addresses)
        }
        gone = [key for key in self._servers if key not in wanted]
        self._servers.update((key, self._server(key, contexts)) for key in wanted - self._servers.keys())
        self._contexts = contexts
        self._apps_at = {address: [] for address in addresses}
        for name, keys in keys_of_app.items():
            servers = tuple(self._servers[key] for key in keys)
            former = self._of_app.get(name)
            if former is None or former.servers != servers:
                # An app that is gone keeps its entry: a request that began before the reload may still ask.
                self._of_app[name] = UpstreamPool(servers, limits, self._loop)
            for upstream, *_ in keys:
                self._apps_at[upstream.address].append(name)
        for key in gone:
            self._servers.pop(key).close()
        self._names.keep_only(key[0].host for key in wanted)
        self._report.upstreams_out((app, 0) for app in self._of_app if app not in keys_of_app)
        self._report_out(keys_of_app)

    def of(self, app: App) -> UpstreamPool:
        return self._of_app[app.settings.name]

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._names.stop()

    # For the servers.

    def upstream_down(self, upstream: Upstream, kind: str, pause_seconds: float) -> None:
        apps = self._apps_at.get(upstream.address, [])
        self._report.upstream_down(upstream.address, apps, kind, pause_seconds)
        self._report_out(apps)

    def upstream_up(self, upstream: Upstream) -> None:
        apps = self._apps_at.get(upstream.address, [])
        self._report.upstream_up(upstream.address, apps)
        self._report_out(apps)

    # Inside.

    def _server(self, key: _Key, contexts: _Contexts) -> UpstreamServer:
        upstream, roots, limits = key
        return UpstreamServer(
            upstream,
            contexts[roots] if upstream.scheme == "https" else None,
            self._loop,
            self._deadlines,
            limits,
            self._names,
            self._health[upstream.address],
            self,
        )

    def _report_out(self, apps: Iterable[str]) -> None:
        self._report.upstreams_out(
            (app, sum(server.health.out for server in self._of_app[app].servers)) for app in apps
        )


def _roots(upstream: Upstream) -> bytes | None:
    """The configured roots as they are now: their file may hold others under the same name."""
    return None if upstream.ca_file is None else read_file(upstream.ca_file, MAX_ROOTS_BYTES)


def _tls(upstream: Upstream, roots: bytes | None) -> ssl.SSLContext | None:
    try:
        return upstream_tls(upstream, roots)
    except ssl.SSLError as error:  # which does not say in which file
        raise OSError(f"{upstream.ca_file}: holds no certificate in PEM form ({error.reason})") from error
