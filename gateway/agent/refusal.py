"""Why there is no certificate, as the agent knows it: what the org or the IWA web app answered, or what
happened on the way to them."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal

_MAX_TEXT: Final = 1_024


class LocalRefusal(StrEnum):
    """Beside `EnrollmentRefusal`: what the agent itself found. Also codes that people look up."""

    UNREACHABLE = "UNREACHABLE"
    TLS_FAILED = "TLS_FAILED"
    PROXY_FAILED = "PROXY_FAILED"
    ANSWER_INVALID = "ANSWER_INVALID"
    CODE_REFUSED = "CODE_INVALID"  # the org says 401 over EST, where this code is meant
    NO_IWA = "NO_IWA"
    NO_TICKET = "NO_TICKET"
    NO_KERBEROS = "NO_KERBEROS"
    MUTUAL_AUTHENTICATION_FAILED = "MUTUAL_AUTHENTICATION_FAILED"
    NO_DEVICE_PART = "NO_DEVICE_PART"
    KEY_FAILED = "KEY_FAILED"
    STORE_FAILED = "STORE_FAILED"
    ON_HOLD = "ON_HOLD"
    OTHER_PERSON = "OTHER_PERSON"


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code`` is an `EnrollmentRefusal`, a `LocalRefusal`, or one of a newer org. ``transient``: the agent
    tries again by itself. ``detail`` is for whoever looks after the computer; it holds no secret."""

    code: str
    message: str
    remedy: str = ""
    detail: str = ""
    transient: bool = False
    reference_id: str | None = None
    step: int | None = None  # of the five

    def as_json(self) -> dict[str, object]:
        return {
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
            "detail": self.detail,
            "transient": self.transient,
            "reference_id": self.reference_id,
            "step": self.step,
        }


class Refused(Exception):
    """The run cannot go on along this way. The one exception of the agent's clients."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.message}")
        self.refusal = refusal


def refused(
    code: LocalRefusal | EnrollmentRefusal,
    message: str,
    remedy: str = "",
    *,
    detail: str = "",
    transient: bool = False,
) -> Refused:
    return Refused(Refusal(code.value, message, remedy, detail[:_MAX_TEXT], transient))


def refusal_of_answer(status: int, body: bytes, whose: str) -> Refusal:
    """What a server's answer that is no success says; ``whose`` names the server for people. JSON as org and
    IWA web app send it, the API's errors, or text (EST, RFC 7030 §4.2.3; proxies)."""
    told = _json_object(body)
    found = refusal_told(told)
    if found is not None:
        return found
    summary = _text(told, "errorSummary") or _first_line(body)
    said = f"{whose} answered {status}" + (f": {summary}" if summary else "")
    return Refusal(
        code=LocalRefusal.ANSWER_INVALID.value,
        message=said,
        remedy="" if status < 500 else "It may pass by itself; else see the server's log.",
        transient=status in (408, 425, 429) or status >= 500,
        reference_id=_text(told, "errorId") or None,
    )


def refusal_told(told: dict[str, Any]) -> Refusal | None:
    """A refusal as JSON, whoever sent it; None for what is none."""
    code = told.get("code")
    if not isinstance(code, str) or not 0 < len(code) <= 64 or not code.replace("_", "").isalnum():
        return None
    known = EXPLANATIONS.get(EnrollmentRefusal(code)) if code in EnrollmentRefusal.__members__ else None
    transient = told.get("transient")
    return Refusal(
        code=code,
        message=_text(told, "message") or (known.sentence if known else "No reason was given."),
        remedy=_text(told, "remedy") or (known.remedy if known else ""),
        detail=_text(told, "detail"),
        transient=transient if isinstance(transient, bool) else known is not None and known.transient,
        reference_id=_text(told, "reference_id") or None,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    return _printable(value) if isinstance(value, str) else ""


def _first_line(body: bytes) -> str:
    text = body[:_MAX_TEXT].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else _printable(text.partition("\n")[0])


def _printable(text: str) -> str:
    """What a server says goes to a terminal: no control characters, and not without end."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_TEXT]).strip()
