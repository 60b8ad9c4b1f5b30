"""The System Log's end in a worker: sign-on events go to the spool, or nowhere where there is no store.

Both are a `SystemLog` of the use cases.
"""

from collections.abc import Callable

from gateway.adapters.spool import Spool
from gateway.model.events import ChallengeAnswered, SignOnDecided
from gateway.model.settings import SystemLogSettings
from gateway.model.spooling import SystemLogFull
from gateway.system_log.spooled import encode_event


class NoSystemLog:
    """Without a store nothing is spooled, and no JSON is made."""

    def apply(self, settings: SystemLogSettings) -> None:
        return

    def require_room(self) -> None:
        return

    def keep(self, event: SignOnDecided | ChallengeAnswered) -> None:
        return


class SpooledSystemLog:
    """Where sign-ons go on when the spool is full, what goes lost is told to ``unlogged``."""

    def __init__(self, spool: Spool, settings: SystemLogSettings, unlogged: Callable[[], None]) -> None:
        self._spool = spool
        self._unlogged = unlogged
        self.apply(settings)

    def apply(self, settings: SystemLogSettings) -> None:
        """A new configuration."""
        self._refuses = settings.refuses_when_full
        self._spool.limit_bytes = settings.spool_limit_bytes

    def require_room(self) -> None:
        if self._refuses:
            self._spool.require_room()

    def keep(self, event: SignOnDecided | ChallengeAnswered) -> None:
        try:
            self._spool.append((encode_event(event),))
        except SystemLogFull:
            if self._refuses:
                raise
            self._unlogged()
