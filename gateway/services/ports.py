"""The small doors through which the use cases reach the world. Each is owned here, by its consumer."""

from datetime import datetime
from typing import Protocol

from gateway.model.events import ChallengeAnswered, Event, SignOnDecided
from gateway.model.one_use import OneUseKeysFull as OneUseKeysFull
from gateway.model.one_use import OneUseKeysUnreachable as OneUseKeysUnreachable
from gateway.model.spooling import SystemLogFull as SystemLogFull


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        ...


class Randomness(Protocol):
    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes, fit for keys."""
        ...


class OneUseKeys(Protocol):
    """Keys that may be claimed once until they expire: assertion IDs, tickets."""

    async def is_claimed(self, key: str, now: datetime) -> bool: ...

    async def claim(self, key: str, until: datetime, now: datetime) -> bool:
        """True for the first claim of a key, False ever after until ``until``.

        Raises OneUseKeysFull when no more can be remembered: letting an unremembered key pass would let it
        pass twice. Raises OneUseKeysUnreachable when it cannot be told whether the key is claimed; it is not
        then.
        """
        ...


class SeenRequests(Protocol):
    """IDs of the AuthnRequests that were seen to leave an app for its identity provider."""

    def remember(self, app: str, request_id: str, now: datetime) -> None: ...

    async def is_from(self, app: str, request_id: str, now: datetime) -> bool | None:
        """True if the app sent it, False if another one did, None if it is not known."""
        ...


class SystemLog(Protocol):
    """Where sign-ons are kept for the System Log. Whether a full one stops them is its own setting."""

    def require_room(self) -> None:
        """Raises SystemLogFull where `keep` would."""
        ...

    def keep(self, event: SignOnDecided | ChallengeAnswered) -> None:
        """When it returns, the event outlives this process. Raises SystemLogFull."""
        ...


class EventSink(Protocol):
    def emit(self, event: Event) -> None:
        """Take an event for log and metrics. Never blocks, never raises."""
        ...
