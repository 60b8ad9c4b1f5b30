"""Whether an address of an app is worth trying, judged by what became of the requests to it.

up     as long as it answers more than it fails
out    after MIN_FAILURES failures within WINDOW_SECONDS that outnumber the answers: passed over for a while
probe  when the pause is over, one request tries it; an answer brings it back, a failure doubles the pause

Nothing is sent to find out: an app that nobody asks for is not asked by the gateway either. Times are seconds
of a monotonic clock.
"""

from typing import Final

# One failure may be the request's own doing; three within the window that no answers outweigh are the app's.
MIN_FAILURES: Final = 3
WINDOW_SECONDS: Final = 10.0
# An app that restarts is back within seconds; one that stays away costs one request a minute its first try.
FIRST_PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 60.0
# Whoever fails again this soon after it came back goes on where its pauses were.
SETTLED_SECONDS: Final = 60.0


class UpstreamHealth:
    """Of one address. Not safe between threads."""

    __slots__ = (
        "_answers_before",
        "_back_since",
        "_failures",
        "_pause",
        "_probing",
        "_window_began",
        "answers",
        "out",
        "retry_at",
    )

    def __init__(self) -> None:
        self.answers = 0  # counted by whoever has the answer: a call for each request would cost more
        self.out = False
        self.retry_at = 0.0  # while it is out: when the next probe is due
        self._failures = 0
        self._answers_before = 0
        self._window_began = float("-inf")
        self._back_since = float("-inf")
        self._pause = 0.0
        self._probing = False

    def failed(self, now: float) -> float | None:
        """A request failed. Returns the seconds of the pause if one begins now."""
        if self.out:
            if not self._probing:
                return None  # of a request that began before, or of one of many at once: known already
            self._probing = False
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self.retry_at = now + self._pause
            return self._pause
        if now - self._window_began > WINDOW_SECONDS:
            self._window_began = now
            self._failures = 0
            self._answers_before = self.answers
        self._failures += 1
        answers = self.answers - self._answers_before
        if self._failures < MIN_FAILURES or self._failures <= answers:
            return None
        settled = now - self._back_since > SETTLED_SECONDS
        self._pause = FIRST_PAUSE_SECONDS if settled else min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self.out = True
        self._probing = False
        self.retry_at = now + self._pause
        return self._pause

    def answered_probe(self, now: float) -> None:
        """A request that began while it was out was answered: it is back."""
        self.out = False
        self._failures = 0
        self._window_began = float("-inf")
        self._back_since = now

    def probe_due(self, now: float) -> bool:
        return self.out and now >= self.retry_at

    def begin_probe(self, now: float) -> None:
        """One request tries. If nothing becomes of it, the next one may after as long a pause."""
        self.retry_at = now + self._pause
        self._probing = True
