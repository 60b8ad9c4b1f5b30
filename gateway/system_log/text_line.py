"""An event of the System Log as a line for people: when, how it ended, what, who, about whom, why."""

import re
from collections.abc import Mapping
from typing import Any, Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RESULT_WIDTH: Final = 9  # of CHALLENGE
_TYPE_WIDTH: Final = 38  # of application.policy.sign_on.deny_access


def text_line(event: Mapping[str, Any]) -> str:
    """One line without its end, and without control characters. ``event`` is the wire form; what it lacks is
    left out. The moment is in UTC, to the second."""
    outcome, actor = event.get("outcome") or {}, event.get("actor") or {}
    moment = str(event.get("published") or "")[:19].replace("T", " ")
    who = str(actor.get("alternateId") or actor.get("displayName") or "-")
    targets = [str(target.get("displayName") or target.get("id")) for target in event.get("target") or ()]
    about = ", ".join(name for name in dict.fromkeys(targets) if name != who)
    parts = [
        moment,
        f"{outcome.get('result') or '-':{_RESULT_WIDTH}}",
        f"{event.get('eventType') or '-':{_TYPE_WIDTH}}",
        who if not about else f"{who} → {about}",
    ]
    if outcome.get("reason"):
        parts.append(f"({outcome['reason']})")
    return _CONTROL.sub(" ", "  ".join(parts)).rstrip()
