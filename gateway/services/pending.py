"""Challenges under way, so that one that never comes back is noticed.

A browser whose handshake with the mTLS host is broken by a proxy, endpoint protection or TLS inspection
shows an error of its own and the gateway hears nothing. Counting what began and did not arrive is the only
sign of it.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from typing import Final, Protocol

from gateway.model.challenge_stage import ChallengeStage
from gateway.model.events import ChallengeAbandoned
from gateway.proxy.tokens import Flow

# More than this under way is an attack or an outage; the oldest are then given up uncounted.
MAX_PENDING: Final = 100_000


class ChallengeMarks(Protocol):
    """How far challenges came that one worker began and another saw. Never raises; may forget."""

    def begun(self, flow_id: str) -> None: ...

    def mark(self, flow_id: str, stage: ChallengeStage) -> None: ...

    def stage_of(self, flow_id: str) -> ChallengeStage | None: ...


class PendingChallenges:
    """Those that one worker began. A hop that it did not begin is left as a mark for whoever did."""

    def __init__(self, limit: int = MAX_PENDING, marks: ChallengeMarks | None = None) -> None:
        self._limit = limit
        self._marks = marks
        self._flows: dict[str, tuple[Flow, bool]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def begin(self, flow: Flow) -> None:
        if len(self._flows) >= self._limit:
            del self._flows[next(iter(self._flows))]
        self._flows[flow.flow_id] = (flow, False)
        if self._marks is not None:
            self._marks.begun(flow.flow_id)

    def arrived(self, flow_id: str) -> None:
        entry = self._flows.get(flow_id)
        if entry is not None:
            self._flows[flow_id] = (entry[0], True)
        elif self._marks is not None:
            self._marks.mark(flow_id, ChallengeStage.ARRIVED)

    def returned(self, flow_id: str) -> None:
        if self._flows.pop(flow_id, None) is None and self._marks is not None:
            self._marks.mark(flow_id, ChallengeStage.RETURNED)

    def due(self, now: datetime) -> list[str]:
        """Flow IDs of those that `expire` is going to take out."""
        seconds = now.timestamp()
        ended = takewhile(lambda held: held[0].expires_at <= seconds, self._flows.values())
        return [flow.flow_id for flow, _ in ended]

    def expire(self, now: datetime) -> Iterator[ChallengeAbandoned]:
        """Take out what ran past its time. All flows live equally long, so the oldest come first."""
        seconds = now.timestamp()
        while self._flows:
            flow, arrived = next(iter(self._flows.values()))
            if flow.expires_at > seconds:
                return
            del self._flows[flow.flow_id]
            elsewhere = None if self._marks is None else self._marks.stage_of(flow.flow_id)
            if elsewhere is ChallengeStage.RETURNED:
                continue
            yield ChallengeAbandoned(
                now,
                flow.reference_id,
                flow.app,
                flow.flow_id,
                "never_returned" if arrived or elsewhere else "never_arrived",
            )
