"""An httpx transport that goes the way that is chosen for each URL, and the next one where that fails."""

import ssl
from collections.abc import Collection
from typing import Final

import httpx
from typing_extensions import override

from gateway.agent.proxies.chooser import ProxyChooser
from gateway.agent.proxies.routes import Direct, Proxy, ProxyRefused, Route

# Before anything was sent: only then may the next way be tried.
_NO_CONNECTION: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class ProxyFailed(httpx.ProxyError):
    """No way led to the server, and a proxy had to do with it: a sentence for whoever runs the agent."""


class ProxiedTransport(httpx.BaseTransport):
    """``verify`` judges the servers' certificates, and may hold a client certificate: inside a CONNECT tunnel
    the handshake is with the server itself. Proxies that are spoken to by TLS are judged by ``proxy_verify``
    and see no client certificate. ``inside_hosts`` are those of the company network (`routes_for`); with
    ``inside`` all are.

    Raises, beside what httpx raises, ProxyFailed.
    """

    def __init__(
        self,
        chooser: ProxyChooser,
        verify: ssl.SSLContext,
        *,
        proxy_verify: ssl.SSLContext | None = None,
        inside_hosts: Collection[str] = (),
        inside: bool = False,
    ) -> None:
        self._chooser = chooser
        self._verify = verify
        self._proxy_verify = proxy_verify or ssl.create_default_context()
        self._inside_hosts = frozenset(inside_hosts)
        self._inside = inside
        self._transports: dict[Route, httpx.HTTPTransport] = {}
        self._failed: set[Route] = set()

    @override
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            inside = self._inside or request.url.host in self._inside_hosts
            routes = self._chooser.routes_for(str(request.url), inside=inside)
        except ProxyRefused as error:
            raise ProxyFailed(str(error), request=request) from error
        failures: list[tuple[Route, httpx.TransportError]] = []
        # What failed before in this run is tried last.
        for route in sorted(routes.ways, key=self._failed.__contains__):
            try:
                response = self._transport(route).handle_request(request)
            except _NO_CONNECTION as error:
                self._failed.add(route)
                failures.append((route, error))
                continue
            if isinstance(route, Proxy) and response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
                response.close()
                failures.append((route, httpx.ProxyError("407 Proxy Authentication Required")))
                continue
            return response
        if all(isinstance(route, Direct) for route, _ in failures):
            raise failures[-1][1]
        sentences = "; ".join(explain(route, error, request.url) for route, error in failures)
        raise ProxyFailed(sentences, request=request) from failures[-1][1]

    @override
    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()

    def _transport(self, route: Route) -> httpx.HTTPTransport:
        if route not in self._transports:
            proxy = None
            if isinstance(route, Proxy):
                context = self._proxy_verify if route.scheme == "https" else None
                proxy = httpx.Proxy(route.url, ssl_context=context)
            self._transports[route] = httpx.HTTPTransport(verify=self._verify, trust_env=False, proxy=proxy)
        return self._transports[route]


def explain(route: Route, error: httpx.TransportError, url: httpx.URL) -> str:
    """Why this way did not lead there, and what helps."""
    target = f"{url.host}:{url.port or {'http': 80, 'https': 443}.get(url.scheme, 0)}"
    why = str(error) or type(error).__name__
    if isinstance(route, Direct):
        return f"{target} cannot be reached directly: {why}"
    if why.startswith(("401", "407")) and route.user is not None:
        return (
            f"the proxy {route} refuses the user {route.user!r} or the password ({why[:3]}): "
            f"correct them, or let the proxy pass {target} without"
        )
    if why.startswith("407"):
        return f"the proxy {route} asks for a login (407): let it pass {target} without one"
    if why[:3].isdecimal():
        return f"the proxy {route} does not connect to {target} ({why}): allow that host and port there"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy {route} does not connect to {target}: {why}"
    return f"{target} cannot be reached by the proxy {route}: {why}"
