"""Where a proxy auto-configuration file comes from: a file or an http(s) address, with the last good copy
kept for the day when the server that has it cannot be reached."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from gateway.agent.private_files import write_private
from gateway.agent.proxies.pac_evaluation import MAX_SCRIPT_BYTES
from gateway.agent.proxies.routes import ProxyRefused

FETCH_SECONDS: Final = 10.0
MAX_REDIRECTS: Final = 5

# Reads one http(s) URL, at most this many bytes. Raises httpx.HTTPError and ProxyRefused.
Fetch = Callable[[str, int], bytes]


@dataclass(frozen=True, slots=True)
class PacFile:
    """``note`` says, where it is not "", that this is an old copy, and why."""

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
    except (httpx.HTTPError, ProxyRefused) as error:
        why = str(error) or type(error).__name__
        if not copy.exists():
            raise ProxyRefused(
                f"the proxy auto-configuration file {location} cannot be had ({why}); there is no copy yet"
            ) from error
        return PacFile(
            location, _read(copy), f"the last good copy is used, since {location} cannot be had: {why}"
        )
    copies.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(copy, script.encode())
    return PacFile(location, script)


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
    """Directly: the way to a proxy cannot lead through it."""
    deadline = time.monotonic() + FETCH_SECONDS
    with (
        httpx.Client(
            trust_env=False, timeout=FETCH_SECONDS, follow_redirects=True, max_redirects=MAX_REDIRECTS
        ) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ProxyRefused(f"the server answered with {response.status_code}")
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > limit:
                break
            if time.monotonic() > deadline:
                raise ProxyRefused(f"it does not arrive within {FETCH_SECONDS:g} s")
        return bytes(content)
