"""A small directory for tests of the wire: ids for some people, groups and zones, in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field


def _reverse(ids: Mapping[str, str]) -> dict[str, str]:
    return {wire_id: name for name, wire_id in ids.items()}


@dataclass(frozen=True)
class Directory:
    """Name → id. Satisfies `gateway.policy.wire.names.WireNames`."""

    users: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)

    def user_id(self, login: str) -> str | None:
        folded = {name.casefold(): wire_id for name, wire_id in self.users.items()}
        return folded.get(login.casefold())

    def login(self, user_id: str) -> str | None:
        return _reverse(self.users).get(user_id)

    def group_id(self, name: str) -> str | None:
        return self.groups.get(name)

    def group_name(self, group_id: str) -> str | None:
        return _reverse(self.groups).get(group_id)

    def zone_id(self, name: str) -> str | None:
        return self.zones.get(name)

    def zone_name(self, zone_id: str) -> str | None:
        return _reverse(self.zones).get(zone_id)


ANA = "00u00000000000000001"
BOB = "00u00000000000000002"
EVERYONE_ID = "00g00000000000000000"
IT = "00g00000000000000001"
OFFICE = "nzo00000000000000001"
LAB = "nzo00000000000000002"
NAMES = Directory(
    {"ana@example.test": ANA, "bob@example.test": BOB},
    {"Everyone": EVERYONE_ID, "IT": IT},
    {"office": OFFICE, "lab": LAB},
)
