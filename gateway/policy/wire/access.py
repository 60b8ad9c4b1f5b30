"""``access`` of a rule ↔ ``actions.appSignOn`` of an ACCESS_POLICY rule.

The factor prompt is an ASSURANCE: one factor, once a session, where none is asked for (the sign-on at the
identity provider is that factor); two factors, and how long the second one counts, where it is. Other ways
to verify are the identity provider's business, and are refused.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.model.decision import Access, FactorPrompt
from gateway.policy.access import EVERY_SESSION, EVERY_SIGN_ON, MAX_FACTOR_MINUTES, read_access
from gateway.policy.normal import duration_text
from gateway.policy.wire.refusal import read_object, read_word, refused, shown

# What the Okta API calls "every time" and "once a session".
EVERY_TIME: Final = "PT0S"
ONCE_A_SESSION: Final = "PT43800H"

_FIELD: Final = "actions.appSignOn"
_DURATION = re.compile(
    r"P(?:(\d{1,6})D)?(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?\Z", re.ASCII
)


def actions_wire(access: object) -> dict[str, Any]:
    """``access`` as in a document."""
    allowed, prompt = read_access(access, ())
    return {
        "appSignOn": {
            "access": "ALLOW" if allowed is Access.ALLOW else "DENY",
            "verificationMethod": {
                "type": "ASSURANCE",
                "factorMode": "1FA" if prompt is None else "2FA",
                "reauthenticateIn": _iso_duration(prompt),
                "constraints": [],
            },
        }
    }


def access_document(raw: object) -> object:
    """``access`` of a document. Raises WireRefused."""
    actions = read_object(raw, "actions", ("appSignOn",))
    if "appSignOn" not in actions:
        raise refused(_FIELD, "is missing")
    known = ("access", "verificationMethod", "keepMeSignedIn")
    sign_on = read_object(actions["appSignOn"], _FIELD, known)
    if "keepMeSignedIn" in sign_on:
        raise refused(f"{_FIELD}.keepMeSignedIn", "is the identity provider's business")
    if "access" not in sign_on:
        raise refused(f"{_FIELD}.access", "is missing")
    access = Access(read_word(sign_on["access"], f"{_FIELD}.access", ("ALLOW", "DENY")).lower())
    prompt = _prompt(sign_on.get("verificationMethod"))
    if prompt is None:
        return access.value
    if access is Access.DENY:
        sentence = "no factor is asked of whoever is denied: 1FA, or leave verificationMethod out"
        raise refused(f"{_FIELD}.verificationMethod.factorMode", sentence)
    how = prompt.frequency if prompt.minutes is None else {"every": duration_text(prompt.minutes)}
    return {"allow": {"prompt_for_factor": how}}


def _prompt(raw: object) -> FactorPrompt | None:
    if raw is None:
        return None
    field = f"{_FIELD}.verificationMethod"
    if isinstance(raw, Mapping) and raw.get("type", "ASSURANCE") != "ASSURANCE":
        kind = shown(raw["type"])
        raise refused(f"{field}.type", f"must be ASSURANCE, not {kind}: others are the identity provider's")
    known = ("type", "factorMode", "reauthenticateIn", "inactivityPeriod", "constraints")
    method = read_object(raw, field, known)
    if method.get("constraints", []) != []:
        sentence = "which authenticators count is the identity provider's business (factor_contexts)"
        raise refused(f"{field}.constraints", sentence)
    if "inactivityPeriod" in method:
        raise refused(
            f"{field}.inactivityPeriod", "is not supported: reauthenticateIn counts from the factor"
        )
    factors = read_word(method.get("factorMode", "1FA"), f"{field}.factorMode", ("1FA", "2FA"))
    default = ONCE_A_SESSION if factors == "1FA" else EVERY_TIME
    prompt = _frequency(method.get("reauthenticateIn", default), f"{field}.reauthenticateIn")
    if factors == "2FA":
        return prompt
    if prompt != EVERY_SESSION:
        sentence = f"with 1FA no other than {ONCE_A_SESSION}: the first factor is the identity provider's"
        raise refused(f"{field}.reauthenticateIn", sentence)
    return None


def _iso_duration(prompt: FactorPrompt | None) -> str:
    if prompt is None or prompt == EVERY_SESSION:
        return ONCE_A_SESSION
    if prompt.minutes is None:
        return EVERY_TIME
    hours, minutes = divmod(prompt.minutes, 60)
    return f"PT{prompt.minutes}M" if minutes else f"PT{hours}H"


def _frequency(raw: object, field: str) -> FactorPrompt:
    """An ISO 8601 duration of days, hours, minutes and seconds."""
    found = _DURATION.match(raw) if isinstance(raw, str) and len(raw) <= 40 else None
    if found is None or raw in ("P", "PT"):
        raise refused(field, f"must be an ISO 8601 duration such as PT2H, not {shown(raw)}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total_seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total_seconds == 0:
        return EVERY_SIGN_ON
    if raw == ONCE_A_SESSION:
        return EVERY_SESSION
    total_minutes, rest = divmod(total_seconds, 60)
    if rest or total_minutes > MAX_FACTOR_MINUTES:
        sentence = f"must be whole minutes, at most a year, or {ONCE_A_SESSION} for once a session"
        raise refused(field, sentence)
    return FactorPrompt("every_minutes", total_minutes)
