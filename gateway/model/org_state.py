"""What the org says to the data plane: a document with the whole truth at one change, and single changes.

Both come from a process of ours, over the control channel. They are read as strictly as what comes from
elsewhere all the same: what cannot be understood must be refused as a whole, or a revocation could be passed
over in silence.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from gateway.model.device import CertificateId
from gateway.model.settings import Zone

# Some hundred thousand deactivated devices.
MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
MAX_AUTHORITY_CERTIFICATES: Final = 100
MAX_ZONES: Final = 1_000
MAX_NETWORKS: Final = 1_000
MAX_POLICIES: Final = 10_000
MAX_NAME_CHARACTERS: Final = 4_096
# Changes in one message. Each of the usual ones has 250 bytes.
MAX_CHANGES: Final = 200
# Of one message's changes; the control channel takes 65,536.
MAX_CHANGES_BYTES: Final = 48_000
_ISSUER_HASH_BYTES: Final = 32
_MAX_SERIAL_NUMBER_BYTES: Final = 20
_MAX_NUMBER: Final = 2**63 - 1


class OrgStateInvalid(ValueError):
    """A document or a change that is not what it should be; the text says where."""


@dataclass(frozen=True, slots=True)
class OrgState:
    """``certificates_pem`` are those of the CA in the store. ``policies`` are those that were edited in the
    store, by app, in the shape of policy files; other apps have the one of their file. None leaves a setting
    to gateway.yaml, too, and a zone that the store does not name is that of gateway.yaml."""

    number: int
    device_trust_enabled: bool | None = None
    learn_more_url: str | None = None
    certificates_pem: tuple[str, ...] = ()
    inactive_devices: frozenset[str] = frozenset()
    inactive_users: frozenset[str] = frozenset()
    policies: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    zones: tuple[Zone, ...] = ()


@dataclass(frozen=True, slots=True)
class OrgChange:
    """One change. A kind that says nothing to the data plane has nothing set.

    ``revoked`` tells what became of ``certificate``; ``device`` is None, or (the name that certificates give
    it, whether it is active); ``user`` the same with the login key.
    """

    number: int
    certificate: CertificateId | None = None
    revoked: bool = False
    device: tuple[str, bool] | None = None
    user: tuple[str, bool] | None = None


def read_state(document: bytes) -> OrgState:
    """Raises OrgStateInvalid. Not checked here: certificates and policies, which their own readers read."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise OrgStateInvalid("the document is too large")
    try:
        values = json.loads(document)
    except (ValueError, RecursionError):
        raise OrgStateInvalid("the document is not JSON") from None
    values = _mapping(values, "the document", 100)
    enabled = values.get("device_trust_enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise OrgStateInvalid("device_trust_enabled: neither true nor false")
    url = values.get("learn_more_url")
    certificates = [
        certificate
        for authority in _list(values.get("authorities", []), "authorities", MAX_AUTHORITY_CERTIFICATES)
        for certificate in _list(
            _mapping(authority, "authorities", 100).get("certificates"),
            "authorities.certificates",
            MAX_AUTHORITY_CERTIFICATES,
        )
    ]
    return OrgState(
        number=_number(values.get("number")),
        device_trust_enabled=enabled,
        learn_more_url=None if url is None else _text(url, "learn_more_url"),
        certificates_pem=tuple(_text(each, "authorities.certificates", 65_536) for each in certificates),
        inactive_devices=_names(values.get("inactive_devices", []), "inactive_devices"),
        inactive_users=_names(values.get("inactive_users", []), "inactive_users"),
        policies=MappingProxyType(dict(_mapping(values.get("policies", {}), "policies", MAX_POLICIES))),
        zones=tuple(
            _zone(name, networks)
            for name, networks in _mapping(values.get("zones", {}), "zones", MAX_ZONES).items()
        ),
    )


def read_changes(values: object) -> tuple[OrgChange, ...]:
    """The changes of one message, in order. Raises OrgStateInvalid, also for a gap in their numbers."""
    changes = tuple(_change(value) for value in _list(values, "changes", MAX_CHANGES))
    for before, after in pairwise(changes):
        if after.number != before.number + 1:
            raise OrgStateInvalid(f"change {after.number} follows {before.number}")
    return changes


def batches(changes: Sequence[Mapping[str, object]]) -> Iterator[list[Mapping[str, object]]]:
    """Changes ({number, kind, payload}) in as few messages as they fit into."""
    batch: list[Mapping[str, object]] = []
    size = 0
    for change in changes:
        length = len(json.dumps(change))
        if batch and (len(batch) >= MAX_CHANGES or size + length > MAX_CHANGES_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += length
    if batch:
        yield batch


def _change(value: object) -> OrgChange:
    values = _mapping(value, "a change", 100)
    number = _number(values.get("number"))
    payload = _mapping(values.get("payload", {}), "a change's payload", 100)
    match values.get("kind"):
        case "certificate.revoked":
            return OrgChange(number, certificate=_certificate(payload), revoked=True)
        case "certificate.released":
            return OrgChange(number, certificate=_certificate(payload))
        case "device.deactivated" | "device.activated" as kind:
            return OrgChange(
                number, device=(_text(payload.get("device"), "device"), kind == "device.activated")
            )
        case "user.deactivated" | "user.activated" as kind:
            return OrgChange(number, user=(_text(payload.get("user"), "user"), kind == "user.activated"))
        case "state.changed":  # a whole document follows
            return OrgChange(number)
        case kind:
            raise OrgStateInvalid(f"a change of unknown kind {str(kind)[:64]!r}")


def _certificate(payload: Mapping[str, Any]) -> CertificateId:
    try:
        issuer = bytes.fromhex(_text(payload.get("issuer"), "issuer"))
        serial_number = int(_text(payload.get("serial"), "serial", 64), 16)
    except ValueError as problem:
        raise OrgStateInvalid(f"a certificate is not named by issuer and serial: {problem}") from None
    if len(issuer) != _ISSUER_HASH_BYTES or not 0 <= serial_number < 2 ** (8 * _MAX_SERIAL_NUMBER_BYTES):
        raise OrgStateInvalid("a certificate is not named by issuer and serial: out of range")
    return CertificateId(issuer, serial_number)


def _zone(name: object, networks: object) -> Zone:
    try:
        return Zone(
            _text(name, "zones"),
            tuple(ip_network(_text(each, "zones", 64)) for each in _list(networks, "zones", MAX_NETWORKS)),
        )
    except OrgStateInvalid:
        raise
    except ValueError as problem:
        raise OrgStateInvalid(f"zones: {problem}") from None


def _names(value: object, what: str) -> frozenset[str]:
    return frozenset(_text(name, what) for name in _list(value, what, MAX_DOCUMENT_BYTES))


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise OrgStateInvalid("number: not the number of a change")
    return value


def _text(value: object, what: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    if not isinstance(value, str) or len(value) > limit:
        raise OrgStateInvalid(f"{what}: not a text of at most {limit} characters")
    return value


def _list(value: object, what: str, limit: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise OrgStateInvalid(f"{what}: not a list of at most {limit}")
    return value


def _mapping(value: object, what: str, limit: int) -> Mapping[str, Any]:
    if not isinstance(value, dict) or len(value) > limit:
        raise OrgStateInvalid(f"{what}: not an object of at most {limit} members")
    return value
