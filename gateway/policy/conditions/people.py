"""``people``: who signs on. Users and groups, each with include and exclude.

Included is whoever is a listed user *or* a member of a listed group; excluded wins over included.
Left out means everyone: with no include list, or with the group ``Everyone``. Listing a user without
listing groups selects that user only.
"""

from dataclasses import dataclass
from typing import Final

from gateway.model.decision import Match, SignOnRequest
from gateway.model.quoting import printable
from gateway.policy.conditions import Zones
from gateway.policy.errors import PolicyInvalid, PolicyProblem
from gateway.policy.reading import read_mapping, read_names

EVERYONE: Final = "Everyone"


@dataclass(frozen=True, slots=True)
class People:
    """Users are compared without case (`str.casefold`; they are stored folded), groups exactly."""

    everyone: bool
    included_users: frozenset[str]
    included_groups: frozenset[str]
    excluded_users: frozenset[str]
    excluded_groups: frozenset[str]

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        user = request.user.casefold()
        if user in self.excluded_users or not self.excluded_groups.isdisjoint(request.groups):
            return Match.NOT_MATCH
        if (
            self.everyone
            or user in self.included_users
            or not self.included_groups.isdisjoint(request.groups)
        ):
            return Match.MATCH
        return Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        user = request.user.casefold()
        if user in self.excluded_users:
            return f"user {printable(request.user)} is excluded"
        if excluded := sorted(self.excluded_groups & request.groups):
            return f"group {printable(excluded[0])} is excluded"
        if self.everyone:
            return "everyone is included"
        if user in self.included_users:
            return f"user {printable(request.user)} is included"
        if included := sorted(self.included_groups & request.groups):
            return f"group {printable(included[0])} is included"
        return f"neither user {printable(request.user)} nor a group of theirs is included"


def parse(raw: object) -> People:
    """``{users: {include, exclude}, groups: {include, exclude}}`` → People. Raises PolicyInvalid."""
    people = read_mapping(raw, (), known=("users", "groups"))
    users = read_mapping(people.get("users", {}), ("users",), known=("include", "exclude"))
    groups = read_mapping(people.get("groups", {}), ("groups",), known=("include", "exclude"))
    included_users = _folded(users.get("include", []), "include")
    excluded_users = _folded(users.get("exclude", []), "exclude")
    default_groups = [] if included_users else [EVERYONE]
    included_groups = _groups(groups.get("include", default_groups), "include")
    excluded_groups = _groups(groups.get("exclude", []), "exclude")
    if EVERYONE in excluded_groups or not (included_users or included_groups):
        detail = f"selects nobody; groups: {{include: [{EVERYONE}]}} selects all"
        raise PolicyInvalid(PolicyProblem.SELECTS_NOBODY, (), detail)
    return People(
        everyone=EVERYONE in included_groups,
        included_users=included_users,
        included_groups=included_groups - {EVERYONE},
        excluded_users=excluded_users,
        excluded_groups=excluded_groups,
    )


def _folded(raw: object, key: str) -> frozenset[str]:
    return frozenset(name.casefold() for name in read_names(raw, ("users", key)))


def _groups(raw: object, key: str) -> frozenset[str]:
    names = read_names(raw, ("groups", key))
    for index, name in enumerate(names):
        # Groups are compared exactly: "everyone" would be a group that nobody is in.
        if name != EVERYONE and name.casefold() == EVERYONE.casefold():
            raise PolicyInvalid(
                PolicyProblem.UNKNOWN_VALUE,
                ("groups", key, index),
                f"{printable(name)} is not the built-in group",
                unknown=name,
                alternatives=(EVERYONE,),
            )
    return frozenset(names)
