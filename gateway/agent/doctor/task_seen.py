"""Judgements of the registration task: does it run by itself, how did the last run end, does the computer's
part answer; and of the IWA web apps that it asks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.agent.discovery import Iwa
from gateway.agent.refusal import Refusal
from gateway.agent.state import State
from gateway.model.checkup import Check, CheckGroup, Subject

SCHEDULE: Final = Subject(CheckGroup.REGISTRATION_TASK, "it runs by itself")
LAST_RUN: Final = Subject(CheckGroup.REGISTRATION_TASK, "last run")
DEVICE_PART: Final = Subject(CheckGroup.REGISTRATION_TASK, "computer's part")
TICKET: Final = Subject(CheckGroup.IWA, "ticket of the person")
IWAS: Final = Subject(CheckGroup.IWA, "IWA web apps of the org")
# It looks after the certificate once a day.
_OLD: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class ScheduleSeen:
    """``file`` is the timer's, None where there is none; ``active`` None: systemd could not be asked."""

    file: str | None
    active: bool | None = None


def judge_schedule(seen: ScheduleSeen) -> Check:
    if seen.file is None:
        return SCHEDULE.failed("there is no timer", "as administrator: devicetrust-agent install")
    if seen.active is False:
        return SCHEDULE.warning(
            f"{seen.file} is not active for this person",
            "it is from the next login on; at once: systemctl --user start devicetrust-agent.timer",
        )
    asked = "" if seen.active else " (systemd could not be asked whether it is active)"
    return SCHEDULE.ok(f"{seen.file}{asked}")


def judge_last_run(state: State, now: datetime) -> Check:
    """Its refusal is explained, as the org or the IWA web app did."""
    if state.last_run is None:
        return LAST_RUN.warning("never", "run: devicetrust-agent --user --debug")
    when = f"{state.last_run:%Y-%m-%d %H:%M} UTC"
    refusal = state.refusal
    if refusal is not None:
        step = f" at step {refusal.step}" if refusal.step is not None else ""
        seen = f"{when}, refused{step}: {refusal.code}: {refusal.message}"
        do = refusal.remedy or "run: devicetrust-agent --user --debug"
        return (LAST_RUN.warning if refusal.transient else LAST_RUN.failed)(seen, do)
    if now - state.last_run > _OLD:
        return LAST_RUN.warning(f"{when}, which is long ago", "see that it runs by itself")
    return LAST_RUN.ok(f"{when}: {state.outcome or 'all well'}")


def judge_iwas(iwas: Sequence[Iwa]) -> Check:
    if not iwas:
        return IWAS.warning(
            "it has none that is enabled", "on the server: devicetrust iwa list; or enroll with a code"
        )
    return IWAS.ok(", ".join(f"{each.name}{'' if each.online else ' (offline)'}" for each in iwas))


def judge_about(iwa: Iwa, status: int | None, body: bytes, trouble: Refusal | None) -> Check:
    """``GET …/about``."""
    subject = Subject(CheckGroup.IWA, f"{iwa.name} is reached")
    if trouble is not None:
        return subject.failed(
            f"{iwa.url}: {trouble.message}", trouble.remedy or "connect to the company network (VPN)"
        )
    told = _object(body)
    if status != 200 or "key_id" not in told:
        return subject.failed(
            f"{iwa.url} answers {status}, and not as an IWA web app",
            "see that its registered address is its own, and what answers there in its place",
        )
    return subject.ok(f"{iwa.url}, version {str(told.get('version'))[:64]}")


def judge_ticket(principal: str | None, host: str, trouble: Refusal | None) -> Check:
    if trouble is None:
        return TICKET.ok(f"{principal or 'this person'} gets one for HTTP/{host}")
    detail = f" ({trouble.detail})" if trouble.detail else ""
    return TICKET.failed(f"{trouble.code}: {trouble.message}{detail}", trouble.remedy)


def judge_device_part(where: str, trouble: Refusal | None) -> Check:
    """A device token was asked for, for a key that is thrown away."""
    if trouble is None:
        return DEVICE_PART.ok(f"{where}: it gets a device token")
    return DEVICE_PART.failed(f"{where}: {trouble.code}: {trouble.message}", trouble.remedy)


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
