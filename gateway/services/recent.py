"""What was used in the last minutes, and no more: a bounded memory that grows with who is at work, and
shrinks again when they leave.

Two generations: what is asked for is in the young one, or comes back to it from the old one. After some
minutes, or when the young one has its part of the room, it becomes the old one, and what was old and not
asked for is forgotten. So a look-up is one or two of a dict, and nothing is kept in order.
"""

from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# Between two page loads of somebody who works with an app. After twice as long, a value is made anew.
GENERATION_SECONDS: Final = 300.0
# A generation of ten thousand takes 20 ms to forget, for which no request may wait.
_FORGOTTEN_AT_ONCE: Final = 16


class Recent(Generic[K, V]):
    """At most ``limit`` values, each for one to two generations after its last use. For one thread.

    Times are in seconds of any one clock; one that is set back makes a generation live longer, no more.
    """

    __slots__ = ("_ends", "_forgotten", "_old", "_part", "_seconds", "_young")

    def __init__(self, limit: int, generation_seconds: float = GENERATION_SECONDS) -> None:
        self._part = max(1, limit // 3)
        self._seconds = generation_seconds
        self._ends = 0.0
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._forgotten: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old) + len(self._forgotten)

    def get(self, key: K, now_seconds: float) -> V | None:
        value = self._young.get(key)
        if value is not None and now_seconds < self._ends:
            return value
        if value is None:
            value = self._old.pop(key, None)
            if value is None:
                return None
        self.put(key, value, now_seconds)
        return value

    def put(self, key: K, value: V, now_seconds: float) -> None:
        young = self._young
        if now_seconds >= self._ends or (len(young) >= self._part and key not in young):
            self._forgotten, self._old, self._young = self._old, young, {}
            self._ends = now_seconds + self._seconds
        self._old.pop(key, None)
        self._young[key] = value
        if forgotten := self._forgotten:
            for _ in range(min(_FORGOTTEN_AT_ONCE, len(forgotten))):
                forgotten.popitem()
