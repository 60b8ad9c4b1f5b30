"""How far every worker of every gateway has come in the change feed: what `Enforcement` waits for.

Workers of this gateway tell it themselves, over the supervisor, within milliseconds. Those of other gateways
are read from the store, where their gateways write it; a notice tells when to look again. A gateway that is
gone without a word may still run, cut off from the store: its workers stay missing until it is forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.model.org import GatewayRecord, WorkerRecord
from gateway.model.store_errors import StoreUnavailable
from gateway.server.org.enforcement import WAIT_SECONDS, Applied, AppliedBy, MissingWorker
from gateway.services.ports import Clock

# Gateways tell every few seconds that they are there.
SEEN_WITHIN: Final = timedelta(seconds=15)
# How often others are asked for, beside notices: one may be lost with the connection to the store.
_LOOK_AGAIN_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class FleetMember:
    """Another gateway, as the store knows it."""

    gateway: GatewayRecord
    workers: tuple[WorkerRecord, ...]


LookAtOthers = Callable[[], Awaitable[Iterable[FleetMember]]]


class Fleet:
    """An `Enforcement`. Made on the running loop.

    ``others`` reads the members of the fleet beside this gateway; it is None where there can be none, and
    raises StoreUnavailable. ``told`` gives the last change that the data plane was told of this store: a
    worker that claims more has it from a past that the store has lost, and may lack what is numbered anew.
    """

    def __init__(
        self, own_name: str, clock: Clock, others: LookAtOthers | None, told: Callable[[], int | None]
    ) -> None:
        self._own_name = own_name
        self._clock = clock
        self._look = others
        self._told = told
        self._live: frozenset[int] | None = None  # None: the supervisor has not said yet
        self._applied: dict[int, int] = {}
        self._members: tuple[FleetMember, ...] = ()
        self._knows_others = True
        self._moved = asyncio.Event()

    # What is heard.

    def applied(self, worker: int, number: int) -> None:
        """A worker of this gateway has done all changes up to this one."""
        self._applied[worker] = number
        self._wake()

    def workers(self, live: frozenset[int]) -> None:
        """The workers of this gateway. One that is new has applied nothing yet."""
        self._live = live
        self._applied = {worker: number for worker, number in self._applied.items() if worker in live}
        self._wake()

    def went_back(self) -> None:
        """The store is another one than it was: what workers had applied was of the other."""
        self._applied = {}
        self._wake()

    def others_moved(self) -> None:
        """A worker of another gateway has applied something."""
        self._wake()

    # What is asked.

    @property
    def own(self) -> Mapping[int, int]:
        """Worker of this gateway → the last change that it has done; 0 for none."""
        told = self._told() or 0
        return {
            worker: number if (number := self._applied.get(worker, 0)) <= told else 0
            for worker in sorted(self._live or ())
        }

    async def wait(self, number: int, seconds: float = WAIT_SECONDS) -> Applied:
        """Where the store is gone, the others count as they were known last: what is to be waited for is
        done already, and has to be answered. Gateways that have not been seen are named, and not waited
        for."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            moved = self._moved
            await self._look_at_others()
            done, missing, gone = self._standing(number)
            now = loop.time()
            left = begun + seconds - now
            if not missing or left <= 0:
                return Applied(number, now - begun, done, missing + gone)
            try:
                async with asyncio.timeout(left if self._look is None else min(left, _LOOK_AGAIN_SECONDS)):
                    await moved.wait()
            except TimeoutError:
                continue

    async def _look_at_others(self) -> None:
        if self._look is None:
            return
        try:
            self._members = tuple(await self._look())
            self._knows_others = True
        except StoreUnavailable:
            self._knows_others = False

    def _standing(
        self, number: int
    ) -> tuple[tuple[AppliedBy, ...], tuple[MissingWorker, ...], tuple[MissingWorker, ...]]:
        """Who has applied it, who is about to, and who has not been seen for long."""
        done: list[AppliedBy] = []
        missing: list[MissingWorker] = []
        gone: list[MissingWorker] = []
        for worker, applied in self.own.items():
            if applied >= number:
                done.append(AppliedBy(self._own_name, worker))
            else:
                missing.append(MissingWorker(self._own_name, worker, f"has applied {applied}"))
        if self._live is None:
            missing.append(MissingWorker(self._own_name, 0, "which workers there are is not known yet"))
        seen_since = self._clock.now() - SEEN_WITHIN
        for member in self._members:
            name = member.gateway.name
            is_seen = member.gateway.seen_at >= seen_since
            for each in member.workers:
                if each.applied_number >= number:
                    done.append(AppliedBy(name, each.worker))
                elif is_seen:
                    missing.append(MissingWorker(name, each.worker, f"has applied {each.applied_number}"))
                else:
                    gone.append(
                        MissingWorker(name, each.worker, f"last seen {_moment(member.gateway.seen_at)}")
                    )
        if not self._knows_others:
            missing.append(MissingWorker("others", 0, "not known: the store is not available"))
        return tuple(done), tuple(missing), tuple(gone)

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
