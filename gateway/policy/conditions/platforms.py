"""``platforms``: the operating system, as the User-Agent says.

A User-Agent is a claim that anyone can make: see the lint rule ``spoofed-user-agent``.
"""

from dataclasses import dataclass

from gateway.model.decision import Match, Platform, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.reading import read_choices


@dataclass(frozen=True, slots=True)
class Platforms:
    selected: frozenset[Platform]

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        return Match.MATCH if request.platform in self.selected else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        verb = "is" if request.platform in self.selected else "is not"
        return f"{request.platform} {verb} among {', '.join(p for p in Platform if p in self.selected)}"


def parse(raw: object) -> Platforms:
    """A list of platforms → Platforms. Raises PolicyInvalid."""
    return Platforms(read_choices(raw, (), Platform))
