"""Requests as the use cases see them: parsed, bounded, and with the address they really came from."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.model.decision import IPAddress
from gateway.model.device import PeerCertificate
from gateway.services.snapshot import App


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to an app host. ``target`` is without our ticket parameter; ``cookies`` are ours only."""

    app: App
    method: str
    target: bytes
    ticket: str | None
    cookies: Mapping[bytes, bytes]
    ip: IPAddress
    user_agent: str | None
    origin: str | None
    reference_id: str
    navigation: bool = False  # a person looks at the answer: pages and redirects make sense

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("latin-1")


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """A form that was posted to an assertion endpoint, whole and bounded."""

    arrival: Arrival
    content_type: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class ChallengeArrival:
    """A request to ``/challenge`` on a random label under the mTLS domain."""

    label: str
    method: str
    flow_token: str
    peer: PeerCertificate | None
    ip: IPAddress
    reference_id: str
