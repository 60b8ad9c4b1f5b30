"""When the agent looks next: once a day when all is well, sooner after what passes by itself.

The scheduler of the computer wakes the agent more often than that (`platform.Schedule`); with `--scheduled`
it ends at once unless it is due. So a laptop that comes back to the company network gets its certificate
within the hour, and no computer asks more than once a day without need. Pure: time and chance are arguments.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

EVERY: Final = timedelta(hours=24)
# A third of the day, so that what was installed in one night does not call in one hour for ever.
JITTER: Final = 1 / 3
FIRST_RETRY: Final = timedelta(minutes=20)
# Whoever comes to the office or starts the VPN waits no longer than this.
LONGEST_RETRY: Final = timedelta(hours=1)
# A clock that was set back must not keep the agent from its work.
_FARTHEST: Final = EVERY * 2


class Ending(StrEnum):
    """How a run ended, as far as the next one is concerned."""

    FINE = "fine"
    PASSES = "passes"  # off the network, IWA down, clock wrong, read-only
    NEEDS_SOMEBODY = "needs somebody"  # a refusal that only a change somewhere ends


def next_look(ending: Ending, failures: int, now: datetime, chance: float) -> datetime:
    """``failures`` in a row, this one counted; ``chance`` is in [0, 1)."""
    match ending:
        case Ending.FINE | Ending.NEEDS_SOMEBODY:
            return now + EVERY * (1 - JITTER * chance)
        case Ending.PASSES:
            doubled = FIRST_RETRY * 2.0 ** min(max(failures - 1, 0), 8)
            return now + min(doubled, LONGEST_RETRY) * (1 - JITTER * chance)


def is_due(next_at: datetime | None, now: datetime) -> bool:
    return next_at is None or now >= next_at or next_at - now > _FARTHEST
