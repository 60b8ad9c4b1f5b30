"""Signs the CRLs: those that a revocation touched within a second, and each of them before it is over.

Signing runs in a thread, one list after the other, so that neither the event loop nor the store waits for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Never
from uuid import uuid4

from gateway.adapters.store import Store, View, Work
from gateway.model.changes import Change, ChangeKind
from gateway.model.settings import CaSettings
from gateway.model.store_errors import FeedBroken, StoreError
from gateway.pki.crl_building import shard_of
from gateway.pki.signer import SigningFailed
from gateway.server.org.call import StoreDoor
from gateway.services.authorities import retire_ended
from gateway.services.authority_ports import SigningKeys
from gateway.services.issuing import abandon_reservations
from gateway.services.ports import Clock
from gateway.services.publishing import Shard, publish, shards_of
from gateway.system_log.catalog import job

# How often the feed is looked at: revocations that come together are signed together.
_LOOK_SECONDS: Final = 0.25
# All lists are looked at that often while one is good, which tells those whose time has come.
_LOOKS_IN_A_LIFETIME: Final = 8
_LOOK_AT_ALL_AT_LEAST: Final = timedelta(hours=1)
_AFTER_TROUBLE_SECONDS: Final = 5.0
_CHANGES_AT_ONCE: Final = 1_000
_TOUCHING: Final = frozenset((ChangeKind.CERTIFICATE_REVOKED, ChangeKind.CERTIFICATE_RELEASED))


class CrlPublisher:
    """``tell`` is called with a sentence when lists cannot be signed, and with None when they can again."""

    def __init__(
        self,
        store: StoreDoor,
        keys: SigningKeys,
        rules: Callable[[], CaSettings],
        clock: Clock,
        tell: Callable[[str | None], None],
    ) -> None:
        self._store = store
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._tell = tell
        self._seen: int | None = None
        self._due: dict[Shard, None] = {}
        self._looked_at_all: datetime | None = None
        self._trouble: str | None = None

    async def run(self) -> Never:
        while True:
            try:
                await self.step()
            except (StoreError, SigningFailed) as problem:
                self._told(str(problem))
                await asyncio.sleep(_AFTER_TROUBLE_SECONDS)
            else:
                self._told(None)
                await asyncio.sleep(_LOOK_SECONDS)

    async def step(self) -> int:
        """What is due now; how many lists were signed. Raises StoreError, and SigningFailed when all is
        signed of which the key is at hand: what is not is still due."""
        now = self._clock.now()
        pause = min(self._rules().crl_lifetime / _LOOKS_IN_A_LIFETIME, _LOOK_AT_ALL_AT_LEAST)
        if self._looked_at_all is None or abs(now - self._looked_at_all) >= pause:
            await self._store.change(lambda work: _tidy(work, now))
            self._due |= dict.fromkeys(await self._store.read(shards_of))
            self._looked_at_all = now
        self._due |= dict.fromkeys(await self._store.read(self._touched))
        signed = 0
        without_key: dict[str, SigningFailed] = {}
        for shard in tuple(self._due):
            if shard.authority_id in without_key:
                continue
            try:
                signed += await self._store.run(partial(self._publish, shard))
            except SigningFailed as failed:  # the lists of other authorities need not wait for that key
                without_key[shard.authority_id] = failed
            else:
                del self._due[shard]
        for problem in without_key.values():
            raise problem
        return signed

    def _publish(self, shard: Shard, store: Store) -> bool:
        now, lifetime = self._clock.now(), self._rules().crl_lifetime
        return publish(store, self._keys, shard, now, lifetime) is not None

    def _touched(self, view: View) -> Sequence[Shard]:
        """By the changes since the last look."""
        head = view.feed.head()
        if self._seen is None or head == self._seen:
            self._seen = head
            return ()
        try:
            changes = view.feed.changes_after(self._seen, _CHANGES_AT_ONCE)
        except FeedBroken:
            self._seen = head
            return shards_of(view)
        self._seen = changes[-1].number if changes else head
        return _shards_touched(view, changes)

    def _told(self, problem: str | None) -> None:
        if problem != self._trouble:
            self._trouble = problem
            self._tell(problem)


def _shards_touched(view: View, changes: Sequence[Change]) -> Sequence[Shard]:
    if any(change.kind is ChangeKind.STATE_CHANGED for change in changes):
        return shards_of(view)  # there may be a new authority
    authorities = {each.issuer_hash.hex(): each for each in view.authorities.all()}
    touched: dict[Shard, None] = {}
    for change in changes:
        authority = authorities.get(str(change.payload.get("issuer")))
        if change.kind in _TOUCHING and authority is not None:
            serial_number = int(str(change.payload["serial"]), 16)
            touched[Shard(authority.id, shard_of(serial_number, authority.crl_shards))] = None
    return tuple(touched)


def _tidy(work: Work, now: datetime) -> None:
    occasion = job(now, lambda: str(uuid4()), uuid4().hex)
    abandon_reservations(work, occasion)
    retire_ended(work, occasion)
