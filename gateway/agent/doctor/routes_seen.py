"""A connection to look at, by the way that the agent itself would go: directly or through a proxy."""

import base64
import socket
from collections.abc import Sequence

from gateway.agent.doctor.tls_look import Connect, connect_through, connect_to
from gateway.agent.proxies.routes import Direct, Proxy, Route


def shown_routes(ways: Sequence[Route]) -> str:
    return ", else ".join("directly" if isinstance(way, Direct) else f"through {way}" for way in ways)


def connect_by(ways: Sequence[Route], host: str, port: int) -> Connect:
    """The first way that leads there; raises OSError of the last one. Proxies that are spoken to by TLS or
    SOCKS are passed over: only the agent's HTTP client speaks these."""

    def connect() -> socket.socket:
        failure = OSError("only proxies by http can be looked through")
        for way in ways:
            try:
                if isinstance(way, Direct):
                    return connect_to(host, port)()
                if way.scheme == "http":
                    return connect_through((way.host, way.port), authorization(way), host, port)()
            except OSError as error:
                failure = error
        raise failure

    return connect


def authorization(proxy: Proxy) -> str | None:
    """Basic (RFC 7617), where a name is known."""
    if proxy.user is None:
        return None
    return "Basic " + base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
