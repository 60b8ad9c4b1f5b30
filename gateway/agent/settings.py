"""The agent's settings: `Name=value` lines of agent.conf, or values of the registry, made into one value.

    OrgUrl                 https://sso.example.com: where the org is. The only one that is needed
    HttpProxy              http://proxy.example.com:3128
    HttpProxyPacLocation   http(s):// or file: where the proxy auto-configuration is
    SkipBrowserSetup       true: leave the browsers' settings alone
    SkipBrowserStores      true: leave their certificate stores alone, too, and keep the certificate below the
                           person's own data only: for test machines and programs such as curl
    CaFile                 PEM, instead of the system's authorities, for the org and the IWA web app
    KeyStorage             file | tpm | pkcs11; left out: a file on Linux, what the system has elsewhere
    Pkcs11Module, Pkcs11Token, Pkcs11PinFile
    TpmTcti                where the TPM is, as the TSS spells it; left out: device:/dev/tpmrm0
    DeviceSocket           where the device part listens: a path, or on Windows 127.0.0.1:PORT
    DeviceKeytab           the computer's keytab, for the device part (left out: /etc/krb5.keytab)
    DevicePrincipal        the computer's account in it; left out: the first one that ends in $

Names are compared without regard to case, as the registry does. A name that is not known is an error: a
setting that silently does nothing is worse than none. Pure: what the files say is an argument.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gateway.agent.platform import Setting
from gateway.agent.proxies.routes import ProxyRefused, parse_proxy_setting

MAX_SETTINGS: Final = 64
MAX_VALUE_CHARACTERS: Final = 2_048
LOOPBACK: Final = "127.0.0.1"
_MAX_PORT: Final = 65_535
DEFAULT_DEVICE_KEYTAB: Final = "/etc/krb5.keytab"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class SettingsRefused(Exception):
    """A setting is missing, unknown or wrong. The text names the place (file and line) and the setting."""


class KeyStorage(StrEnum):
    FILE = "file"
    TPM = "tpm"
    PKCS11 = "pkcs11"


@dataclass(frozen=True, slots=True)
class Settings:
    """``org_url`` is a scheme, host and port without a path. ``key_storage`` None: as the platform does."""

    org_url: str
    http_proxy: str | None = None
    http_proxy_pac_location: str | None = None
    skip_browser_setup: bool = False
    skip_browser_stores: bool = False
    ca_file: str | None = None
    key_storage: KeyStorage | None = None
    pkcs11_module: str | None = None
    pkcs11_token: str | None = None
    pkcs11_pin_file: str | None = None
    tpm_tcti: str | None = None
    device_socket: str | None = None
    device_keytab: str | None = None
    device_principal: str | None = None


def settings_of(stored: Sequence[Setting]) -> Settings:
    """Read what was stored. Raises SettingsRefused."""
    if len(stored) > MAX_SETTINGS:
        raise SettingsRefused(f"{stored[MAX_SETTINGS].place}: more than {MAX_SETTINGS} settings")
    found: dict[str, Any] = {}
    places: dict[str, str] = {}
    for setting in stored:
        name = _known_name(setting)
        if name in places:
            raise SettingsRefused(f"{setting.place}: {name} stands there twice (also {places[name]})")
        places[name] = setting.place
        field, read = _READERS[name]
        try:
            found[field] = read(_bounded(setting.value))
        except ValueError as error:
            raise SettingsRefused(f"{setting.place}: {name}: {error}") from None
    if "org_url" not in found:
        where = stored[0].place.rpartition(":")[0] or stored[0].place if stored else "settings"
        raise SettingsRefused(
            f"{where}: OrgUrl is missing; set it: devicetrust-agent install OrgUrl=https://sso.example.com"
        )
    return _consistent(Settings(**found), places)


def merged(stored: Sequence[Setting], given: Mapping[str, str], place: str) -> dict[str, str]:
    """What `install` is to keep: the stored settings, with those that were given in their place; an empty
    value takes one away. Names come back as they are spelled here. Raises SettingsRefused."""
    values = {_known_name(setting): setting.value for setting in stored}
    for name, value in given.items():
        known = _known_name(Setting(name, value, place))
        values.pop(known, None)
        if value:
            values[known] = value
    settings_of([Setting(name, value, place) for name, value in values.items()])
    return values


def _consistent(settings: Settings, places: Mapping[str, str]) -> Settings:
    if settings.key_storage is KeyStorage.PKCS11 and settings.pkcs11_module is None:
        raise SettingsRefused(f"{places['KeyStorage']}: KeyStorage=pkcs11 needs Pkcs11Module")
    return settings


def _known_name(setting: Setting) -> str:
    name = _NAMES.get(setting.name.lower())
    if name is not None:
        return name
    close = difflib.get_close_matches(setting.name[:MAX_VALUE_CHARACTERS].lower(), _NAMES, 1)
    hint = f"; {_NAMES[close[0]]} is meant?" if close else f"; there are {', '.join(_READERS)}"
    raise SettingsRefused(f"{setting.place}: {setting.name[:64]!r} is no setting{hint}")


def _bounded(value: str) -> str:
    if len(value) > MAX_VALUE_CHARACTERS:
        raise ValueError(f"longer than {MAX_VALUE_CHARACTERS} characters")
    if not value or not value.isprintable():
        raise ValueError("is empty, or has characters that are no text")
    return value


def _org_url(value: str) -> str:
    parts = _url(value)
    if parts.scheme != "https":
        raise ValueError("has to begin with https://")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("is a scheme and a host, without a path: https://sso.example.com")
    return _origin(parts)


def _proxy(value: str) -> str:
    """As it stands; a user and a password may be in it."""
    try:
        parse_proxy_setting(value, socks=True)
    except ProxyRefused as error:
        raise ValueError(str(error)) from None
    return value


def _pac_location(value: str) -> str:
    if urlsplit(value).scheme == "file":
        return value
    if _url(value).scheme not in ("http", "https"):
        raise ValueError("has to begin with http://, https:// or file://")
    return value


def _url(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is no address") from None
    if not parts.hostname or not value.isascii() or " " in value or port == 0:
        raise ValueError("names no host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a name or a password")
    return parts


def _origin(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port is not None else "")


def _flag(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError("has to be true or false")


def _path(value: str) -> str:
    if not (value.startswith(("/", "\\\\")) or value[1:3] in (":\\", ":/")):
        raise ValueError("has to be an absolute path")
    return value


def _device_socket(value: str) -> str:
    host, _, port = value.partition(":")
    if host == LOOPBACK and port.isdecimal() and 0 < int(port) <= _MAX_PORT:
        return value
    return _path(value)


def _key_storage(value: str) -> KeyStorage:
    try:
        return KeyStorage(value.lower())
    except ValueError:
        raise ValueError(f"has to be one of {', '.join(KeyStorage)}") from None


def _text(value: str) -> str:
    return value


_READERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "OrgUrl": ("org_url", _org_url),
    "HttpProxy": ("http_proxy", _proxy),
    "HttpProxyPacLocation": ("http_proxy_pac_location", _pac_location),
    "SkipBrowserSetup": ("skip_browser_setup", _flag),
    "SkipBrowserStores": ("skip_browser_stores", _flag),
    "CaFile": ("ca_file", _path),
    "KeyStorage": ("key_storage", _key_storage),
    "Pkcs11Module": ("pkcs11_module", _path),
    "Pkcs11Token": ("pkcs11_token", _text),
    "Pkcs11PinFile": ("pkcs11_pin_file", _path),
    "TpmTcti": ("tpm_tcti", _text),
    "DeviceSocket": ("device_socket", _device_socket),
    "DeviceKeytab": ("device_keytab", _path),
    "DevicePrincipal": ("device_principal", _text),
}
_NAMES: Final = {name.lower(): name for name in _READERS}
