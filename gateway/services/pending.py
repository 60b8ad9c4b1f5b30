"""Challenges under way, so that one that never comes back is noticed.

A browser whose handshake with the mTLS host is broken by a proxy, endpoint protection or TLS inspection
shows an error of its own and the gateway hears nothing. Counting what began and did not arrive is the only
sign of it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gateway.model.events import ChallengeAbandoned
from gateway.proxy.tokens import Flow

# More than this under way is an attack or an outage; the oldest are then given up uncounted.
MAX_PENDING: Final = 100_000


class PendingChallenges:
    """In memory of one worker. With several workers a hop may be seen by another one: each then sees a
    part."""

    def __init__(self, limit: int = MAX_PENDING) -> None:
        self._limit = limit
        self._flows: dict[str, tuple[Flow, bool]] = {}

    def __len__(self) -> int:
        return len(self._flows)

    def begin(self, flow: Flow) -> None:
        if len(self._flows) >= self._limit:
            del self._flows[next(iter(self._flows))]
        self._flows[flow.flow_id] = (flow, False)

    def arrived(self, flow_id: str) -> None:
        entry = self._flows.get(flow_id)
        if entry is not None:
            self._flows[flow_id] = (entry[0], True)

    def returned(self, flow_id: str) -> None:
        self._flows.pop(flow_id, None)

    def expire(self, now: datetime) -> Iterator[ChallengeAbandoned]:
        """Take out what ran past its time. All flows live equally long, so the oldest come first."""
        seconds = now.timestamp()
        while self._flows:
            flow, arrived = next(iter(self._flows.values()))
            if flow.expires_at > seconds:
                return
            del self._flows[flow.flow_id]
            yield ChallengeAbandoned(
                now,
                flow.reference_id,
                flow.app,
                flow.flow_id,
                "never_returned" if arrived else "never_arrived",
            )
