"""An event of the System Log as a line of syslog (RFC 5424), for collectors that know nothing else.

The type of the event is the MSGID, cut to its 32 characters, and stands whole in the structured data with
what people search for. The message is the display message. No line holds a control character, so that one
event is one line whatever somebody called themselves.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

APP_NAME: Final = "devicetrust"
# The enterprise number for documentation (RFC 5612): this program has none of its own.
STRUCTURED_DATA_ID: Final = "event@32473"
_FACILITY_AUDIT: Final = 13  # "log audit"
_SEVERITIES: Final = {"DEBUG": 7, "INFO": 6, "WARN": 4, "ERROR": 3}
_NOTICE: Final = 5
_MAX_HOST_NAME: Final = 255
_MAX_MESSAGE_ID: Final = 32
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED: Final = re.compile(r'["\\\]]')
_NOT_PRINTABLE: Final = re.compile(r"[^!-~]")


def syslog_line(event: Mapping[str, Any], host_name: str) -> str:
    """One line without its end. ``event`` is the wire form; what it lacks is left out of the line."""
    event_type = str(event.get("eventType") or "")
    priority = _FACILITY_AUDIT * 8 + _SEVERITIES.get(str(event.get("severity")), _NOTICE)
    header = " ".join(
        (
            f"<{priority}>1",
            str(event.get("published") or "-"),
            _NOT_PRINTABLE.sub("", host_name)[:_MAX_HOST_NAME] or "-",
            APP_NAME,
            "-",
            _NOT_PRINTABLE.sub("", event_type)[:_MAX_MESSAGE_ID] or "-",
        )
    )
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in _data(event, event_type))
    message = _CONTROL.sub(" ", str(event.get("displayMessage") or ""))
    # The mark says that the message is UTF-8 (RFC 5424 §6.4).
    return f"{header} [{STRUCTURED_DATA_ID}{' ' if data else ''}{data}] \ufeff{message}"


def _data(event: Mapping[str, Any], event_type: str) -> list[tuple[str, str]]:
    outcome = event.get("outcome") or {}
    actor = event.get("actor") or {}
    debug_data = (event.get("debugContext") or {}).get("debugData") or {}
    values = [
        ("uuid", event.get("uuid")),
        ("eventType", event_type),
        ("outcome", outcome.get("result")),
        ("reason", outcome.get("reason")),
        ("actorId", actor.get("id")),
        ("actor", actor.get("alternateId")),
        ("ip", (event.get("client") or {}).get("ipAddress")),
        ("transactionId", (event.get("transaction") or {}).get("id")),
        ("deviceId", debug_data.get("deviceId")),
        ("certificateThumbprint", debug_data.get("certificateThumbprint")),
        ("rule", debug_data.get("rule")),
    ]
    values += [(f"target{target.get('type')}", target.get("id")) for target in event.get("target") or ()]
    named: dict[str, str] = {}
    for name, value in values:
        if value not in (None, "") and _is_name(name):
            named.setdefault(name, str(value))  # a name may be there once
    return list(named.items())


def _is_name(name: str) -> bool:
    return name.isascii() and name.isalnum() and len(name) <= 32


def _escaped(value: str) -> str:
    """A value between quotes (RFC 5424 §6.3.3). A control character becomes its name in six letters."""
    visible = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return _ESCAPED.sub(lambda found: "\\" + found[0], visible)
