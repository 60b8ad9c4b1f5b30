"""``access`` of a rule: ``allow``, ``deny``, or allow with a factor prompt.

``{allow: {prompt_for_factor: every_sign_on}}``, ``every_session``, or ``{every: 30m}``: at most that
long after the last factor, in whole minutes.
"""

import re
from collections.abc import Mapping
from typing import Final

from gateway.model.decision import Access, FactorPrompt
from gateway.model.quoting import printable
from gateway.policy.errors import KeyPath, PolicyInvalid, PolicyProblem
from gateway.policy.reading import kind_of, read_mapping

EVERY_SIGN_ON: Final = FactorPrompt("every_sign_on")
EVERY_SESSION: Final = FactorPrompt("every_session")
# A year: longer intervals are a mistake, or mean "never".
MAX_FACTOR_MINUTES: Final = 365 * 24 * 60

_MINUTES_PER_UNIT: Final = {"m": 1, "h": 60, "d": 1440}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])\Z")
_FREQUENCIES: Final = (EVERY_SIGN_ON.frequency, EVERY_SESSION.frequency)


def read_access(raw: object, path: KeyPath) -> tuple[Access, FactorPrompt | None]:
    """Raises PolicyInvalid."""
    if isinstance(raw, str):
        if raw in (Access.ALLOW, Access.DENY):
            return Access(raw), None
        raise PolicyInvalid(
            PolicyProblem.UNKNOWN_VALUE,
            path,
            f"unknown value {printable(raw)}",
            unknown=raw,
            alternatives=(Access.ALLOW, Access.DENY),
        )
    if not isinstance(raw, Mapping):
        detail = f"expected allow, deny or {{allow: {{prompt_for_factor: …}}}}, got {kind_of(raw)}"
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, detail)
    access = read_mapping(raw, path, known=("allow",), required=("allow",))
    options_path = (*path, "allow")
    options = read_mapping(
        access["allow"], options_path, known=("prompt_for_factor",), required=("prompt_for_factor",)
    )
    return Access.ALLOW, read_prompt(options["prompt_for_factor"], (*options_path, "prompt_for_factor"))


def read_prompt(raw: object, path: KeyPath) -> FactorPrompt:
    """``every_sign_on``, ``every_session`` or ``{every: 30m}``. Raises PolicyInvalid."""
    if isinstance(raw, str):
        if raw in _FREQUENCIES:
            return FactorPrompt(raw)
        raise PolicyInvalid(
            PolicyProblem.UNKNOWN_VALUE,
            path,
            f"unknown value {printable(raw)}; an interval is written {{every: 30m}}",
            unknown=raw,
            alternatives=_FREQUENCIES,
        )
    interval = read_mapping(raw, path, known=("every",), required=("every",))
    return FactorPrompt("every_minutes", _minutes(interval["every"], (*path, "every")))


def _minutes(raw: object, path: KeyPath) -> int:
    found = _DURATION.match(raw) if isinstance(raw, str) else None
    if found is None:
        detail = f"expected a duration such as 30m, 6h or 1d, got {kind_of(raw)}"
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, path, detail)
    amount, unit = int(found[1]), found[2]
    if unit == "s":
        minutes, seconds = divmod(amount, 60)
        if seconds:
            detail = f"{amount}s is not a whole number of minutes"
            raise PolicyInvalid(PolicyProblem.OUT_OF_RANGE, path, detail)
    else:
        minutes = amount * _MINUTES_PER_UNIT[unit]
    if not 1 <= minutes <= MAX_FACTOR_MINUTES:
        raise PolicyInvalid(PolicyProblem.OUT_OF_RANGE, path, "must be between 1m and 365d")
    return minutes
