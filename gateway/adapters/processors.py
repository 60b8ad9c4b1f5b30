"""How many processors this process may use."""

import os
from pathlib import Path
from typing import Final

_CGROUP_LIMIT: Final = "/sys/fs/cgroup/cpu.max"


def usable_processors(cgroup_limit: str = _CGROUP_LIMIT) -> int:
    """At least 1: as many as the process may run on, and no more than the time that its control group has
    (cgroups v2, ``cpu.max``: microseconds in a period, or ``max``) fills, rounded up. A container is often
    given the time of two processors on a machine of sixty-four."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path(cgroup_limit).read_text().split()
        if quota != "max":
            allowed = min(allowed, -(-int(quota) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return allowed  # no such file: no such limit
    return max(1, allowed)
