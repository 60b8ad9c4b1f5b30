"""Ways to a server: directly, or by a proxy. And the texts that name them: the setting `HttpProxy`, and what
a proxy auto-configuration file answers (`PROXY a:8080; HTTPS b:443; DIRECT`)."""

import ipaddress
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Final
from urllib.parse import quote, unquote, urlsplit

# A list that is longer than anybody would wait for.
MAX_ROUTES: Final = 16
MAX_RESULT_CHARACTERS: Final = 4_096
MAX_HOST_CHARACTERS: Final = 253

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
_CREDENTIALS: Final = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://|).*@", re.DOTALL)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


class ProxyRefused(Exception):
    """A proxy, or a file that names proxies, that cannot be used: which, why, and what helps."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Without a proxy."""

    def __str__(self) -> str:
        return "directly"


@dataclass(frozen=True, slots=True)
class Proxy:
    """``scheme`` is how the proxy itself is spoken to: http, https, or socks5 (which needs the package
    socksio). ``user`` and ``password`` are for Basic authentication at the proxy, or None."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """With the password, for the HTTP client alone."""
        credentials = ""
        if self.user is not None:
            secret = "" if self.password is None else ":" + quote(self.password, safe="")
            credentials = f"{quote(self.user, safe='')}{secret}@"
        return f"{self.scheme}://{credentials}{self._authority}"

    @property
    def _authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """Without the password: for people and logs."""
        return f"{self.scheme}://{self._authority}"


Route = Direct | Proxy
DIRECT: Final = Direct()


@dataclass(frozen=True, slots=True)
class Routes:
    """Ways in the order in which they are tried. ``passed_over`` says of each entry of a list that could not
    be used why not."""

    ways: tuple[Route, ...]
    passed_over: tuple[str, ...] = ()


def socks_is_supported() -> bool:
    """httpx speaks SOCKS 5 where the package socksio is installed, and never SOCKS 4."""
    return find_spec("socksio") is not None


def parse_proxy_setting(text: str, *, socks: bool = False) -> Proxy:
    """`http://proxy:3128`, `http://user:password@proxy:3128`, or `proxy:3128`. Raises ProxyRefused."""
    shown = _without_password(text)
    if len(text) > MAX_RESULT_CHARACTERS or any(ord(c) <= 0x20 or ord(c) == 0x7F for c in text):
        raise ProxyRefused(f"the proxy {shown[:80]!r} is not a URL such as http://proxy.example.com:3128")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ProxyRefused(
            f"the proxy {shown!r} is not a URL such as http://proxy.example.com:3128"
        ) from None
    scheme = parts.scheme.lower()
    if scheme.startswith("socks") and not (socks and scheme in ("socks5", "socks5h")):
        raise ProxyRefused(_socks_sentence(shown, socks))
    if scheme not in _DEFAULT_PORTS:
        raise ProxyRefused(f"the proxy {shown!r} is reached by {scheme}: http or https is supported")
    if not host or not _is_host(host) or port == 0:
        raise ProxyRefused(f"the proxy {shown!r} has no host and port that could be connected to")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ProxyRefused(
            f"the proxy {shown!r} has a path: a proxy is scheme, host and port; "
            "the address of a proxy auto-configuration file belongs into HttpProxyPacLocation"
        )
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Proxy(scheme, host, port or _DEFAULT_PORTS[scheme], user, password)


def parse_pac_result(text: str, *, socks: bool = False) -> Routes:
    """The list that FindProxyForURL returns. Entries that cannot be used are passed over, as browsers do; an
    empty list is DIRECT. Raises ProxyRefused when entries were there and none can be used."""
    if len(text) > MAX_RESULT_CHARACTERS:
        raise ProxyRefused(f"the proxy auto-configuration file answered with {len(text)} characters")
    ways: list[Route] = []
    passed_over: list[str] = []
    for entry in text.split(";"):
        words = entry.split()
        if not words:
            continue
        way = _way(words, socks)
        if isinstance(way, str):
            passed_over.append(way)
        elif way not in ways:
            ways.append(way)
    if not ways and passed_over:
        raise ProxyRefused(
            "the proxy auto-configuration file names no proxy that can be used: " + "; ".join(passed_over[:3])
        )
    return Routes(tuple(ways[:MAX_ROUTES]) or (DIRECT,), tuple(passed_over[:MAX_ROUTES]))


def _way(words: list[str], socks: bool) -> Route | str:
    kind, shown = words[0].upper(), " ".join(words)[:80]
    if kind == "DIRECT" and len(words) == 1:
        return DIRECT
    if len(words) != 2:
        return f"{shown!r} is not understood"
    schemes = {"PROXY": "http", "HTTP": "http", "HTTPS": "https", "SOCKS5": "socks5"}
    if kind in ("SOCKS", "SOCKS4") or (kind == "SOCKS5" and not socks):
        return _socks_sentence(shown, socks)
    if kind not in schemes:
        return f"{shown!r} is not understood"
    host, port = _split_authority(words[1], _DEFAULT_PORTS[schemes[kind]])
    if host is None or port is None:
        return f"{shown!r} has no host and port that could be connected to"
    return Proxy(schemes[kind], host, port)


def _split_authority(text: str, default_port: int) -> tuple[str | None, int | None]:
    host, port_text = text, str(default_port)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest and not rest.startswith(":"):
            return None, None
        port_text = rest[1:] or port_text
    elif ":" in text:
        host, _, port_text = text.rpartition(":")
    if not _is_host(host) or not _PORT.fullmatch(port_text) or not 0 < int(port_text) < 65_536:
        return None, None
    return host, int(port_text)


def _is_host(text: str) -> bool:
    if len(text) > MAX_HOST_CHARACTERS:
        return False
    if ":" in text:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            return False
        return "%" not in text
    return _HOST_NAME.fullmatch(text) is not None


def _socks_sentence(shown: str, socks: bool) -> str:
    what = "only version 5 of SOCKS is supported" if socks else "SOCKS is not supported by this agent"
    return f"{shown!r} is a SOCKS proxy: {what}, use an HTTP proxy"


def _without_password(text: str) -> str:
    """Up to the last `@`: what is no URL may have any character in its password."""
    return _CREDENTIALS.sub(r"\g<scheme>…@", text)
