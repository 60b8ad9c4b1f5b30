"""Where a store is: the URL of gateway.yaml, taken apart, and as it may be shown."""

import re
from dataclasses import dataclass
from pathlib import Path

from gateway.model.store_errors import StoreUnavailable

_PASSWORD = re.compile(r"(?<=//)([^:/@?#]*):[^/?#]*@")
_PASSWORD_PARAMETER = re.compile(r"([?&](?:password|sslpassword)=)[^&]*")
_MEMORY = ("", ":memory:")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """``sqlite_file`` or ``conninfo`` (a libpq URI, which may hold a password); never both."""

    shown: str  # the URL without its password
    sqlite_file: Path | None = None
    conninfo: str | None = None

    def __repr__(self) -> str:
        return f"StoreAddress({self.shown!r})"


def store_address(url: str) -> StoreAddress:
    """Take a URL apart. Raises StoreUnavailable where it is no URL of a store."""
    shown = shown_url(url)
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and rest[1:] not in _MEMORY:
        return StoreAddress(shown, sqlite_file=Path(rest[1:]).absolute())
    if scheme in ("postgresql", "postgres"):
        return StoreAddress(shown, conninfo=url)
    raise StoreUnavailable(f"{shown}: must be sqlite:///path or postgresql://user@host/database")


def shown_url(url: str) -> str:
    """The URL as it may stand in a message or a log."""
    return _PASSWORD_PARAMETER.sub(r"\1…", _PASSWORD.sub(r"\1@", url))
