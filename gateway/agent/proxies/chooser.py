"""Which way to which URL: the settings first, then the environment, else directly."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gateway.agent.proxies.environment import is_exempt, route_by_environment
from gateway.agent.proxies.pac_file import PacFile, load_pac_file
from gateway.agent.proxies.pac_process import find_proxy_apart
from gateway.agent.proxies.pac_warnings import pac_warnings
from gateway.agent.proxies.routes import (
    DIRECT,
    Route,
    Routes,
    parse_pac_result,
    parse_proxy_setting,
    socks_is_supported,
)

# Names of hosts that answers are remembered for in one run.
MAX_REMEMBERED: Final = 64

LoadPac = Callable[[str, Path], PacFile]
EvaluatePac = Callable[[str, str], str]


class ProxyChooser:
    """One run's answers. ``http_proxy`` (`HttpProxy`) wins over ``pac_location`` (`HttpProxyPacLocation`),
    and both over the environment, of which `no_proxy` counts beside `HttpProxy`, too. ``copies`` is where the
    last good copy of the file is kept.

    ``notes`` gathers, without repetition, what an administrator should read: patterns that never match,
    entries that were passed over, an old copy that is used.
    """

    def __init__(
        self,
        *,
        http_proxy: str | None,
        pac_location: str | None,
        environment: Mapping[str, str],
        copies: Path,
        load: LoadPac = load_pac_file,
        evaluate: EvaluatePac = find_proxy_apart,
    ) -> None:
        """Raises ProxyRefused for a ``http_proxy`` that is none."""
        self._socks = socks_is_supported()
        self._proxy = None if not http_proxy else parse_proxy_setting(http_proxy, socks=self._socks)
        self._pac_location = pac_location or None
        self._environment = environment
        self._copies = copies
        self._load = load
        self._evaluate = evaluate
        self._pac: PacFile | None = None
        self._remembered: dict[str, Routes] = {}
        self.notes: list[str] = []
        if self._proxy is not None and self._pac_location is not None:
            self._note("HttpProxy is used; HttpProxyPacLocation, which is set, too, is not")

    def routes_for(self, url: str, *, inside: bool = False) -> Routes:
        """Ways in the order to try. ``inside``: the host is one of the company network (the IWA web app), and
        is tried directly first, unless a proxy auto-configuration file decides. Raises ProxyRefused."""
        if self._proxy is not None:
            return _first_direct(DIRECT if is_exempt(url, self._environment) else self._proxy, inside)
        if self._pac_location is not None:
            return self._by_file(url, self._pac_location)
        return _first_direct(route_by_environment(url, self._environment, socks=self._socks), inside)

    def _by_file(self, url: str, location: str) -> Routes:
        parts = urlsplit(url)
        key = f"{parts.scheme}://{parts.netloc}/"
        if key in self._remembered:
            return self._remembered[key]
        if self._pac is None:
            self._pac = self._load(location, self._copies)
            if self._pac.note:
                self._note(self._pac.note)
            for warning in pac_warnings(self._pac.script):
                self._note(f"{location}: {warning}")
        routes = parse_pac_result(self._evaluate(self._pac.script, key), socks=self._socks)
        for entry in routes.passed_over:
            self._note(f"{location}: {entry}")
        if len(self._remembered) < MAX_REMEMBERED:
            self._remembered[key] = routes
        return routes

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def _first_direct(route: Route, inside: bool) -> Routes:
    return Routes((DIRECT, route) if inside and route != DIRECT else (route,))
