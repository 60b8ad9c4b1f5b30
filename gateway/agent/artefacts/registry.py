"""Values of the Windows registry, and the `.reg` file that imports them.

Names are those of the administrative templates of Google and Microsoft. Chrome and Edge number the items of a
list policy from 1; two items with one number are one item, so that a computer's other items must be known
before a number is chosen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, groupby
from typing import Final

from gateway.agent.artefacts.auto_select import POLICY_NAME, auto_select_item
from gateway.agent.platform import EVENT_SOURCE, BrowserPolicy

_POLICIES: Final = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies"
_INTERNET_SETTINGS: Final = r"Microsoft\Windows\CurrentVersion\Internet Settings"
CHROME_KEY: Final = rf"{_POLICIES}\Google\Chrome\{POLICY_NAME}"
EDGE_KEY: Final = rf"{_POLICIES}\Microsoft\Edge\{POLICY_NAME}"
SETTINGS_KEY: Final = r"HKEY_LOCAL_MACHINE\SOFTWARE\DeviceTrust"
EVENT_LOG_KEY: Final = (
    rf"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\EventLog\{EVENT_SOURCE}\{EVENT_SOURCE}"
)
# Of .NET, which every Windows has: its one message is "%1", so that any event id shows its text.
_EVENT_MESSAGES: Final = r"%SystemRoot%\Microsoft.NET\Framework64\v4.0.30319\EventLogMessages.dll"
TRUSTED_SITES_ZONE: Final = 2
# "Don't prompt for client certificate selection when no certificates or only one certificate exists": 0 is
# on.
NO_PROMPT_ACTION: Final = "1A04"


class Kind(StrEnum):
    TEXT = "REG_SZ"
    EXPANDED_TEXT = "REG_EXPAND_SZ"
    NUMBER = "REG_DWORD"


@dataclass(frozen=True, slots=True)
class RegistryValue:
    """``key`` begins with the full name of its hive; ``data`` is an int for NUMBER, else a text."""

    key: str
    name: str
    data: str | int
    kind: Kind = Kind.TEXT


def chrome_values(policy: BrowserPolicy, number: int = 1) -> tuple[RegistryValue, ...]:
    return (RegistryValue(CHROME_KEY, str(number), auto_select_item(policy)),)


def edge_values(policy: BrowserPolicy, number: int = 1) -> tuple[RegistryValue, ...]:
    return (RegistryValue(EDGE_KEY, str(number), auto_select_item(policy)),)


def internet_explorer_values(policy: BrowserPolicy) -> tuple[RegistryValue, ...]:
    """For IE, the IE mode of Edge, and programs with its sign-on window: our hosts are trusted sites, and
    there the only certificate that fits is taken without asking. They know neither issuers nor ports.

    Sites are set twice: as the group policy does for the computer, and in the zone map of the person.
    """
    return (
        RegistryValue(
            rf"{_POLICIES}\{_INTERNET_SETTINGS}\ZoneMapKey",
            f"https://*.{policy.mtls_domain}",
            str(TRUSTED_SITES_ZONE),
        ),
        RegistryValue(
            rf"{_POLICIES}\{_INTERNET_SETTINGS}\Zones\{TRUSTED_SITES_ZONE}", NO_PROMPT_ACTION, 0, Kind.NUMBER
        ),
        RegistryValue(
            rf"HKEY_CURRENT_USER\SOFTWARE\{_INTERNET_SETTINGS}\ZoneMap\Domains\{policy.mtls_domain}",
            "https",
            TRUSTED_SITES_ZONE,
            Kind.NUMBER,
        ),
    )


def settings_values(settings: Mapping[str, str]) -> tuple[RegistryValue, ...]:
    return tuple(RegistryValue(SETTINGS_KEY, name, value) for name, value in settings.items())


def event_source_values() -> tuple[RegistryValue, ...]:
    return (
        RegistryValue(EVENT_LOG_KEY, "EventMessageFile", _EVENT_MESSAGES, Kind.EXPANDED_TEXT),
        RegistryValue(EVENT_LOG_KEY, "TypesSupported", 7, Kind.NUMBER),
    )


def free_number(present: Mapping[str, str], item: str) -> int:
    """Under which number an item goes into a list that has these values: its own where it is there, else the
    first that is free."""
    for name, data in present.items():
        if data == item and name.isdecimal():
            return int(name)
    return next(number for number in count(1) if str(number) not in present)


def reg_file(values: Iterable[RegistryValue], comment: str = "") -> str:
    """A file for `reg import` and regedit. To be written by `reg_bytes`."""
    lines = ["Windows Registry Editor Version 5.00", ""]
    lines += [f"; {line}" for line in comment.splitlines()]
    if comment:
        lines.append("")
    for key, group in groupby(values, key=lambda value: value.key):
        lines += [f"[{key}]", *(f"{_quoted(value.name)}={_data(value)}" for value in group), ""]
    return "\r\n".join(lines)


def reg_bytes(text: str) -> bytes:
    """UTF-16 with a byte order mark, as regedit itself exports."""
    return b"\xff\xfe" + text.encode("utf-16-le")


def _data(value: RegistryValue) -> str:
    if isinstance(value.data, int):
        return f"dword:{value.data:08x}"
    if value.kind is Kind.EXPANDED_TEXT:
        return "hex(2):" + ",".join(f"{octet:02x}" for octet in (value.data + "\0").encode("utf-16-le"))
    return _quoted(value.data)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
