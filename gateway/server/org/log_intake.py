"""From the spools of this gateway's workers into the System Log of the store.

What was read and how far is one transaction, so that each event is in the log once, whoever is killed when.
While the store is away the spools wait.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Never

from gateway.adapters.spool_reader import MAX_BATCH_RECORDS, Batch, Position, SpoolReader
from gateway.adapters.store import Store, View, Work
from gateway.model.events import ChallengeAnswered
from gateway.model.log_event import LogEvent
from gateway.model.org import Device, StoredPolicy, User
from gateway.model.settings import CaSettings
from gateway.model.store_errors import AlreadyExists, StoreError, StoreUnavailable
from gateway.server.log import LogWriter
from gateway.server.org.opening import OpeningStore
from gateway.services.renewing import certificate_seen
from gateway.system_log.catalog import job
from gateway.system_log.sign_on_events import event_uuid, log_events
from gateway.system_log.spooled import RecordUnreadable, SpooledEvent, decode_event

_LOOK_SECONDS: Final = 0.2
_PAUSE_SECONDS: Final = 1.0
_TIDY_SECONDS: Final = 60.0
# Certificates of which the store knows that they are in use.
_MAX_KNOWN_SEEN: Final = 50_000
# Numbers of the events that a record makes come first.
_SEEN_NUMBERS: Final = 1_000


class LogIntake:
    """``rules`` are those of the CA in the store that are in force."""

    def __init__(
        self, store: OpeningStore, keys_directory: str, rules: Callable[[], CaSettings], log: LogWriter
    ) -> None:
        self._store = store
        self._reader = SpoolReader(keys_directory)
        self._rules = rules
        self._log = log
        self._positions: dict[str, Position | None] = {}
        self._seen: dict[str, None] = {}
        self._careful = False
        self._told = False

    async def run(self) -> Never:
        """Until cancelled."""
        tidied = 0.0
        try:
            while True:
                pause = _PAUSE_SECONDS
                try:
                    if self._reader.claim():
                        count = await self._store.run(self._take)
                        pause = 0.0 if count >= MAX_BATCH_RECORDS else _LOOK_SECONDS
                        self._told = False
                        if time.monotonic() - tidied > _TIDY_SECONDS:
                            await asyncio.to_thread(self._reader.tidy, time.time())
                            tidied = time.monotonic()
                except (StoreError, OSError) as problem:
                    self._failed(problem)
                await asyncio.sleep(pause)
        finally:
            self._reader.close()

    def _take(self, store: Store) -> int:
        """One batch; how many records it had. Runs in a thread of the store's."""
        batch = self._reader.read(lambda run: self._position(store, run))
        for loss in batch.losses:
            name = "system_log_spool_torn_end" if loss.torn else "system_log_spool_damaged"
            self._log.note(name, file=str(loss.path), offset=loss.offset, bytes=loss.count)
        if not batch.is_empty:
            known = {run: self._positions.get(run) for run in batch.positions}
            events = self._decoded(batch)
            with store.begin() as work:
                for run, position in known.items():
                    if _held(work, run) != position:
                        raise StoreUnavailable("another process reads the spools of this gateway")
                self._insert(work, events)
                for run, behind in batch.positions.items():
                    work.spools.advance(run, behind.segment, behind.offset)
                for run in batch.forgotten:
                    work.spools.forget(run)
            self._positions.update(batch.positions)
            for run in batch.forgotten:
                self._positions.pop(run, None)
            self._careful = False
        self._reader.release(batch)
        return len(batch.records)

    def _insert(self, work: Work, events: Sequence[tuple[str, SpooledEvent]]) -> None:
        directory = _Directory(work)
        new: list[LogEvent] = []
        for place, event in events:
            new += log_events(event, place, directory)
        if self._careful:
            new = [event for event in new if work.log.by_uuid(event.uuid) is None]
        work.log.append_many(new)
        for place, event in events:
            if isinstance(event, ChallengeAnswered) and event.verdict == "trusted":
                self._certificate_seen(work, place, event)

    def _certificate_seen(self, work: Work, place: str, event: ChallengeAnswered) -> None:
        thumbprint = event.certificate_thumbprint
        if thumbprint is None or thumbprint in self._seen:
            return
        numbers = iter(range(_SEEN_NUMBERS, 2 * _SEEN_NUMBERS))
        occasion = job(event.at, lambda: event_uuid(place, next(numbers)), event.flow_id)
        certificate_seen(work, thumbprint, self._rules(), occasion)
        if len(self._seen) >= _MAX_KNOWN_SEEN:
            self._seen.pop(next(iter(self._seen)))
        self._seen[thumbprint] = None

    def _decoded(self, batch: Batch) -> list[tuple[str, SpooledEvent]]:
        events = []
        for record in batch.records:
            try:
                events.append((record.place, decode_event(record.content)))
            except RecordUnreadable as unreadable:
                self._log.note("system_log_record_unreadable", place=record.place, detail=str(unreadable))
        return events

    def _position(self, store: Store, run: str) -> Position | None:
        if run not in self._positions:
            with store.read() as view:
                self._positions[run] = _held(view, run)
        return self._positions[run]

    def _failed(self, problem: StoreError | OSError) -> None:
        """Whether a transaction took effect may be unknown, so positions are read anew, and so is what was
        seen in it."""
        self._positions.clear()
        self._seen.clear()
        self._careful = isinstance(problem, AlreadyExists)
        if not self._told:
            self._told = True
            self._log.note("system_log_waits", detail=str(problem))


class _Directory:
    """Who is who in the store, each looked up once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._users: dict[str, User | None] = {}
        self._devices: dict[str, Device | None] = {}
        self._policies: dict[str, StoredPolicy | None] = {}

    def user(self, login: str) -> User | None:
        if login not in self._users:
            self._users[login] = self._view.users.by_login(login)
        return self._users[login]

    def device(self, certificate_name: str) -> Device | None:
        if certificate_name not in self._devices:
            self._devices[certificate_name] = self._view.devices.by_certificate_name(certificate_name)
        return self._devices[certificate_name]

    def policy(self, app: str) -> StoredPolicy | None:
        if app not in self._policies:
            self._policies[app] = self._view.policies.of_app(app)
        return self._policies[app]


def _held(view: View, run: str) -> Position | None:
    position = view.spools.position(run)
    return None if position is None else Position(position.segment, position.offset)
