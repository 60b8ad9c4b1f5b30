"""Which databases the browsers of one person read. Some are made by a browser at its first start; the
sandboxed packages (snap, flatpak) keep their own."""

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_PROFILES: Final = 50
MAX_INI_BYTES: Final = 262_144

# Below the home directory. The first is where Chromium, Chrome and Edge look, and where one is made.
_NSS: Final = Path(".pki/nssdb")
_SANDBOXED_NSS: Final = (
    Path("snap/chromium/current/.pki/nssdb"),
    Path(".var/app/org.chromium.Chromium/.pki/nssdb"),
    Path(".var/app/com.google.Chrome/.pki/nssdb"),
    Path(".var/app/com.microsoft.Edge/.pki/nssdb"),
)
_FIREFOX: Final = (
    Path(".mozilla/firefox"),
    Path("snap/firefox/common/.mozilla/firefox"),
    Path(".var/app/org.mozilla.firefox/.mozilla/firefox"),
    Path(".var/app/org.mozilla.firefox/config/mozilla/firefox"),
)


@dataclass(frozen=True, slots=True)
class FirefoxProfile:
    name: str
    directory: Path


def nss_directories(home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """At least one, which may not exist yet. Newer browsers (tried: Chromium 156) use a database below
    XDG_DATA_HOME where there is one and none at the old place: making that would take theirs from them."""
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "pki/nssdb"
    old = home / _NSS
    both = [directory for directory in (old, data) if (directory / "cert9.db").exists()]
    # A sandboxed browser that is installed, and was started once, has the directory above `.pki`.
    sandboxed = [home / path for path in _SANDBOXED_NSS if (home / path).parent.parent.is_dir()]
    return tuple(both or [old]) + tuple(sandboxed)


def firefox_profiles(home: Path, environment: Mapping[str, str]) -> tuple[FirefoxProfile, ...]:
    """Those that profiles.ini names and that belong to this person; () without Firefox. A file that cannot be
    read names none."""
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "mozilla/firefox"
    profiles: dict[Path, FirefoxProfile] = {}
    for root in (*(home / path for path in _FIREFOX), config):
        for profile in _profiles_below(root):
            profiles.setdefault(profile.directory, profile)
    return tuple(profiles.values())[:MAX_PROFILES]


def _profiles_below(root: Path) -> list[FirefoxProfile]:
    ini = root / "profiles.ini"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        with ini.open("rb") as file:
            parser.read_string(file.read(MAX_INI_BYTES).decode("utf-8-sig", "replace"))
    except (OSError, configparser.Error):
        return []
    found = []
    for section in parser.sections():
        path = parser.get(section, "Path", fallback=None) if section.startswith("Profile") else None
        if not path or "\0" in path:
            continue
        relative = parser.get(section, "IsRelative", fallback="1") != "0"
        directory = root / path if relative else Path(path)
        if directory.is_absolute() and _is_own_directory(directory):
            name = parser.get(section, "Name", fallback=path)
            found.append(FirefoxProfile(name, directory))
    return found


def _is_own_directory(directory: Path) -> bool:
    try:
        status = directory.stat()
    except OSError:
        return False
    return directory.is_dir() and (os.name != "posix" or status.st_uid == os.geteuid())
