"""Messages that are on their way to the challenge and back, so that each is verified once and not twice.

The browser carries the message through the challenge and posts it again, and nothing that the gateway holds
binds it to what was verified but its digest. The second verification would be of the very same bytes. So
what came of the first is kept for the time of the way, and stands for the second, if all that it rested on is
the same:

- the form: SHA-256 over its canonical bytes, which are what the app gets. Who finds a second form for one
  digest could as well find a second assertion for one signature.
- the app, its endpoint, the keys and settings of its identity provider: the `App` of the present
  configuration must be the very same object; any reload makes new ones.
- the time: no date in the message has been reached since that would change an answer, and the clock was not
  set back.

Not kept, and so asked again by the caller: whether the assertion was used, whether the metadata has ended,
and whether a request of the app is answered. Whatever is not here, another worker's message too, is verified
as if it came for the first time.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.federation.expectation import VerifiedMessage
from gateway.model.identity import Identity
from gateway.proxy.tokens import FLOW_LIFETIME_SECONDS, TICKET_LIFETIME_SECONDS
from gateway.services.arrivals import Arrival
from gateway.services.snapshot import App

# 1 to 2 KB each; of more than these under way, the oldest are verified twice.
MAX_EXPECTED_MESSAGES: Final = 4_096
# Larger ones are mostly group names, each of which would be held.
MAX_EXPECTED_BODY_BYTES: Final = 32_768
_LIFETIME: Final = timedelta(seconds=FLOW_LIFETIME_SECONDS + TICKET_LIFETIME_SECONDS)


@dataclass(frozen=True, slots=True)
class ExpectedMessage:
    """What a verification found out, without the message itself."""

    app: App
    identity: Identity
    replay_key: str
    replay_until: datetime
    in_response_to: str | None
    verified_at: datetime
    stands_until: datetime


class VerifiedMessages:
    """In memory of one worker, bounded in number, size and age."""

    def __init__(self, limit: int = MAX_EXPECTED_MESSAGES) -> None:
        self._limit = limit
        self._expected: OrderedDict[tuple[str, str, str], ExpectedMessage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, arrival: Arrival, body_digest: str, verified: VerifiedMessage, now: datetime) -> None:
        """A message that was verified just now is sent on to the challenge."""
        if len(verified.rebuilt_body) > MAX_EXPECTED_BODY_BYTES:
            return
        key = _key(arrival, body_digest)
        self._expected.pop(key, None)
        self._expected[key] = ExpectedMessage(
            arrival.app,
            verified.identity,
            verified.replay_key,
            verified.replay_until,
            verified.in_response_to,
            now,
            min(verified.steady_until, now + _LIFETIME),
        )
        self._forget(now)

    def take(self, arrival: Arrival, body_digest: str, now: datetime) -> ExpectedMessage | None:
        """What is known of a message that comes back; None if it has to be verified. It is forgotten here: it
        comes back once."""
        found = self._expected.pop(_key(arrival, body_digest), None)
        if found is None or found.app is not arrival.app:
            return None
        return found if found.verified_at <= now < found.stands_until else None

    def _forget(self, now: datetime) -> None:
        """The oldest go first, so what never came back leaves with the ones that come after it."""
        if len(self._expected) > self._limit:
            self._expected.popitem(last=False)
        for _ in range(2):
            key = next(iter(self._expected))
            if self._expected[key].verified_at + _LIFETIME > now:
                return
            del self._expected[key]


def _key(arrival: Arrival, body_digest: str) -> tuple[str, str, str]:
    return arrival.app.settings.name, arrival.path, body_digest
