"""The follower: reads the change feed of the store, and tells the data plane what it has to know.

    the whole state    at the start; after a change of settings, policies, zones or authorities; after many
                       single changes; and when the feed does not hold any more what comes next
    single changes     each with its number, in order

A change that was told is never told again, and none is passed over: the next one that is asked for is always
the one behind the last one told. While the store is gone the data plane goes on with what it has; the
follower comes back by itself, and goes on where it stopped. A store that comes back with another past, such
as a standby that had not got the last changes, is found out by the last change that is known of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, Never, Protocol

from gateway.adapters.store import View
from gateway.model.changes import Change, ChangeKind
from gateway.model.store_errors import FeedBroken, StoreError
from gateway.pki.serials import SerialSet
from gateway.server.org.call import StoreDoor
from gateway.services.org_state import OrgStateSent
from gateway.services.ports import Clock

_CHANGES_AT_ONCE: Final = 200
# A worker that starts is given the state and the changes after it: these are kept few.
CHANGES_BEFORE_NEW_STATE: Final = 5_000
# Without a wake-up the feed is looked at all the same: a notice may be lost with a connection.
_LOOK_AGAIN_SECONDS: Final = 1.0
_DEAF_SECONDS: Final = 0.1
# Reading what is new takes milliseconds. A store that does not answer at all is given up much later, by who
# keeps the connection: packets that nothing comes back for may be on their way still.
_ANSWER_SECONDS: Final = 5.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 3.0


class Voice(Protocol):
    """What the data plane is told."""

    def state(self, number: int, document: bytes, revoked: Mapping[bytes, SerialSet]) -> None: ...

    def changes(self, changes: Sequence[Mapping[str, object]]) -> None: ...

    def store(self, *, reachable: bool, since: datetime, detail: str = "") -> None: ...


class Follower:
    """Made on the running loop. ``wait`` returns when the feed may have grown, or after the seconds it is
    given; it raises StoreError where it cannot tell any more. ``went_back`` is told (number that was told,
    number of the store now) when the store turns out to be behind what the data plane was told;
    ``told_state`` gets each whole state that it was told. Who asks for changes for longer than
    ``answer_seconds`` follows a store that is not reachable."""

    def __init__(
        self,
        store: StoreDoor,
        read_state: Callable[[View], OrgStateSent],
        wait: Callable[[float], Awaitable[object]],
        voice: Voice,
        clock: Clock,
        went_back: Callable[[int, int], None] = lambda told, now: None,
        answer_seconds: float = _ANSWER_SECONDS,
        told_state: Callable[[OrgStateSent], None] = lambda state: None,
    ) -> None:
        self._store = store
        self._read_state = read_state
        self._wait = wait
        self._voice = voice
        self._clock = clock
        self._went_back = went_back
        self._told_state = told_state
        self._answer_seconds = answer_seconds
        self._number: int | None = None
        self._last: Change | None = None  # the change of that number, where the store had it
        self._since_state = 0
        self._is_reachable: bool | None = None

    @property
    def number(self) -> int | None:
        """The last change that the data plane was told; None before the first state."""
        return self._number

    @property
    def store_is_reachable(self) -> bool:
        return self._is_reachable is True

    async def run(self) -> Never:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                while True:
                    if not await self._step():
                        self._reached()
                        pause = _FIRST_PAUSE_SECONDS
                        await self._pause()
            except StoreError as problem:
                self._lost(str(problem))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _pause(self) -> None:
        """Where nothing wakes us any more, and the store can be read, looking again and again will do."""
        try:
            await self._wait(_LOOK_AGAIN_SECONDS)
        except StoreError:
            await asyncio.sleep(_DEAF_SECONDS)

    def renew(self) -> None:
        """Take the whole state anew at the next step: what the state is made of beside the store changed."""
        self._number = None

    async def _step(self) -> bool:
        """Tell what comes next. False: there was nothing."""
        if self._number is None:
            await self._tell_state()
            return True
        last, known = self._number, self._last
        try:
            changes = await self._changes_after(last, known)
        except FeedBroken:
            await self._tell_state()
            return True
        if not changes:
            return False
        self._since_state += len(changes)
        if self._since_state > CHANGES_BEFORE_NEW_STATE or any(
            change.kind is ChangeKind.STATE_CHANGED for change in changes
        ):
            await self._tell_state()
        elif self._number == last:
            self._voice.changes([_message(change) for change in changes])
            self._number, self._last = changes[-1].number, changes[-1]
        return True

    async def _changes_after(self, last: int, known: Change | None) -> Sequence[Change]:
        """However long it takes; the data plane is told meanwhile that it follows nobody."""
        late = f"the store has not answered for {self._answer_seconds:g} s"
        watch = asyncio.get_running_loop().call_later(self._answer_seconds, self._lost, late)
        try:
            return await self._store.read(
                lambda view: view.feed.changes_after(last, _CHANGES_AT_ONCE, known=known)
            )
        finally:
            watch.cancel()

    async def _tell_state(self) -> None:
        def read(view: View) -> tuple[OrgStateSent, Change | None]:
            state = self._read_state(view)
            return state, view.feed.get(state.number)

        told = self._number
        state, last = await self._store.read(read)
        self._voice.state(state.number, state.document, state.revoked)
        self._told_state(state)
        self._number, self._last = state.number, last
        self._since_state = 0
        if told is not None and state.number < told:
            self._went_back(told, state.number)

    def _reached(self) -> None:
        if self._is_reachable is not True:
            self._is_reachable = True
            self._voice.store(reachable=True, since=self._clock.now())

    def _lost(self, detail: str) -> None:
        if self._is_reachable is not False:
            self._is_reachable = False
            self._voice.store(reachable=False, since=self._clock.now(), detail=detail)


def _message(change: Change) -> dict[str, object]:
    return {"number": change.number, "kind": change.kind.value, "payload": dict(change.payload)}
