"""``platforms``: the operating system, as the User-Agent says.

``other_desktop`` selects Linux, too: before Linux had a name of its own, it was one of the other desktops,
and a rule goes on to mean what it meant when it was written. ``linux`` selects Linux alone.

A User-Agent is a claim that anyone can make: see the lint rule ``spoofed-user-agent``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.model.decision import Match, Platform, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.reading import read_choices


@dataclass(frozen=True, slots=True)
class Platforms:
    """``selected`` is what the rule matches: Linux is there where other desktops are."""

    selected: frozenset[Platform]

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        return Match.MATCH if request.platform in self.selected else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        verb = "is" if request.platform in self.selected else "is not"
        named = (
            "other_desktop (which includes linux)" if platform is Platform.OTHER_DESKTOP else platform.value
            for platform in named_platforms(each for each in Platform if each in self.selected)
        )
        return f"{request.platform} {verb} among {', '.join(named)}"


def parse(raw: object) -> Platforms:
    """A list of platforms → Platforms. Raises PolicyInvalid."""
    return Platforms(selected_platforms(read_choices(raw, (), Platform)))


def selected_platforms(named: Iterable[Platform]) -> frozenset[Platform]:
    """What a rule that names these platforms selects."""
    selected = frozenset(named)
    return selected | {Platform.LINUX} if Platform.OTHER_DESKTOP in selected else selected


def named_platforms(selected: Iterable[Platform]) -> tuple[Platform, ...]:
    """The fewest names that select the same, in the given order."""
    platforms = tuple(selected)
    spare = Platform.LINUX if Platform.OTHER_DESKTOP in platforms else None
    return tuple(platform for platform in platforms if platform is not spare)
