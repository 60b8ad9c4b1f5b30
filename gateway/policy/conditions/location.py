"""``location``: where the request comes from. ``anywhere``, ``{in_zones: […]}`` or ``{not_in_zones: […]}``.

The address is the peer's, or what a trusted proxy says of it; which of them is not decided here.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address

from gateway.model.decision import IPAddress, Match, SignOnRequest
from gateway.model.quoting import printable
from gateway.policy.conditions import Zones
from gateway.policy.errors import PolicyInvalid, PolicyProblem
from gateway.policy.reading import read_mapping, read_names


@dataclass(frozen=True, slots=True)
class Location:
    """``zone_names`` is empty for anywhere. ``inside`` False means: in none of them."""

    zone_names: tuple[str, ...]
    inside: bool

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        if not self.zone_names:
            return Match.MATCH
        found = _find(self.zone_names, request.ip, zones)
        if found is None:
            return Match.UNDEFINED
        return Match.MATCH if bool(found) is self.inside else Match.NOT_MATCH

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        if not self.zone_names:
            return "anywhere"
        found = _find(self.zone_names, request.ip, zones)
        if found is None:
            missing = [name for name in self.zone_names if name not in zones]
            return f"zone {printable(missing[0])} is not defined"
        if found:
            return f"{request.ip} is in zone {printable(found)}"
        return f"{request.ip} is in none of the zones {', '.join(map(printable, self.zone_names[:5]))}"


def _find(zone_names: tuple[str, ...], ip: IPAddress, zones: Zones) -> str | None:
    """The first of the zones that holds the address, "" for none of them, None if one is not defined:
    a zone that cannot be looked up must not read as "not in it"."""
    # ::ffff:10.0.0.1 is how a dual-stack socket spells 10.0.0.1 (RFC 4291 §2.5.5.2).
    address = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
    holder = ""
    for name in zone_names:
        zone = zones.get(name)
        if zone is None:
            return None
        if not holder and any(address in network for network in zone.networks):
            holder = name
    return holder


def parse(raw: object) -> Location:
    """Raises PolicyInvalid. Whether the zones exist is known only with the gateway's settings: see
    `gateway.policy.rules.compile_policy` and the lint rule ``unknown-zone``."""
    if raw == "anywhere":
        return Location((), inside=True)
    if isinstance(raw, str):
        raise PolicyInvalid(
            PolicyProblem.UNKNOWN_VALUE,
            (),
            f"unknown value {printable(raw)}; expected anywhere, {{in_zones: […]}} or {{not_in_zones: […]}}",
        )
    location = read_mapping(raw, (), known=("in_zones", "not_in_zones"))
    if len(location) != 1:
        raise PolicyInvalid(PolicyProblem.WRONG_TYPE, (), "expected one of in_zones and not_in_zones")
    [(key, names)] = location.items()
    zone_names = read_names(names, (key,))
    if not zone_names:
        detail = "an empty list of zones; write location: anywhere to select every place"
        raise PolicyInvalid(PolicyProblem.SELECTS_NOBODY, (key,), detail)
    return Location(zone_names, inside=key == "in_zones")
