"""What gateways of a fleet tell one another by the way: requests that apps sent, and how far challenges came.

Both are written behind: nobody waits for it. They are read only where this gateway does not know itself. What
is lost with a store that is gone refuses, at worst, a sign-on whose request left through another gateway and
whose app takes no unsolicited ones (``allow_unsolicited: false``); and counts a challenge as abandoned that
came back elsewhere.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from gateway.adapters.fleet_line import Connection, FleetLine
from gateway.adapters.fleet_one_use import STORE_KEY_BYTES
from gateway.adapters.memory import SEEN_REQUEST_LIFETIME
from gateway.adapters.shared_memories import MARK_LIFETIME, SharedChallengeMarks, SharedSeenRequests
from gateway.model.challenge_stage import ChallengeStage

_BATCH: Final = 500
# With the store gone, the oldest of more than these are known at this gateway only.
MAX_UNWRITTEN: Final = 20_000
# No app has a name with a blank in it.
_STAGES: Final = {f"challenge {stage}": stage for stage in ChallengeStage}

_WRITE: Final = """\
INSERT INTO seen_requests (key, app, until)
SELECT * FROM unnest(%s::bytea[], %s::text[], %s::timestamptz[]) AS seen (key, app, until) ORDER BY key
ON CONFLICT (key) DO UPDATE SET until = excluded.until, app = excluded.app
WHERE seen_requests.app IN (excluded.app, 'challenge arrived') OR seen_requests.until < %s"""
_READ: Final = "SELECT key, app FROM seen_requests WHERE key = ANY(%s) AND until >= %s"

Now = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def _future() -> "asyncio.Future[str | None]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class _Question:
    key: bytes
    app: "asyncio.Future[str | None]" = field(default_factory=_future)


class SeenDesk:
    """Names that stand for a time beside a key."""

    def __init__(self, line: FleetLine, now: Now = _now) -> None:
        self._line = line
        self._now = now
        self._unwritten: dict[bytes, tuple[str, datetime]] = {}
        self._questions: list[_Question] = []

    def write(self, key: bytes, name: str, until: datetime) -> None:
        if len(self._unwritten) >= MAX_UNWRITTEN:
            del self._unwritten[next(iter(self._unwritten))]
        self._unwritten[key] = name, until
        self._line.call()

    async def read(self, key: bytes) -> str | None:
        """The name beside a key; None where there is none, or the store does not say in time."""
        if not self._line.is_up:
            return None
        question = _Question(key)
        self._questions.append(question)
        self._line.call()
        try:
            async with asyncio.timeout(self._line.deadline_seconds):
                return await question.app
        except TimeoutError:
            self._line.give_up("the store does not answer in time")
            return None

    # A `Desk`.

    @property
    def is_asked(self) -> bool:
        return bool(self._questions or self._unwritten)

    async def perform(self, connection: Connection) -> None:
        async with asyncio.timeout(self._line.deadline_seconds):
            if self._questions:
                await self._answer(connection, self._questions[:_BATCH])
            else:
                await self._write(connection)

    async def restore(self, connection: Connection) -> None:
        """Nobody waits for what was not written: it is, when its turn comes."""

    def hang_up(self) -> None:
        questions, self._questions = self._questions, []
        for question in questions:
            if not question.app.done():
                question.app.set_result(None)

    async def _answer(self, connection: Connection, batch: Sequence[_Question]) -> None:
        cursor = await connection.execute(_READ, ([each.key for each in batch], self._now()))
        found = {row[0]: row[1] for row in await cursor.fetchall()}
        answered = set(map(id, batch))
        self._questions = [each for each in self._questions if id(each) not in answered]
        for question in batch:
            if not question.app.done():
                question.app.set_result(found.get(question.key))

    async def _write(self, connection: Connection) -> None:
        batch = list(islice(self._unwritten.items(), _BATCH))
        await connection.execute(
            _WRITE,
            (
                [key for key, _ in batch],
                [name for _, (name, _) in batch],
                [until for _, (_, until) in batch],
                self._now(),
            ),
        )
        for key, written in batch:
            if self._unwritten.get(key) is written:
                del self._unwritten[key]


class FleetSeenRequests:
    """`gateway.services.ports.SeenRequests`, of all gateways."""

    def __init__(
        self, local: SharedSeenRequests, desk: SeenDesk, lifetime: timedelta = SEEN_REQUEST_LIFETIME
    ) -> None:
        self._local = local
        self._desk = desk
        self._lifetime = lifetime

    def remember(self, app: str, request_id: str, now: datetime) -> None:
        self._local.remember(app, request_id, now)
        self._desk.write(_key("request", request_id), app, now + self._lifetime)

    async def is_from(self, app: str, request_id: str, now: datetime) -> bool | None:
        known = await self._local.is_from(app, request_id, now)
        if known is not None:
            return known
        sender = await self._desk.read(_key("request", request_id))
        return None if sender is None else sender == app


class FleetChallengeMarks:
    """`gateway.services.pending.ChallengeMarks`, of all gateways. What a gateway sees of a challenge that
    another one began goes to the store; `fetch` gets it from there."""

    def __init__(self, local: SharedChallengeMarks, desk: SeenDesk, now: Now = _now) -> None:
        self._local = local
        self._desk = desk
        self._now = now

    def begun(self, flow_id: str) -> None:
        self._local.mark(flow_id, ChallengeStage.BEGUN)

    def mark(self, flow_id: str, stage: ChallengeStage) -> None:
        if self._local.stage_of(flow_id) is None:
            name = f"challenge {stage}"
            self._desk.write(_key("challenge", flow_id), name, self._now() + MARK_LIFETIME)
        else:
            self._local.mark(flow_id, stage)

    def stage_of(self, flow_id: str) -> ChallengeStage | None:
        stage = self._local.stage_of(flow_id)
        return None if stage is ChallengeStage.BEGUN else stage

    async def fetch(self, flow_ids: Sequence[str]) -> None:
        """What other gateways saw of challenges that are about to be given up."""
        wanted = [each for each in flow_ids if self.stage_of(each) is not ChallengeStage.RETURNED]
        names = await asyncio.gather(*(self._desk.read(_key("challenge", each)) for each in wanted))
        for flow_id, name in zip(wanted, names, strict=True):
            stage = _STAGES.get(name or "")
            if stage is not None:
                self._local.mark(flow_id, stage)


def _key(kind: str, text: str) -> bytes:
    digest = hashlib.sha256(f"{kind}:{text}".encode("utf-8", "surrogatepass")).digest()
    return digest[:STORE_KEY_BYTES]
