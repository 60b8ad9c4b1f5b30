"""``clients``: which kind of client, as its User-Agent says. For apps with ``client_conditions: true``.

A User-Agent is a claim that anyone can make: see the lint rule ``spoofed-user-agent``.
"""

from dataclasses import dataclass

from gateway.model.decision import Client, Match, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.reading import read_choices


@dataclass(frozen=True, slots=True)
class Clients:
    selected: frozenset[Client]

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        return Match.MATCH if request.client in self.selected else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        verb = "is" if request.client in self.selected else "is not"
        return f"{request.client} {verb} among {', '.join(c for c in Client if c in self.selected)}"


def parse(raw: object) -> Clients:
    """A list of clients → Clients. Raises PolicyInvalid."""
    return Clients(read_choices(raw, (), Client))
