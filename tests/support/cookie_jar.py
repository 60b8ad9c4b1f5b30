"""A browser's cookies (RFC 6265bis), as far as they matter to the gateway.

Kept: Domain, Path, Secure, Max-Age, Expires, and the rules of the ``__Secure-`` and ``__Host-`` prefixes.
Not kept: SameSite (everything is sent, as for ``SameSite=None``), partitions, the public suffix list, and
the eviction of old cookies. A cookie that breaks a rule is dropped without a word, as browsers do.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult


@dataclass(frozen=True, slots=True)
class Cookie:
    name: str
    value: str
    domain: str  # lower case, without a dot before it
    host_only: bool
    path: str
    secure: bool
    http_only: bool
    same_site: str  # as it was written; "" when it was not
    expires: datetime | None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.domain, self.path, self.name


class CookieJar:
    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], Cookie] = {}

    def __len__(self) -> int:
        return len(self._cookies)

    def all(self) -> list[Cookie]:
        return list(self._cookies.values())

    def named(self, prefix: str) -> list[Cookie]:
        """The cookies whose name begins with ``prefix``."""
        return [cookie for cookie in self._cookies.values() if cookie.name.startswith(prefix)]

    def put(self, cookie: Cookie) -> None:
        """Plant a cookie, as an attacker on a sibling host might."""
        self._cookies[cookie.key] = cookie

    def clear(self) -> None:
        self._cookies.clear()

    def store(self, url: SplitResult, set_cookie: str, now: datetime | None = None) -> None:
        """Take one Set-Cookie field of the answer to ``url`` (RFC 6265bis §5.7)."""
        cookie = parse_set_cookie(url, set_cookie, now or datetime.now(UTC))
        if cookie is None:
            return
        if cookie.expires is not None and cookie.expires <= (now or datetime.now(UTC)):
            self._cookies.pop(cookie.key, None)
            return
        self._cookies[cookie.key] = cookie

    def header_for(self, url: SplitResult, now: datetime | None = None) -> str:
        """The Cookie field for a request to ``url``; empty when there is nothing to send (§5.8.3)."""
        now = now or datetime.now(UTC)
        host, path = (url.hostname or "").lower(), url.path or "/"
        sent = [
            cookie
            for cookie in self._cookies.values()
            if (host == cookie.domain or (not cookie.host_only and host.endswith("." + cookie.domain)))
            and path_matches(path, cookie.path)
            and (not cookie.secure or url.scheme == "https")
            and (cookie.expires is None or cookie.expires > now)
        ]
        sent.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)


def parse_set_cookie(url: SplitResult, set_cookie: str, now: datetime) -> Cookie | None:
    """The cookie that a Set-Cookie field asks for; None when a browser would not take it."""
    pair, *attribute_texts = set_cookie.split(";")
    name, equals, value = (part.strip() for part in pair.partition("="))
    if not equals or not name:
        return None
    attributes: dict[str, str] = {}
    for text in attribute_texts:
        key, _, content = text.partition("=")
        attributes[key.strip().lower()] = content.strip()
    host = (url.hostname or "").lower()
    domain = attributes.get("domain", "").removeprefix(".").lower()
    if domain and host != domain and not host.endswith("." + domain):
        return None
    written_path = attributes.get("path", "")
    path = written_path if written_path.startswith("/") else _default_path(url.path)
    secure = "secure" in attributes
    if secure and url.scheme != "https":
        return None
    if name.lower().startswith("__secure-") and not secure:
        return None
    if name.lower().startswith("__host-") and not (secure and not domain and written_path == "/"):
        return None
    return Cookie(
        name=name,
        value=value,
        domain=domain or host,
        host_only=not domain,
        path=path,
        secure=secure,
        http_only="httponly" in attributes,
        same_site=attributes.get("samesite", ""),
        expires=_expiry(attributes, now),
    )


def path_matches(request_path: str, cookie_path: str) -> bool:
    """RFC 6265bis §5.1.4."""
    if request_path == cookie_path:
        return True
    return request_path.startswith(cookie_path) and (
        cookie_path.endswith("/") or request_path[len(cookie_path)] == "/"
    )


def _default_path(request_path: str) -> str:
    folder = request_path.rpartition("/")[0]
    return folder or "/"


def _expiry(attributes: dict[str, str], now: datetime) -> datetime | None:
    if "max-age" in attributes:
        try:
            return now + timedelta(seconds=int(attributes["max-age"]))
        except ValueError:
            return None
    if "expires" in attributes:
        try:
            return parsedate_to_datetime(attributes["expires"]).astimezone(UTC)
        except ValueError:
            return None
    return None
