"""Entries of the systemd journal with fields of their own (systemd.io, "Native Journal Protocol")."""

import contextlib
import socket
from pathlib import Path
from typing import Final

from gateway.agent.platform import EventLevel

JOURNAL_SOCKET: Final = Path("/run/systemd/journal/socket")
IDENTIFIER: Final = "devicetrust-agent"
MAX_MESSAGE_CHARACTERS: Final = 8_192
# Of syslog (RFC 5424 §6.2.1).
_PRIORITIES: Final = {EventLevel.INFORMATION: "6", EventLevel.WARNING: "4", EventLevel.ERROR: "3"}


def journal_entry(level: EventLevel, message: str, event_id: int) -> bytes:
    """`journalctl EVENT_ID=1000` finds it."""
    fields = {
        "MESSAGE": message[:MAX_MESSAGE_CHARACTERS],
        "PRIORITY": _PRIORITIES[level],
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "EVENT_ID": str(event_id),
    }
    return b"".join(_field(name, value.encode(errors="replace")) for name, value in fields.items())


def send(entry: bytes, path: Path = JOURNAL_SOCKET) -> None:
    """Nothing happens where there is no journal, or it takes none now."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.settimeout(1)
        line.sendto(entry, str(path))


def _field(name: str, value: bytes) -> bytes:
    """With its length where a line would end too soon."""
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
