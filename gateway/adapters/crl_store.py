"""The CRLs of all authorities, kept current: files are watched, URLs are fetched before nextUpdate.

A source is one location of one authority. Its content is read, fetched and parsed elsewhere (other modules,
threads, processes); what comes of it is applied here, on the event loop, to one `RevocationIndex`, and the
finished index is handed on as a whole. Nothing raises for a bad CRL: it is reported, what was held stays, and
where nothing is held the index says UNKNOWN.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Final, Never, ParamSpec, Protocol, TypeVar

from gateway.adapters.crl_content import CrlContent
from gateway.adapters.crl_fetch import CrlFetchFailed, fetch_crl
from gateway.adapters.crl_files import (
    CrlCache,
    CrlFileUnusable,
    file_identity,
    read_crl_file,
)
from gateway.adapters.crl_parsing import is_parsed_apart, parse_crls
from gateway.adapters.crl_source import CrlPace, CrlSource
from gateway.adapters.file_watch import watch_files
from gateway.pki.authority import Authority
from gateway.pki.crl import CrlReason, CrlRejected, CrlScope, CrlSnapshot
from gateway.pki.revocation import HeldCrl, RevocationIndex

# For a disk that hangs. Longer than a child process may take to parse, which then says so itself.
_THREAD_SECONDS: Final = 60.0

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        ...


class CrlReport(Protocol):
    """Told on the event loop. A failure is told once, until it is another one or is over. A CRL that is past
    nextUpdate is one, also where the authority allows that for a while."""

    def crl_loaded(
        self, authority: str, location: str, crl_number: int | None, entries: int, next_update: datetime
    ) -> None:
        """A CRL is in force that was not, or its source works again."""
        ...

    def crl_failed(self, authority: str, location: str, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CrlState:
    """How one location stands. ``next_update`` is the earliest of the CRLs that it gave, None if it gave
    none; ``fresh`` is what the trust decision goes by, with what the authority allows a stale CRL. ``detail``
    may tell of a failure while what is held is still fresh."""

    authority: str
    location: str
    next_update: datetime | None
    fresh: bool
    detail: str


class CrlStore:
    """Made, loaded and run on one event loop.

    ``on_change`` gets every new index, on the loop, after the last CRL of a step is applied.
    ``cache_directory`` (None: no cache) keeps what URLs answered. At start it is read first: it bridges a
    URL that is down, and it keeps a CRL number from going back over a restart.
    """

    def __init__(
        self,
        authorities: Sequence[Authority],
        cache_directory: str | None,
        clock: Clock,
        on_change: Callable[[RevocationIndex], None],
        report: CrlReport,
        *,
        pace: CrlPace | None = None,
        randomness: Callable[[], float] | None = None,
    ) -> None:
        self._cache = None if cache_directory is None else CrlCache(cache_directory)
        self._clock = clock
        self._on_change = on_change
        self._report = report
        self._pace = pace or CrlPace()
        self._randomness = randomness or SystemRandom().random
        self._sources = tuple(CrlSource(a, location) for a in authorities for location in _locations(a))
        self._index = self._published = RevocationIndex()
        self._replaced = asyncio.Event()
        self._forgets_when_tried = False
        self._is_loading = False
        # One large CRL at a time: parsing takes several times its memory. Small ones do not wait for it.
        self._parsing = asyncio.Lock()

    @property
    def index(self) -> RevocationIndex:
        return self._published

    async def load(self) -> None:
        """Read all files, and ask all URLs at once, none longer than ``pace.first_fetch_timeout``. Raises
        nothing for CRLs that are bad or missing. ``on_change`` is called once, at the end."""
        self._is_loading = True
        try:
            async with asyncio.TaskGroup() as group:
                for source in self._sources:
                    group.create_task(self._load_first(source), name=f"first load of {source.location}")
        finally:
            self._is_loading = False
        self._settle()

    async def run(self) -> Never:
        """Keep all CRLs current until cancelled."""
        while True:
            self._replaced.clear()
            sources = self._sources
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._keep_fetching(source), name=f"CRL {source.location}")
                    for source in sources
                    if source.is_url
                ]
                if files := [source for source in sources if not source.is_url]:
                    tasks.append(group.create_task(self._keep_reading(files), name="CRL files"))
                await self._replaced.wait()
                for task in tasks:
                    task.cancel()

    def replace_authorities(self, authorities: Sequence[Authority]) -> None:
        """Follow a new configuration: `run` drops the locations that are gone and loads those that are new.

        A location that stays is not read again unless its authority's certificates changed. What is held
        stays held, so that numbers never go back. Only once every new location was tried is that forgotten
        which no location gives any more; a CRL that moved to a place that fails stays in force.
        """
        former = {(source.authority.name, source.location): source for source in self._sources}
        sources: list[CrlSource] = []
        for authority in authorities:
            for location in _locations(authority):
                known = former.get((authority.name, location))
                sources.append(known.succeeded_by(authority) if known else CrlSource(authority, location))
        self._sources = tuple(sources)
        self._forgets_when_tried = True
        self._replaced.set()

    def freshness(self, now: datetime) -> tuple[CrlState, ...]:
        """How every location stands at ``now``, in the order of the configuration."""
        return tuple(self._state(source, now) for source in self._sources)

    # Reading and fetching.

    async def _load_first(self, source: CrlSource) -> None:
        if source.is_url:
            await self._read_cached(source)
            await self._fetch(source, self._pace.first_fetch_timeout)
        else:
            await self._read(source)

    async def _keep_fetching(self, source: CrlSource) -> Never:
        await self._read_cached(source)
        self._settle()
        while True:
            await self._until_due(source)
            await self._fetch(source, self._pace.fetch_timeout)
            self._settle()

    async def _until_due(self, source: CrlSource) -> None:
        """Waits in small steps: the clock may be set, and stands still for this loop while the machine
        sleeps. What has gone stale by that is asked for at once."""
        loop = asyncio.get_running_loop()
        while (left := source.next_fetch - loop.time()) > 0:
            await asyncio.sleep(min(left, self._pace.earliest))
            if not source.failures and source.left(self._clock.now()) <= timedelta(0):
                return

    async def _keep_reading(self, sources: Sequence[CrlSource]) -> Never:
        bells = [asyncio.Event() for _ in sources]

        async def ring() -> None:
            for bell in bells:
                bell.set()

        async with asyncio.TaskGroup() as group:
            for source, bell in zip(sources, bells, strict=True):
                reading = self._keep_reading_one(source, bell)
                group.create_task(reading, name=f"CRL file {source.location}")
            await watch_files([s.location for s in sources], ring, poll_seconds=self._pace.file_poll)

    async def _keep_reading_one(self, source: CrlSource, bell: asyncio.Event) -> Never:
        """Each file by itself: a small one does not wait until a large one is read."""
        while True:
            await bell.wait()
            bell.clear()
            try:
                found = await _in_thread(file_identity, source.location)
            except TimeoutError:
                found = None
            if found is None or found != source.identity:
                await self._read(source)
            self._settle()

    async def _read(self, source: CrlSource) -> None:
        try:
            file = await _in_thread(read_crl_file, source.location)
            async with _discarding(file.content):
                await self._take(source, file.content)
            source.identity = file.identity
            source.unreachable = ""
        except (CrlFileUnusable, TimeoutError) as problem:
            source.identity = None
            source.unreachable = _sentence(problem)
        source.was_tried = True

    async def _fetch(self, source: CrlSource, within_seconds: float) -> None:
        # Some servers say "not modified" for ever: when a new CRL is due, the whole of it is asked for.
        known = source.validators if source.left(self._clock.now()) > timedelta(0) else None
        try:
            fetched = await fetch_crl(source.location, known, within_seconds=within_seconds)
            if fetched is not None:
                async with _discarding(fetched.content):
                    is_new = await self._take(source, fetched.content)
                    source.validators = None if source.refused else fetched.validators
                    source.unreachable = ""
                    if is_new and not source.refused:
                        if not self._is_loading:
                            self._settle()  # before it is kept: no revocation waits for a disk
                        await self._keep_in_cache(source, fetched.content)
            source.unreachable = ""
        except (CrlFetchFailed, CrlFileUnusable, TimeoutError) as problem:
            source.unreachable = _sentence(problem)
        source.was_tried = True
        self._schedule(source)

    def _schedule(self, source: CrlSource) -> None:
        if source.unreachable or source.refused:
            source.failures += 1
            delay = self._pace.after_failures(source.failures, self._randomness())
        else:
            source.failures = 0
            delay = self._pace.after_success(source.left(self._clock.now()), self._randomness())
        source.next_fetch = asyncio.get_running_loop().time() + delay

    async def _read_cached(self, source: CrlSource) -> None:
        if source.was_cache_read or self._cache is None:
            return
        source.was_cache_read = True
        try:
            content = await _in_thread(self._cache.read, source.location)
            if content is not None:
                async with _discarding(content):
                    await self._take(source, content)
                if source.refused:
                    source.cache_problem = f"its copy in the cache is refused: {'; '.join(source.refused)}"
        except (CrlFileUnusable, TimeoutError) as problem:
            source.cache_problem = f"its copy in the cache: {_sentence(problem)}"

    async def _keep_in_cache(self, source: CrlSource, content: CrlContent) -> None:
        if self._cache is None:
            return
        try:
            await _in_thread(self._cache.keep, source.location, content)
            source.cache_problem = ""
        except (CrlFileUnusable, TimeoutError) as problem:
            source.cache_problem = _sentence(problem)

    # Applying.

    async def _take(self, source: CrlSource, content: CrlContent) -> bool:
        """Look into content and apply what is good in it; False if it is the same as the last time.
        Raises CrlFileUnusable, and TimeoutError."""
        if content.sha256 == source.content_sha256:
            return False
        apart = is_parsed_apart(content.memory, at_start=self._is_loading)
        async with self._parsing if apart else nullcontext():
            results = await _in_thread(parse_crls, content.memory, source.authority.certificates, apart=apart)
        source.accepted = source.waiting = ()
        source.content_sha256 = content.sha256
        source.refused = tuple(r.detail for r in results if isinstance(r, CrlRejected))
        for crl in results:
            if isinstance(crl, CrlSnapshot):
                self._apply(source, crl)
        return True

    def _apply(self, source: CrlSource, crl: CrlSnapshot) -> None:
        """Lay a CRL into the index, let it wait for its base, or note why it is refused."""
        try:
            updated = self._index.with_crl(crl)
        except CrlRejected as refused:
            if refused.reason is CrlReason.BASE_MISSING:
                source.waiting = (*source.waiting, crl)
                return
            if not self._is_contained(crl):
                source.refused = (*source.refused, refused.detail)
                return
            updated = self._index
        source.accepted = (*source.accepted, crl)
        source.given.add((crl.issuer, crl.scope))
        if updated is not self._index:
            self._index = updated
            source.untold = (*source.untold, crl)

    def _is_contained(self, crl: CrlSnapshot) -> bool:
        """Whether a delta CRL is not newer than the full one that is held: authorities often publish the full
        one first, and it says all that the delta CRL did."""
        held = self._held(crl.issuer, crl.scope)
        return crl.is_delta and held is not None and crl.number <= held.full.number

    def _settle(self) -> None:
        """After each step: try waiting delta CRLs again, hand on the index, tell what failed or recovered."""
        for source in self._sources:
            waiting, source.waiting = source.waiting, ()
            for crl in waiting:
                self._apply(source, crl)
        if self._forgets_when_tried and all(source.was_tried for source in self._sources):
            self._forgets_when_tried = False
            self._forget_what_is_gone()
        if self._index is not self._published:
            self._published = self._index
            self._on_change(self._index)
        for source in self._sources:
            self._tell(source)

    def _forget_what_is_gone(self) -> None:
        given = {key for source in self._sources for key in source.given}
        empty = {c.issuer_hash for s in self._sources if not s.given for c in s.authority.certificates}
        issuers = dict.fromkeys(c.issuer_hash for s in self._sources for c in s.authority.certificates)
        kept = RevocationIndex()
        for issuer in issuers:
            for held in self._index.held_for(issuer):
                if issuer in empty or (issuer, held.full.scope) in given:
                    kept = kept.with_crl(held.full)
                    kept = kept if held.delta is None else kept.with_crl(held.delta)
        self._index = kept

    # Telling.

    def _tell(self, source: CrlSource) -> None:
        # A CRL that goes stale is a failure too, though nothing happens at that moment.
        failure = self._state(source, self._clock.now()).detail if source.was_tried else ""
        was, source.told = source.told, (failure, source.cache_problem)
        for before, after in zip(was, source.told, strict=True):
            if after and after != before:
                self._report.crl_failed(source.authority.name, source.location, after)
        works_again = bool(was[0]) and not failure
        for crl in source.accepted if works_again else source.untold:
            self._report.crl_loaded(
                source.authority.name, source.location, crl.number, len(crl.revoked), crl.next_update
            )
        source.untold = ()

    def _state(self, source: CrlSource, now: datetime) -> CrlState:
        held = [held for key in source.given if (held := self._held(*key)) is not None]
        next_update = min((crl.next_update for crl in held), default=None)
        allowed = source.authority.settings.stale_crl_allowed_for or timedelta(0)
        detail = source.failure
        if next_update is None:
            detail = detail or "not loaded yet"
        elif now > next_update:
            overdue = f"its successor was due on {next_update:%Y-%m-%d %H:%M} UTC"
            detail = f"{overdue}; {detail}" if detail else overdue
        fresh = next_update is not None and now - allowed <= next_update
        return CrlState(source.authority.name, source.location, next_update, fresh, detail)

    def _held(self, issuer: bytes, scope: CrlScope) -> HeldCrl | None:
        return next((h for h in self._index.held_for(issuer) if h.full.scope == scope), None)


def _locations(authority: Authority) -> tuple[str, ...]:
    return tuple(dict.fromkeys(authority.settings.crls))


@asynccontextmanager
async def _discarding(content: CrlContent) -> AsyncIterator[None]:
    """Gives the memory back in a thread: for 100 MB that takes milliseconds, which the loop does not have."""
    try:
        yield
    finally:
        await _in_thread(content.memory.close)


def _sentence(problem: CrlFetchFailed | CrlFileUnusable | TimeoutError) -> str:
    return f"takes longer than {_THREAD_SECONDS:g} s" if isinstance(problem, TimeoutError) else problem.detail


async def _in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Raises TimeoutError; the thread itself cannot be stopped, and what it does then goes nowhere."""
    async with asyncio.timeout(_THREAD_SECONDS):
        return await asyncio.to_thread(function, *arguments, **named)
