"""Which accounts a keytab has keys for (MIT file format, version 0x0502). Pure.

The computer's own account is the one whose name ends in `$`; adcli and realmd write it beside service
principals. GSSAPI takes a keytab's first entry unless it is told, which need not be that one.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAX_KEYTAB_BYTES: Final = 262_144
_MAX_ENTRIES: Final = 1_024
_VERSION: Final = b"\x05\x02"


class KeytabInvalid(Exception):
    """Not a keytab of this version, or broken."""


@dataclass(frozen=True, slots=True)
class KeytabEntry:
    """``principal`` is `name@REALM`; ``version`` the key's number (kvno), ``written`` when it came there."""

    principal: str
    version: int
    encryption: int
    written: datetime


def read_keytab(content: bytes) -> tuple[KeytabEntry, ...]:
    """Its entries, in the order of the file, without the keys. Raises KeytabInvalid."""
    if len(content) > MAX_KEYTAB_BYTES or not content.startswith(_VERSION):
        raise KeytabInvalid("not a keytab of version 0x0502")
    entries: list[KeytabEntry] = []
    offset = len(_VERSION)
    try:
        while offset < len(content) and len(entries) < _MAX_ENTRIES:
            (size,) = struct.unpack_from(">i", content, offset)
            offset += 4
            if size == 0:
                break
            if offset + abs(size) > len(content):
                raise KeytabInvalid("an entry is cut off")
            if size > 0:  # below zero: a hole that an entry has left
                entries.append(_entry(content[offset : offset + size]))
            offset += abs(size)
    except (struct.error, UnicodeDecodeError, OverflowError, ValueError):
        raise KeytabInvalid("an entry is broken") from None
    return tuple(entries)


def computer_principal(entries: tuple[KeytabEntry, ...]) -> str | None:
    """The account of the computer: the first one whose name is one word that ends in `$`."""
    for each in entries:
        name, _, realm = each.principal.partition("@")
        if realm and name.endswith("$") and "/" not in name:
            return each.principal
    return None


def _entry(data: bytes) -> KeytabEntry:
    (components,) = struct.unpack_from(">H", data, 0)
    offset = 2
    texts: list[str] = []
    for _ in range(components + 1):  # the realm comes first
        (size,) = struct.unpack_from(">H", data, offset)
        text = data[offset + 2 : offset + 2 + size]
        if len(text) != size:
            raise KeytabInvalid("an entry is broken")
        texts.append(text.decode())
        offset += 2 + size
    _, written, version, encryption, key_size = struct.unpack_from(">IIBHH", data, offset)
    offset += 13 + key_size
    if offset > len(data):
        raise KeytabInvalid("an entry is broken")
    if len(data) - offset >= 4:  # a number above 255 stands behind the key
        (version,) = struct.unpack_from(">I", data, offset)
    realm, *names = texts
    return KeytabEntry(
        f"{'/'.join(names)}@{realm}", version, encryption, datetime.fromtimestamp(written, UTC)
    )
