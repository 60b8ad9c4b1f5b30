"""The org process, as the supervisor keeps it: started beside the workers, replaced when it ends or hangs.

Nothing of the data plane waits for it. Where it cannot be started the workers go on with what they have.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Never

from gateway.server.configuration import Configuration
from gateway.server.control import MAX_WAITING
from gateway.server.log import LogWriter
from gateway.server.org_socket import listen_for_org
from gateway.server.scrape import Families
from gateway.server.start_pauses import StartPauses
from gateway.server.worker_link import Hear, WorkerLink, WorkerLost, WorkerRefused

_START_SECONDS: Final = 120.0
_COUNT_SECONDS: Final = 5.0
# Handlers run in its event loop, one at a time.
_PING_SECONDS: Final = 10.0
_WATCH_SECONDS: Final = 5.0
_END_SECONDS: Final = 10.0
# Frames that it has not read; with that many, only what it has to know goes on.
_MANY_WAITING: Final = MAX_WAITING // 2


class OrgLink:
    """``configuration`` is the one in force. ``hears`` is told what the process says, ``changed`` when one
    has started or ended, ``has_ended`` what one counted that has ended."""

    def __init__(
        self,
        command: Sequence[str],
        log_lock: int,
        configuration: Callable[[], Configuration],
        hears: Mapping[str, Hear],
        changed: Callable[[], None],
        has_ended: Callable[[Families], None],
        log: LogWriter,
    ) -> None:
        self._command = command
        self._log_lock = log_lock
        self._configuration = configuration
        self._hears = hears
        self._changed = changed
        self._has_ended = has_ended
        self._log = log
        self._link: WorkerLink | None = None
        self._ends = False
        self._keeping: asyncio.Task[Never] | None = None

    @property
    def runs(self) -> bool:
        return self._link is not None

    @property
    def counted(self) -> Families:
        return {} if self._link is None else self._link.counted

    def start(self) -> None:
        """Begin to keep one running; nobody need wait for it."""
        self._keeping = asyncio.create_task(self._keep(), name="org process")

    async def run(self) -> None:
        """Until cancelled; ends otherwise only by a defect."""
        if self._keeping is not None:
            await self._keeping

    def tell(self, name: str, descriptors: Sequence[int] = (), **values: object) -> bool:
        """False where there is none, or one that reads too slowly to be told more now."""
        link = self._link
        if link is None or link.messages_waiting >= _MANY_WAITING:
            return False
        link.tell(name, descriptors, **values)
        return True

    def replace_configuration(self, configuration: Configuration) -> None:
        """A hint: one that cannot do with it goes on with what it has, and says so in the log."""
        self.tell(
            "configuration", (configuration.packed.descriptor,), read_at=configuration.read_at.isoformat()
        )

    async def count(self) -> None:
        if self._link is not None:
            with contextlib.suppress(WorkerLost, WorkerRefused):
                await self._link.count(_COUNT_SECONDS)

    def fail(self, detail: str) -> None:
        """It said what it must not say: it is ended, and another one begins anew."""
        link = self._link
        if link is not None:
            self._log.note("org_misspoke", process=link.process_id, detail=detail)
            link.kill()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Let it finish what it does, and end it."""
        self._ends = True
        link = self._link
        if link is not None:
            link.tell("drain")
            ending = asyncio.create_task(link.ended(), name="end of the org process")
            hurrying = asyncio.create_task(hurry.wait(), name="hurry")
            await asyncio.wait((ending, hurrying), timeout=_END_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in (ending, hurrying):
                task.cancel()
            await asyncio.gather(ending, hurrying, return_exceptions=True)
        await self.end_now()

    async def end_now(self) -> None:
        self._ends = True
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._link is not None:
            await self._link.end_now()

    async def _keep(self) -> Never:
        pauses = StartPauses()
        while True:
            pauses.started()
            try:
                link = await self._begin()
            except (WorkerRefused, WorkerLost, OSError) as problem:
                self._log.note("org_not_started", detail=str(problem))
            else:
                self._link = link
                self._log.note("org_started", process=link.process_id)
                self._changed()
                await self._until_it_ends(link)
            await asyncio.sleep(pauses.next_seconds())

    async def _until_it_ends(self, link: WorkerLink) -> None:
        watching = asyncio.create_task(self._watch(link), name="watch over the org process")
        try:
            status = await link.ended()
        finally:
            watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        self._link = None
        self._has_ended(link.counted)
        self._log.note("org_exited", process=link.process_id, exit_status=status)
        self._changed()
        if self._ends:
            await asyncio.Event().wait()  # until it is cancelled: no other one is wanted

    async def _begin(self) -> WorkerLink:
        """Raises WorkerRefused, WorkerLost, OSError. What was begun has ended then."""
        configuration = self._configuration()
        settings = configuration.material.settings
        link = await WorkerLink.spawn(self._command, self._hears)
        try:
            with listen_for_org(settings.keys_directory) as listening:
                await link.ask(
                    "start",
                    (self._log_lock, configuration.packed.descriptor, listening.fileno()),
                    seconds=_START_SECONDS,
                    config_path=settings.source,
                    read_at=configuration.read_at.isoformat(),
                    keys_directory=settings.keys_directory,
                )
        except BaseException:
            await link.end_now()
            raise
        if self._configuration() is not configuration:  # replaced while it started
            now = self._configuration()
            link.tell("configuration", (now.packed.descriptor,), read_at=now.read_at.isoformat())
        return link

    async def _watch(self, link: WorkerLink) -> Never:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if await link.hangs(_PING_SECONDS):
                self._log.note("org_hangs", process=link.process_id)
                link.kill()
