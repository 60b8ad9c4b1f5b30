"""What the org says, put in force in one worker, in order, and answered when it is.

    org_state {change}     the whole truth: read and compiled in a thread, then swapped in at once
    changes   {changes}    the single changes after it: in force at once
    → org_applied {change, refused}

Each message has one answer, in the order in which they came: when what it says is in force and the
connections that rested on what it took away are closed. ``change`` is the last change of which that is true;
None where there is none. A state that cannot be read leaves the one before in force, and what comes after it
is not true as a whole: single changes still count, but none is answered as done until a state is read again.
``refused`` says why, also where only a policy could not be used.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from gateway.adapters.remembered_state import STATE_FILE, kept_state
from gateway.adapters.sealed_memory import NotSealed, SealedMemory
from gateway.adapters.shared_revocations import RevokedInvalid, open_revoked
from gateway.model.org_state import (
    MAX_DOCUMENT_BYTES,
    OrgStateInvalid,
    read_changes,
    read_state,
)
from gateway.pki.own_revocations import OwnRevocations
from gateway.server.control import Message
from gateway.server.in_force import InForce
from gateway.server.log import LogWriter
from gateway.services.org_material import OrgContent, org_content

# An answer goes into a frame of the control channel.
_MAX_REFUSED_CHARACTERS: Final = 4_000


def said_last(keys_directory: str, log: LogWriter) -> OrgContent | None:
    """What the org said last before the gateway was started; None where it never spoke here, or what it said
    cannot be read, which is noted."""
    try:
        document = kept_state(keys_directory)
        return None if document is None else org_content(read_state(document))
    except OSError as problem:
        detail = problem.strerror
    except OrgStateInvalid as invalid:
        detail = str(invalid)
    log.note("org_state_not_remembered", file=str(Path(keys_directory, STATE_FILE)), detail=detail)
    return None


@dataclass(slots=True)
class _Answer:
    change: int | None
    refused: str
    done: "asyncio.Future[None] | None"


class OrgFollowing:
    """``answer`` sends `org_applied`."""

    def __init__(self, in_force: InForce, answer: Callable[[int | None, str], None]) -> None:
        self._in_force = in_force
        self._answer = answer
        self._waiting: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._reading = False  # a state, in a thread: what comes meanwhile waits
        self._is_whole = False  # the last state that came is in force
        self._answers: deque[_Answer] = deque()

    def take(self, message: Message) -> None:
        """Owns the message's descriptors."""
        if message.name == "changes" and not self._reading and not self._waiting:
            self._take_changes(message)
        else:
            self._waiting.append(message)
            self._arrived.set()

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            while self._waiting:
                message = self._waiting.popleft()
                if message.name == "changes":
                    self._take_changes(message)
                    continue
                self._reading = True
                try:
                    await self._take_state(message)
                finally:
                    self._reading = False
            self._arrived.clear()
            await self._arrived.wait()

    def _take_changes(self, message: Message) -> None:
        message.close_descriptors()
        try:
            changes = read_changes(message.values.get("changes"))
        except OrgStateInvalid as invalid:  # the supervisor lets none of these pass
            self._is_whole = False
            self._later(None, f"changes: {invalid}", None)
            return
        done = self._in_force.change_own(changes)
        self._later(changes[-1].number if changes and self._is_whole else None, "", done)

    async def _take_state(self, message: Message) -> None:
        document, revoked = message.descriptors

        def read() -> tuple[OrgContent, OwnRevocations]:
            try:
                tables = open_revoked(revoked)
            finally:
                try:
                    memory = SealedMemory.mapped(document, MAX_DOCUMENT_BYTES)
                except (NotSealed, OSError) as problem:
                    raise OrgStateInvalid(f"the document cannot be mapped: {problem!r}") from problem
            state = read_state(memory[:])
            users = frozenset(user.casefold() for user in state.inactive_users)
            return org_content(state), OwnRevocations(tables, state.inactive_devices, users)

        try:
            content, own = await asyncio.to_thread(read)
        except (OrgStateInvalid, RevokedInvalid) as invalid:
            self._is_whole = False
            self._later(None, str(invalid), None)
            return
        refused, done = await self._in_force.replace_org(content, own)
        self._is_whole = True
        self._later(content.state.number, "; ".join(refused), done)

    def _later(self, change: int | None, refused: str, done: "asyncio.Future[None] | None") -> None:
        """Answer when it is done, and all before it are answered."""
        self._answers.append(_Answer(change, refused[:_MAX_REFUSED_CHARACTERS], done))
        if done is not None and not done.done():
            done.add_done_callback(self._send_answers)
        self._send_answers()

    def _send_answers(self, _done: object = None) -> None:
        while self._answers:
            first = self._answers[0]
            if first.done is not None and not first.done.done():
                return
            self._answers.popleft()
            self._answer(first.change, first.refused)
