"""Proxies as the environment names them: `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy` and their
spellings in capitals. No standard fixes them; this is what curl and most libraries agree on."""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.agent.proxies.routes import DIRECT, Proxy, Route, parse_proxy_setting

MAX_EXCEPTIONS: Final = 1_000


def route_by_environment(url: str, environment: Mapping[str, str], *, socks: bool = False) -> Route:
    """Raises ProxyRefused for a variable that is none of a proxy."""
    parts = urlsplit(url)
    if is_exempt(url, environment):
        return DIRECT
    proxy = proxy_of_environment(parts.scheme, environment, socks=socks)
    return DIRECT if proxy is None else proxy


def proxy_of_environment(scheme: str, environment: Mapping[str, str], *, socks: bool = False) -> Proxy | None:
    for name in (f"{scheme}_proxy", "all_proxy"):
        text = environment.get(name) or environment.get(name.upper())
        if text:
            return parse_proxy_setting(text, socks=socks)
    return None


def is_exempt(url: str, environment: Mapping[str, str]) -> bool:
    """Whether `no_proxy` names this URL's host: `*`, a host or a domain with all below it (a leading dot or
    `*.` changes nothing), either with `:port`, an address, or a network such as 10.0.0.0/8."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    text = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return any(
        _names(entry.strip().lower(), host, port)
        for entry in text.split(",")[:MAX_EXCEPTIONS]
        if entry.strip()
    )


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # an address with a port, or a name
    name, colon, port_text = entry.rpartition(":")
    if colon and port_text.isdecimal() and "]" not in port_text:
        if port_text != str(port):
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").lstrip(".").rstrip(".")
    return bool(domain) and (host == domain or (address is None and host.endswith("." + domain)))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
