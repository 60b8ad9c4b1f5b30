"""How a caller learns that a change is in force everywhere."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

# Workers need milliseconds. Who waits longer has one that is gone or stuck, and wants to know.
WAIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class AppliedBy:
    """A worker that has done what was changed: connections and sessions that rested on it are closed."""

    gateway: str
    worker: int


@dataclass(frozen=True, slots=True)
class MissingWorker:
    """One that has not, and why: `has applied 17`, `last seen 2026-11-26T00:00:00.000Z`."""

    gateway: str
    worker: int
    detail: str


@dataclass(frozen=True, slots=True)
class Applied:
    """``seconds`` is from the call of `wait` until the last worker had applied it, or until the deadline."""

    number: int
    seconds: float
    workers: tuple[AppliedBy, ...] = ()
    missing: tuple[MissingWorker, ...] = ()

    def json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "seconds": round(self.seconds, 6),
            "workers": [{"gateway": each.gateway, "worker": each.worker} for each in self.workers],
            "missing": [
                {"gateway": each.gateway, "worker": each.worker, "detail": each.detail}
                for each in self.missing
            ],
        }


class Enforcement(Protocol):
    async def wait(self, number: int, seconds: float = WAIT_SECONDS) -> Applied:
        """Until every live worker of every gateway has applied change ``number``, at most ``seconds``."""
        ...
