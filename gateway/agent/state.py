"""What the agent remembers from run to run: state.json in the directory of its user. Pure.

Nothing in it is trusted more than what is found: without it, or with a broken one, the next run finds out
again. So it never stands between a person and a certificate.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Final

from gateway.agent.refusal import Refusal

VERSION: Final = 1
_MAX_TEXT: Final = 2_048
_TEXTS: Final = (
    "key_name",
    "thumbprint",
    "login",
    "device",
    "device_id",
    "account",
    "key_storage",
    "outcome",
)
_MOMENTS: Final = ("not_after", "renew_from", "last_run", "last_success", "next_run")


@dataclass(frozen=True, slots=True)
class State:
    """``key_name`` and ``thumbprint`` are those of the certificate that the agent got last. ``device`` is its
    name in certificates, ``device_id`` what the org calls it. ``account``: of whose Kerberos ticket it was
    made, by SID or principal. ``failures`` in a row. ``outcome`` is the last run's sentence."""

    key_name: str | None = None
    thumbprint: str | None = None
    login: str | None = None
    device: str | None = None
    device_id: str | None = None
    account: str | None = None
    key_storage: str | None = None
    outcome: str | None = None
    not_after: datetime | None = None
    renew_from: datetime | None = None
    last_run: datetime | None = None
    last_success: datetime | None = None
    next_run: datetime | None = None
    failures: int = 0
    refusal: Refusal | None = None


def read_state(content: bytes | None) -> State:
    """What stands in the file. What cannot be read is as if it were not there."""
    if content is None:
        return State()
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        return State()
    if not isinstance(told, dict) or told.get("version") != VERSION:
        return State()
    found: dict[str, Any] = {name: _text(told, name) for name in _TEXTS}
    found |= {name: _moment(told, name) for name in _MOMENTS}
    failures = told.get("failures")
    if isinstance(failures, int) and not isinstance(failures, bool) and 0 <= failures <= 1_000_000:
        found["failures"] = failures
    found["refusal"] = _refusal(told.get("refusal"))
    return State(**found)


def write_state(state: State) -> bytes:
    told: dict[str, Any] = {"version": VERSION}
    for each in fields(state):
        value = getattr(state, each.name)
        if isinstance(value, datetime):
            value = value.astimezone(UTC).isoformat(timespec="seconds")
        elif isinstance(value, Refusal):
            value = value.as_json()
        told[each.name] = value
    return json.dumps(told, indent=1).encode() + b"\n"


def without_certificate(state: State) -> State:
    return replace(state, key_name=None, thumbprint=None, not_after=None, renew_from=None)


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    fits = isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()
    return value if fits else None


def _moment(told: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(told, name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        return None


def _refusal(told: object) -> Refusal | None:
    if not isinstance(told, dict):
        return None
    code, message, step = _text(told, "code"), _text(told, "message"), told.get("step")
    if code is None or message is None:
        return None
    return Refusal(
        code=code,
        message=message,
        remedy=_text(told, "remedy") or "",
        detail=_text(told, "detail") or "",
        transient=told.get("transient") is True,
        reference_id=_text(told, "reference_id"),
        step=step if isinstance(step, int) and not isinstance(step, bool) else None,
    )
