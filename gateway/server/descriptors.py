"""How many connections the file descriptors of this process allow (getrlimit(2), RLIMIT_NOFILE)."""

import resource
from typing import Final

# A quarter is left for connections to the apps, of which idle browsers need none, and for files.
_KEPT_BACK_QUOTIENT: Final = 4
_KEPT_BACK_AT_LEAST: Final = 64
# Where there is no limit at all.
_UNBOUNDED: Final = 1 << 20


def raise_descriptor_limit() -> int:
    """Take as many descriptors as the hard limit allows; returns how many that is. The soft limit is often
    1,024, for the sake of programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _UNBOUNDED if hard == resource.RLIM_INFINITY else hard


def connections_that_fit(descriptors: int) -> int:
    """Connections of browsers that a process with so many descriptors may take."""
    kept_back = max(_KEPT_BACK_AT_LEAST, descriptors // _KEPT_BACK_QUOTIENT)
    return max(1, descriptors - kept_back)
