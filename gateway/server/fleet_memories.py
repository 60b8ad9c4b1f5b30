"""What a worker remembers together with all workers of all gateways, over its line to PostgreSQL."""

import asyncio

from gateway.adapters.fleet_line import FleetLine
from gateway.adapters.fleet_one_use import ClaimDesk, Count, FleetOneUseKeys
from gateway.adapters.fleet_requests import FleetChallengeMarks, FleetSeenRequests, SeenDesk
from gateway.adapters.shared_memories import SharedChallengeMarks, SharedOneUseKeys, SharedSeenRequests
from gateway.model.settings import FleetSettings
from gateway.server.log import LogWriter


class FleetMemories:
    """Made on the running loop."""

    def __init__(
        self,
        url: str,
        settings: FleetSettings,
        one_use_keys: SharedOneUseKeys,
        seen_requests: SharedSeenRequests,
        challenge_marks: SharedChallengeMarks,
        count: Count,
        log: LogWriter,
    ) -> None:
        self._log = log
        self._count = count
        self._line = FleetLine(url, settings.claim_timeout_seconds, self._changed)
        claims = ClaimDesk(self._line, self._used_twice)
        seen = SeenDesk(self._line)
        self._line.open_desks((claims, seen))
        self.one_use_keys = FleetOneUseKeys(
            one_use_keys, claims, count, refuses=settings.refuses_without_store
        )
        self.seen_requests = FleetSeenRequests(seen_requests, seen)
        self.challenge_marks = FleetChallengeMarks(challenge_marks, seen)

    async def start(self) -> "asyncio.Task[None]":
        """The task that keeps the line, begun. Returns when the line stands, or cannot be had at once."""
        await self.one_use_keys.find_unwritten()
        task: asyncio.Task[None] = asyncio.create_task(self._line.run(), name="fleet line")
        await self._line.first_attempt()
        return task

    def _changed(self, is_up: bool, detail: str) -> None:
        if is_up:
            self._log.note("one_use_store_reachable")
        else:
            self._log.note("one_use_store_unreachable", detail=detail)

    def _used_twice(self, keys: int) -> None:
        """Known too late: each was let through at two gateways that could not ask one another."""
        for _ in range(keys):
            self._count("store", "used_twice")
        self._log.note("one_use_keys_used_twice", count=keys)
