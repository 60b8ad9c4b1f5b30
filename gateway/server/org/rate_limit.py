"""How many requests each caller may make in a minute.

Minutes are those of the clock, the same for all callers: the counts of one minute are forgotten together, so
that what is remembered is bounded by what came within a minute, and by `MAX_CALLERS`. At the turn of a minute
a caller may make twice its number within a moment, as with the limits of Okta, which tools are used to.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

from gateway.server.org.route import Budget

WINDOW_SECONDS: Final = 60
# 200 bytes each. Callers beyond that share one count, so that a flood from many addresses stays bounded, too.
MAX_CALLERS: Final = 20_000
_OTHERS: Final = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """``reset`` is the Unix time at which the count begins anew."""

    limit: int
    remaining: int
    reset: int
    allowed: bool

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("X-Rate-Limit-Limit", str(self.limit)),
            ("X-Rate-Limit-Remaining", str(self.remaining)),
            ("X-Rate-Limit-Reset", str(self.reset)),
        )


class RateLimiter:
    """Counts of the minute that runs. Time is an argument: Unix seconds."""

    def __init__(self, max_callers: int = MAX_CALLERS) -> None:
        self._max_callers = max_callers
        self._window = -1
        self._used: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        """How many counts are remembered."""
        return len(self._used)

    def take(self, caller: str, budget: Budget, now: float) -> Standing:
        """Count one request; refused ones do not count."""
        standing = self.look(caller, budget, now)
        if not standing.allowed:
            return standing
        key = self._key(caller, budget)
        self._used[key] = self._used.get(key, 0) + 1
        return Standing(standing.limit, standing.remaining - 1, standing.reset, True)

    def look(self, caller: str, budget: Budget, now: float) -> Standing:
        """Where the caller stands; ``allowed`` tells whether one request more would be."""
        window = int(now // WINDOW_SECONDS)
        if window != self._window:
            self._window = window
            self._used = {}
        limit = budget.requests_per_minute
        used = self._used.get(self._key(caller, budget), 0)
        return Standing(limit, max(0, limit - used), (window + 1) * WINDOW_SECONDS, used < limit)

    def _key(self, caller: str, budget: Budget) -> tuple[str, str]:
        key = (budget.name, caller)
        if key not in self._used and len(self._used) >= self._max_callers:
            return (budget.name, _OTHERS)
        return key


def caller_of_address(ip: str) -> str:
    """An IPv6 /64 is one caller: whoever has one has all of its addresses. What is no address is itself."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
