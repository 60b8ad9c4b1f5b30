"""The supervisor's side of the org: one process that says what changes, and all workers that enforce it.

    org_state, changes    from the org process to every worker, by `OrgChanges`
    org_applied           from a worker: {change, refused} when it has done what one message said, on open
                          connections, too
    applied, workers      what the org process is told of it

The workers never wait for the org, but for one moment: when a gateway starts, so that it does not refuse for
want of a state what it would know a second later.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from gateway.server.configuration import Configuration
from gateway.server.control import Message
from gateway.server.log import LogWriter
from gateway.server.org_changes import OrgChanges, OrgMisspoke
from gateway.server.org_link import OrgLink
from gateway.server.scrape import Families
from gateway.server.worker_link import Hear, WorkerLink

# An org process begins in a second or two; a large store is read in some more.
_FIRST_STATE_SECONDS: Final = 15.0
_CATCH_UP_SECONDS: Final = 30.0
_TELL_AGAIN_SECONDS: Final = 0.05
_MAX_DETAIL_CHARACTERS: Final = 500


class OrgSupervision:
    """``has_ended`` is told what an org process counted that has ended, ``changed`` when something is said
    that concerns the workers, ``store_reachable`` what the org process finds."""

    def __init__(
        self,
        command: Sequence[str],
        log_lock: int,
        configuration: Callable[[], Configuration],
        has_ended: Callable[[Families], None],
        changed: Callable[[int], None],
        store_reachable: Callable[[bool], None],
        log: LogWriter,
    ) -> None:
        self._log = log
        self._changed = changed
        self._store_reachable = store_reachable
        self._changes = OrgChanges(self._tell_applied)
        self._untold: dict[int, int] = {}
        self._workers_untold = False
        self._tells_again: asyncio.TimerHandle | None = None
        self._store_down: str | None = None
        self._heard = asyncio.Event()
        self.link = OrgLink(
            command,
            log_lock,
            configuration,
            {"org_state": self._take_state, "changes": self._take_changes, "store": self._take_store},
            self._process_changed,
            has_ended,
            log,
        )

    async def first_state(self) -> None:
        """Until there is a state, or it is known that there will be none for now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_STATE_SECONDS):
                await self._heard.wait()

    def not_ready(self) -> list[str]:
        """Why nothing can be trusted now."""
        if self._changes.number is not None:
            return []
        return [f"org: state not loaded{'' if self._store_down is None else f' {self._store_down}'}"]

    def degraded(self) -> list[str]:
        """What does not keep sign-ons from being judged, and should not stay so."""
        if self._changes.number is None or self._store_down is None:
            return []
        return [f"org: not following {self._store_down}"]

    # The workers.

    def worker_hears(self, worker: int) -> Hear:
        """What takes `org_applied` of a worker."""

        def hear(message: Message) -> None:
            message.close_descriptors()
            refused = message.values.get("refused")
            if refused:
                self._log.note(
                    "org_state_refused", worker=worker, detail=str(refused)[:_MAX_DETAIL_CHARACTERS]
                )
            self._changes.took(worker, message.values.get("change"))

        return hear

    async def worker_begins(self, worker: int, link: WorkerLink) -> None:
        """To be waited for before it listens: it then knows what all others know."""
        self._changes.begin(worker, link.tell)
        self._workers_untold = True
        self._tell_again()
        await self._changes.caught_up(worker, _CATCH_UP_SECONDS)

    def worker_ended(self, worker: int) -> None:
        self._changes.end(worker)
        self._untold.pop(worker, None)
        self._workers_untold = True
        self._tell_again()

    # The org process.

    def _take_state(self, message: Message) -> None:
        self._take(self._changes.take_state, message)

    def _take_changes(self, message: Message) -> None:
        self._take(self._changes.take_changes, message)

    def _take(self, take: Callable[[Message], None], message: Message) -> None:
        try:
            take(message)
        except OrgMisspoke as misspoke:
            self.link.fail(str(misspoke))
            return
        self._heard.set()
        self._changed(self._changes.number or 0)

    def _take_store(self, message: Message) -> None:
        message.close_descriptors()
        values = message.values
        reachable = values.get("reachable") is True
        since, detail = _moment(values.get("since")), str(values.get("detail", ""))[:_MAX_DETAIL_CHARACTERS]
        before, self._store_down = self._store_down, None if reachable else f"since {since}: {detail}"
        self._store_reachable(reachable)
        if not reachable:
            self._heard.set()
        if (before is None) != reachable:
            self._log.note(
                "store_reachable" if reachable else "store_unreachable", since=since, detail=detail
            )

    def _process_changed(self) -> None:
        """One has started, and knows nothing of the workers yet; or one has ended."""
        self._workers_untold = True
        self._untold = {w: number for w, number in self._changes.applied.items() if number is not None}
        self._tell_again()

    def _tell_applied(self, worker: int, number: int) -> None:
        self._untold[worker] = number
        self._tell_again()

    def _tell_again(self) -> None:
        """Tell what is untold: of each worker only the last. One that reads slowly is told later."""
        if self._tells_again is not None:
            self._tells_again.cancel()
            self._tells_again = None
        if not self.link.runs:
            return
        if self._workers_untold:
            self._workers_untold = not self.link.tell("workers", live=sorted(self._changes.applied))
        while self._untold and not self._workers_untold:
            worker, number = next(iter(self._untold.items()))
            if not self.link.tell("applied", worker=worker, number=number):
                break
            del self._untold[worker]
        if self._untold or self._workers_untold:
            self._tells_again = asyncio.get_running_loop().call_later(_TELL_AGAIN_SECONDS, self._tell_again)


def _moment(value: object) -> str:
    """As it was sent, if it is a moment at all: it goes into a line of text."""
    try:
        return datetime.fromisoformat(str(value)).isoformat()
    except ValueError:
        return "an unknown moment"
