"""What the org said last, on its way to every worker, and what each has done of it.

    state       the whole truth at one change; every worker gets the last one, then
    changes     those that came after it, in order

A worker is sent a few messages ahead of what it has answered, and no more: one that is slow is never flooded,
and one that falls far behind gets the next state instead of all that led to it.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.adapters.sealed_memory import NotSealed, SealedMemory
from gateway.adapters.shared_revocations import MAX_REVOKED_BYTES
from gateway.model.org_state import (
    MAX_CHANGES,
    MAX_DOCUMENT_BYTES,
    OrgStateInvalid,
    batches,
    read_changes,
)
from gateway.server.control import Message

# Messages that a worker has not answered.
_MAX_AHEAD: Final = 4
# An org that says more without a new state is at odds with the rule of 5,000, and would fill our memory.
MAX_CHANGES_HELD: Final = 20_000

RawChange = Mapping[str, Any]


class Tell(Protocol):
    def __call__(self, name: str, descriptors: Sequence[int] = (), **values: object) -> None: ...


class OrgMisspoke(Exception):
    """What the org said cannot be passed on; the text says why."""


@dataclass(frozen=True, slots=True)
class _State:
    number: int
    document: SealedMemory
    revoked: SealedMemory


@dataclass(slots=True)
class _Feed:
    """One worker: which state it was given, how far it was sent and has come. ``applied`` is None before it
    has any state in force."""

    tell: Tell
    state: _State | None = None
    sent: int = 0
    ahead: int = 0
    applied: int | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class OrgChanges:
    """``applied`` is told (worker, number) when a worker has done all up to a change."""

    def __init__(self, applied: Callable[[int, int], None]) -> None:
        self._told = applied
        self._state: _State | None = None
        self._changes: list[RawChange] = []  # after the state, without a gap
        self._feeds: dict[int, _Feed] = {}
        self.has_state = asyncio.Event()

    @property
    def number(self) -> int | None:
        """Of the last change that the org told; None where it has told nothing yet."""
        if self._state is None:
            return None
        return self._state.number + len(self._changes)

    @property
    def applied(self) -> dict[int, int | None]:
        """Worker → the last change that it has done."""
        return {worker: feed.applied for worker, feed in self._feeds.items()}

    # From the org.

    def take_state(self, message: Message) -> None:
        """Raises OrgMisspoke. Owns the message's descriptors."""
        number = message.values.get("number")
        if not isinstance(number, int) or number < 0 or len(message.descriptors) != 2:
            message.close_descriptors()
            raise OrgMisspoke("a state without a number, or without what belongs to it")
        document, revoked = message.descriptors
        try:
            mapped = _mapped(document, MAX_DOCUMENT_BYTES)
        except OrgMisspoke:
            os.close(revoked)
            raise
        self._state = _State(number, mapped, _mapped(revoked, MAX_REVOKED_BYTES))
        self._changes = []
        self.has_state.set()
        self._push_all()

    def take_changes(self, message: Message) -> None:
        """Raises OrgMisspoke, and then nothing was taken."""
        message.close_descriptors()
        raw = message.values.get("changes")
        try:
            changes = read_changes(raw)
        except OrgStateInvalid as invalid:
            raise OrgMisspoke(str(invalid)) from invalid
        last = self.number
        if not changes or last is None or changes[0].number != last + 1 or not isinstance(raw, list):
            first = changes[0].number if changes else None
            raise OrgMisspoke(f"change {first} follows {last}")
        if len(self._changes) + len(raw) > MAX_CHANGES_HELD:
            raise OrgMisspoke("too many changes without a new state")
        self._changes += raw
        self._push_all()

    # To and from the workers.

    def begin(self, worker: int, tell: Tell) -> None:
        """A worker is there: it is sent all there is, and what comes, until `end`."""
        feed = self._feeds[worker] = _Feed(tell)
        self._push(feed)

    def end(self, worker: int) -> None:
        self._feeds.pop(worker, None)

    def took(self, worker: int, number: int | None) -> None:
        """A worker is through with one message, and has done all up to this change."""
        feed = self._feeds.get(worker)
        if feed is None:
            return
        feed.ahead = max(0, feed.ahead - 1)
        if number is not None:
            feed.applied = number
            feed.moved.set()
            self._told(worker, number)
        self._push(feed)

    async def caught_up(self, worker: int, seconds: float) -> None:
        """Until a worker has done all that the org has told until now, or the time is over."""
        wanted = self.number
        feed = self._feeds.get(worker)
        if wanted is None or feed is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while feed.applied is None or feed.applied < wanted:
                    feed.moved.clear()
                    await feed.moved.wait()

    def _push_all(self) -> None:
        for feed in self._feeds.values():
            self._push(feed)

    def _push(self, feed: _Feed) -> None:
        state = self._state
        while state is not None and feed.ahead < _MAX_AHEAD:
            if feed.state is not state:
                feed.state, feed.sent = state, state.number
                feed.ahead += 1
                feed.tell(
                    "org_state", (state.document.descriptor, state.revoked.descriptor), change=state.number
                )
                continue
            at = feed.sent - state.number
            left = self._changes[at : at + MAX_CHANGES]
            if not left:
                return
            batch = next(batches(left))
            feed.sent += len(batch)
            feed.ahead += 1
            feed.tell("changes", changes=batch)


def _mapped(descriptor: int, limit_bytes: int) -> SealedMemory:
    """Owns the descriptor, also when it raises OrgMisspoke."""
    try:
        return SealedMemory.mapped(descriptor, limit_bytes)
    except (NotSealed, OSError) as problem:
        os.close(descriptor)
        raise OrgMisspoke(f"memory that cannot be mapped: {problem!r}") from problem
