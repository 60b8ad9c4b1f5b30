"""People and zones: ids on the wire, logins and names in documents.

A policy file may name users and groups that the store has never seen, and zones come and go. On the wire
these stand as ``login:ana@example.test`` and ``name:Contractors`` in the place of an id, so that nothing is
lost. An id never has a colon.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.model.quoting import printable
from gateway.policy.wire.refusal import Problem, WireRefused

LOGIN: Final = "login:"
NAME: Final = "name:"


class WireNames(Protocol):
    """Look-ups, None where there is no such thing. Logins are compared as `gateway.model.org.login_key`."""

    def user_id(self, login: str) -> str | None: ...
    def login(self, user_id: str) -> str | None: ...
    def group_id(self, name: str) -> str | None: ...
    def group_name(self, group_id: str) -> str | None: ...
    def zone_id(self, name: str) -> str | None: ...
    def zone_name(self, zone_id: str) -> str | None: ...


def user_ids(logins: Sequence[str], names: WireNames) -> list[str]:
    return [names.user_id(login) or LOGIN + login for login in logins]


def group_ids(group_names: Sequence[str], names: WireNames) -> list[str]:
    return [names.group_id(name) or NAME + name for name in group_names]


def zone_ids(zone_names: Sequence[str], names: WireNames) -> list[str]:
    return [names.zone_id(name) or NAME + name for name in zone_names]


def logins(ids: Sequence[str], names: WireNames, field: str) -> list[str]:
    """Raises WireRefused for an id that no user has."""
    return _names(ids, LOGIN, names.login, "user", field)


def group_names(ids: Sequence[str], names: WireNames, field: str) -> list[str]:
    return _names(ids, NAME, names.group_name, "group", field)


def zone_names(ids: Sequence[str], names: WireNames, field: str) -> list[str]:
    return _names(ids, NAME, names.zone_name, "zone", field)


def _names(
    ids: Sequence[str], prefix: str, look_up: Callable[[str], str | None], kind: str, field: str
) -> list[str]:
    found: list[str] = []
    problems: list[Problem] = []
    for index, wire_id in enumerate(ids):
        name = wire_id.removeprefix(prefix) if wire_id.startswith(prefix) else look_up(wire_id)
        if name is None:
            hint = f" (one without an id is written {prefix}…)"
            sentence = f"no {kind} has the id {printable(wire_id)}{hint}"
            problems.append(Problem(f"{field}[{index}]", sentence))
        else:
            found.append(name)
    if problems:
        raise WireRefused(*problems)
    return found
