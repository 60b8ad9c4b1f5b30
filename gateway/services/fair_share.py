"""How much of a memory that all clients share one of them may fill."""

from typing import Final

# Of the whole, while its entries live. An office behind one address has thousands of people.
ONE_CLIENT_SHARE: Final = 0.05
# Until so much of the whole is filled nobody's part matters.
FREE_SHARE: Final = 0.5


class FairShare:
    """Counts the entries of each client, for as long as they live and up to half as long again.

    Who fills the memory has to have many addresses then; with one, an attacker could push everybody else's
    entries out. At most ``limit`` clients are counted.
    """

    __slots__ = ("_each", "_free", "_limit", "_number", "_window_seconds", "_windows")

    def __init__(self, limit: int, lifetime_seconds: float) -> None:
        self._limit = limit
        self._free = int(limit * FREE_SHARE)
        self._each = max(1, int(limit * ONE_CLIENT_SHARE))
        self._window_seconds = lifetime_seconds / 2
        self._number = 0  # of the present window, since the epoch
        self._windows = [_Window(), _Window(), _Window()]  # the present one first

    def take(self, client: int, now_seconds: float) -> bool:
        """Count one more entry of this client; False, and nothing counted, where it has had its share."""
        number = int(now_seconds // self._window_seconds)
        if number != self._number:
            passed = min(max(number - self._number, 0), 3)
            self._windows = [*(_Window() for _ in range(passed)), *self._windows[: 3 - passed]]
            self._number = number
        windows = self._windows
        if sum(window.total for window in windows) >= self._free:
            its_own = sum(window.by_client.get(client, 0) for window in windows)
            if its_own >= self._each:
                return False
        windows[0].add(client, self._limit)
        return True


class _Window:
    __slots__ = ("by_client", "total")

    def __init__(self) -> None:
        self.by_client: dict[int, int] = {}
        self.total = 0

    def add(self, client: int, limit: int) -> None:
        self.total += 1
        if client in self.by_client or len(self.by_client) < limit:
            self.by_client[client] = self.by_client.get(client, 0) + 1
