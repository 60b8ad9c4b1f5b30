"""Where a proxy auto-configuration file comes from: a file or an http(s) address, with the last good copy
kept for the day when the server that has it cannot be reached."""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from gateway.agent.http import Http
from gateway.agent.private_files import write_private
from gateway.agent.proxies.pac_evaluation import MAX_SCRIPT_BYTES
from gateway.agent.proxies.routes import ProxyRefused
from gateway.agent.refusal import Refused

FETCH_SECONDS: Final = 10.0
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

# Reads one http(s) URL, at most this many bytes. Raises Refused and ProxyRefused.
Fetch = Callable[[str, int], bytes]


@dataclass(frozen=True, slots=True)
class PacFile:
    """``note`` says, where it is not "", that this is an old copy, and why; or why no copy was kept."""

    location: str
    script: str = field(repr=False)
    note: str = ""


def load_pac_file(location: str, copies: Path, fetch: Fetch | None = None) -> PacFile:
    """``copies`` is a directory of this user alone. Raises ProxyRefused where there is neither the file nor a
    copy of it."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ProxyRefused(f"{location}: a file on another computer; write file:///path")
        return PacFile(location, _read(Path(url2pathname(parts.path))))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProxyRefused(
            f"HttpProxyPacLocation {location!r} is not an address such as http://wpad.example.com/proxy.pac"
        )
    copy = copies / f"proxy-{hashlib.sha256(location.encode()).hexdigest()[:16]}.pac"
    try:
        script = _script(location, (fetch or _fetch)(location, MAX_SCRIPT_BYTES))
    except (Refused, ProxyRefused) as error:
        why = error.refusal.message if isinstance(error, Refused) else str(error)
        if not copy.exists():
            raise ProxyRefused(
                f"the proxy auto-configuration file {location} cannot be had ({why}); there is no copy yet"
            ) from error
        return PacFile(
            location, _read(copy), f"the last good copy is used, since {location} cannot be had: {why}"
        )
    note = ""
    try:
        copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(copy, script.encode())
    except OSError as error:  # a full disk must not keep a computer from its proxy
        note = f"no copy of {location} could be kept: {error.strerror or error}"
    return PacFile(location, script, note)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _script(str(path), file.read(MAX_SCRIPT_BYTES + 1))
    except OSError as error:
        raise ProxyRefused(f"{path}: {error.strerror or error}") from error


def _script(place: str, content: bytes) -> str:
    """UTF-8, or else Latin-1, as browsers read it. What has no FindProxyForURL is a login page."""
    if len(content) > MAX_SCRIPT_BYTES:
        raise ProxyRefused(f"{place}: is longer than {MAX_SCRIPT_BYTES} bytes")
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "FindProxyForURL" not in text:
        raise ProxyRefused(f"{place}: is not a proxy auto-configuration file (it has no FindProxyForURL)")
    return text


def _fetch(url: str, limit: int) -> bytes:
    """Directly: the way to a proxy cannot lead through it. What the server says is not unpacked, because a
    little can be packed that is very much."""
    with contextlib.closing(Http(request_seconds=FETCH_SECONDS)) as http:
        for _ in range(MAX_REDIRECTS + 1):
            answer = http.send("GET", url, limit=limit)
            if answer.status == 200:
                return answer.body
            if answer.status not in _REDIRECTS:
                raise ProxyRefused(f"the server answered with {answer.status}")
            url = _redirected(url, answer.headers.get("location", ""))
    raise ProxyRefused(f"the server sends on more than {MAX_REDIRECTS} times")


def _redirected(url: str, location: str) -> str:
    """Raises ProxyRefused where it leads to another kind of address, or away from https."""
    target = ""
    with contextlib.suppress(ValueError):
        target = urljoin(url, location)
    if (urlsplit(url).scheme, target.partition(":")[0]) not in (
        ("http", "http"),
        ("http", "https"),
        ("https", "https"),
    ):
        raise ProxyRefused("the server sends on to an address that is not followed")
    return target
