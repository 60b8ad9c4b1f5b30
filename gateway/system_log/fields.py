"""The names that a filter may use: what an event looks like on the wire.

Objects that are open (debugData, detailEntry, changeDetails) take any name below them. Names are found
whatever their case and with or without underscores, as older tools write ``event_type``; inside open objects
they are taken as they stand.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.system_log.errors import INVALID, QueryRefused

# A name below an open object has no longer path than this; no event has.
MAX_PATH_SEGMENTS: Final = 8

_LEAF: Final = None
_OPEN: Final = "open"
_PLACE: Final = {
    "city": _LEAF,
    "country": _LEAF,
    "state": _LEAF,
    "postalCode": _LEAF,
    "geolocation": {"lat": _LEAF, "lon": _LEAF},
}
_NAMED: Final = {"id": _LEAF, "type": _LEAF, "alternateId": _LEAF, "displayName": _LEAF, "detailEntry": _OPEN}
_TREE: Final[Mapping[str, Any]] = {
    "actor": _NAMED,
    "authenticationContext": {
        "authenticationProvider": _LEAF,
        "authenticationStep": _LEAF,
        "credentialProvider": _LEAF,
        "credentialType": _LEAF,
        "externalSessionId": _LEAF,
        "rootSessionId": _LEAF,
        "interface": _LEAF,
        "issuer": {"id": _LEAF, "type": _LEAF},
    },
    "client": {
        "device": _LEAF,
        "id": _LEAF,
        "ipAddress": _LEAF,
        "zone": _LEAF,
        "userAgent": {"browser": _LEAF, "os": _LEAF, "rawUserAgent": _LEAF},
        "geographicalContext": _PLACE,
    },
    "device": {
        "id": _LEAF,
        "name": _LEAF,
        "os_platform": _LEAF,
        "os_version": _LEAF,
        "managed": _LEAF,
        "registered": _LEAF,
    },
    "debugContext": {"debugData": _OPEN},
    "displayMessage": _LEAF,
    "eventType": _LEAF,
    "legacyEventType": _LEAF,
    "outcome": {"result": _LEAF, "reason": _LEAF},
    "request": {
        "ipChain": {"ip": _LEAF, "version": _LEAF, "source": _LEAF, "geographicalContext": _PLACE},
    },
    "securityContext": {
        "asNumber": _LEAF,
        "asOrg": _LEAF,
        "domain": _LEAF,
        "isp": _LEAF,
        "isProxy": _LEAF,
    },
    "severity": _LEAF,
    "target": {**_NAMED, "changeDetails": _OPEN},
    "transaction": {"id": _LEAF, "type": _LEAF, "detail": _OPEN},
    "uuid": _LEAF,
    "version": _LEAF,
}


def resolve(name: str) -> tuple[str, ...]:
    """The path of a field by the name that a filter uses. Raises QueryRefused (E0000053)."""
    segments = name.split(".")
    if len(segments) > MAX_PATH_SEGMENTS:
        raise _no_field(name)
    path: list[str] = []
    place: Any = _TREE
    for segment in segments:
        if place is _OPEN:
            if not segment:
                raise _no_field(name)
            path.append(segment)
            continue
        if place is _LEAF:
            raise _no_field(name)
        found = _FOLDED[id(place)].get(_fold(segment))
        if found is None:
            raise _no_field(name)
        path.append(found)
        place = place[found]
    return tuple(path)


def values_at(event: Mapping[str, Any], path: Sequence[str]) -> list[Any]:
    """Every value at a path; lists on the way stand for each of their items. A missing name and null give
    no value."""
    values: list[Any] = [event]
    for segment in path:
        below: list[Any] = []
        for value in values:
            found = value.get(segment) if isinstance(value, Mapping) else None
            if isinstance(found, list | tuple):
                below.extend(item for item in found if item is not None)
            elif found is not None:
                below.append(found)
        if not below:
            return below
        values = below
    return values


def _fold(segment: str) -> str:
    return segment.replace("_", "").casefold()


def _folded(place: Mapping[str, Any], into: dict[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    into[id(place)] = {_fold(name): name for name in place}
    for below in place.values():
        if isinstance(below, dict):
            _folded(below, into)
    return into


def _no_field(name: str) -> QueryRefused:
    return QueryRefused(INVALID, f"field is not valid: {name[:64]}")


_FOLDED: Final = _folded(_TREE, {})
