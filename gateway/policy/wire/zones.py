"""A zone ↔ the IP network zone of the Okta API.

A zone of the store is a document ``{gateways: [{type: CIDR | RANGE, value}], cidrs: […]}``: the gateways as
they were written, and the networks that they come to, which is what policies look at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network, summarize_address_range
from typing import Any, Final

from gateway.model.quoting import printable
from gateway.model.settings import IPNetwork
from gateway.policy.errors import PolicyInvalid
from gateway.policy.reading import read_text
from gateway.policy.wire.refusal import Problem, WireRefused, gather, read_object, refused, shown
from gateway.policy.wire.rules import time_text

ZONE_TYPE: Final = "IP"
MAX_ZONE_NAME_CHARACTERS: Final = 128  # of the Okta API
# As in gateway.yaml; a range is at most as many networks as an address has bits, twice.
MAX_GATEWAYS: Final = 1_000
MAX_NETWORKS: Final = 1_000
MAX_ADDRESS_CHARACTERS: Final = 100
_KNOWN: Final = (
    *("id", "name", "type", "status", "usage", "system", "gateways", "proxies", "useAsExemptList"),
    *("source", "created", "lastUpdated", "_links", "_embedded", "enforcement"),
)
_DYNAMIC: Final = ("asns", "locations", "proxyType", "ipServiceCategories")


@dataclass(frozen=True, slots=True)
class ZoneOnWire:
    """``gateways`` are (type, value); ``source`` is file or store."""

    id: str
    name: str
    gateways: tuple[tuple[str, str], ...]
    active: bool
    source: str
    created: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class ZoneWritten:
    name: str
    document: Mapping[str, Any]
    active: bool | None  # None: nothing said


def zone_wire(zone: ZoneOnWire, url: str) -> dict[str, Any]:
    """``url`` is that of the zone."""
    turn = "deactivate" if zone.active else "activate"
    return {
        "id": zone.id,
        "name": zone.name,
        "type": ZONE_TYPE,
        "status": "ACTIVE" if zone.active else "INACTIVE",
        "usage": "POLICY",
        "system": False,
        "gateways": [{"type": kind, "value": value} for kind, value in zone.gateways],
        "proxies": None,
        "source": zone.source,
        "created": time_text(zone.created),
        "lastUpdated": time_text(zone.last_updated),
        "_links": {
            "self": {"href": url, "hints": {"allow": ["GET", "PUT", "DELETE"]}},
            turn: {"href": f"{url}/lifecycle/{turn}", "hints": {"allow": ["POST"]}},
        },
    }


def zone_gateways(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(type, value) out of a document of the store."""
    return tuple((gateway["type"], gateway["value"]) for gateway in document["gateways"])


def zone_cidrs(document: Mapping[str, Any]) -> list[str]:
    """The networks out of a document of the store."""
    return list(document["cidrs"])


def document_of(networks: Sequence[IPNetwork]) -> dict[str, Any]:
    """The document of a zone that is written as networks, as in gateway.yaml."""
    cidrs = [str(network) for network in networks]
    return {"gateways": [{"type": "CIDR", "value": cidr} for cidr in cidrs], "cidrs": cidrs}


def zone_document(raw: object) -> ZoneWritten:
    """What a body asks for. Raises WireRefused with all that is wrong."""
    if isinstance(raw, Mapping):
        kind = ZONE_TYPE if raw.get("type") is None else raw["type"]
        dynamic = [key for key in _DYNAMIC if raw.get(key) is not None]
        if kind != ZONE_TYPE or dynamic:
            sentence = "the gateway knows no locations, networks by number or proxy types"
            field = "type" if kind != ZONE_TYPE else dynamic[0]
            raise refused(
                field, f"must be IP, not {shown(kind)}: {sentence}" if field == "type" else sentence
            )
    body = read_object(raw, "", (*_KNOWN, *_DYNAMIC))
    problems: list[Problem] = []
    if body.get("usage", "POLICY") != "POLICY":
        sentence = "must be POLICY: nothing is blocked by zone; write a rule that denies"
        problems.append(Problem("usage", sentence))
    if body.get("proxies"):
        problems.append(Problem("proxies", "proxies are believed by trusted_proxies in gateway.yaml only"))
    if body.get("useAsExemptList", False) is not False:
        problems.append(Problem("useAsExemptList", "there is no block list to be exempt from"))
    if body.get("system", False) is not False:
        problems.append(Problem("system", "no zone is"))
    status = body.get("status")
    if status not in (None, "ACTIVE", "INACTIVE"):
        problems.append(Problem("status", f"must be ACTIVE or INACTIVE, not {shown(status)}"))
    name = gather(problems, _name, body.get("name"))
    document = gather(problems, _document, body.get("gateways"))
    if problems or name is None or document is None:
        raise WireRefused(*problems)
    return ZoneWritten(name, document, None if status is None else status == "ACTIVE")


def _name(raw: object) -> str:
    if raw is None:
        raise refused("name", "is missing")
    try:
        return read_text(raw, (), limit=MAX_ZONE_NAME_CHARACTERS)
    except PolicyInvalid as error:
        raise refused("name", error.detail) from None


def _document(raw: object) -> dict[str, Any]:
    if not isinstance(raw, list) or not 0 < len(raw) <= MAX_GATEWAYS:
        raise refused("gateways", f"must be a list of 1 to {MAX_GATEWAYS} networks")
    problems: list[Problem] = []
    gateways: list[dict[str, str]] = []
    cidrs: dict[str, None] = {}
    for index, item in enumerate(raw):
        read = gather(problems, _gateway, item, f"gateways[{index}]")
        if read is not None:
            kind, value, networks = read
            gateways.append({"type": kind, "value": value})
            cidrs |= dict.fromkeys(map(str, networks))
    if problems:
        raise WireRefused(*problems)
    if len(cidrs) > MAX_NETWORKS:
        raise refused("gateways", f"come to {len(cidrs)} networks; at most {MAX_NETWORKS} are looked at")
    return {"gateways": gateways, "cidrs": list(cidrs)}


def _gateway(raw: object, field: str) -> tuple[str, str, list[IPNetwork]]:
    gateway = read_object(raw, field, ("type", "value"))
    kind, value = gateway.get("type"), gateway.get("value")
    if not isinstance(value, str) or len(value) > MAX_ADDRESS_CHARACTERS:
        raise refused(f"{field}.value", "must be text such as 10.0.0.0/8")
    match kind:
        case "CIDR":
            try:
                return "CIDR", value, [ip_network(value)]
            except ValueError:
                sentence = f"{printable(value)} is not a network in CIDR form, or has bits after the prefix"
                raise refused(f"{field}.value", sentence) from None
        case "RANGE":
            return "RANGE", value, _range(value, f"{field}.value")
        case _:
            raise refused(f"{field}.type", f"must be CIDR or RANGE, not {shown(kind)}")


def _range(value: str, field: str) -> list[IPNetwork]:
    first, _, last = value.partition("-")
    try:
        start, end = ip_address(first.strip()), ip_address(last.strip())
        return list(summarize_address_range(start, end))  # TypeError: of two versions
    except (ValueError, TypeError):
        raise refused(field, f"{printable(value)} is not a range such as 10.0.0.1-10.0.0.9") from None
