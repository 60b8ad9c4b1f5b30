"""The file of `devicetrust config export` and `import`: YAML ↔ what administrators have changed at run time.

version: 1
settings: {device_trust_enabled: false}
zones:
  - {id: nzo…, name: lab, networks: [192.0.2.0/24, 198.51.100.1-198.51.100.9], status: inactive}
policies:
  APP: the document of a policy file, with an id for each rule
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.config.errors import ConfigError, KeyPath, did_you_mean
from gateway.config.forms import read_web_address
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.config.yaml_text import yaml_text
from gateway.model.ids import IdKind, is_id
from gateway.model.org import SettingName
from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.zones import zone_document, zone_gateways
from gateway.services.org_export import ExportedZone, ImportRefused, OrgExport

VERSION: Final = 1
# Ten thousand apps with an edited policy of their own.
MAX_CHARACTERS: Final = 32 * 1024 * 1024
_KEYS: Final = ("version", "settings", "zones", "policies")
_ZONE_KEYS: Final = ("id", "name", "networks", "status")
_HEADER: Final = """\
# What was changed at run time, written by devicetrust config export. To import it makes the store hold just
# this: what is left out goes back to what gateway.yaml and the policy files say.
"""


def org_file_text(exported: OrgExport) -> str:
    """The same value gives the same text."""
    value = {
        "version": VERSION,
        "settings": {name.value: setting for name, setting in exported.settings.items()},
        "zones": [_zone_value(zone) for zone in exported.zones],
        "policies": dict(exported.policies),
    }
    return _HEADER + yaml_text(value)


@dataclass(frozen=True, slots=True)
class OrgFile:
    """What a file says, and the document it was read from."""

    exported: OrgExport
    document: MarkedDocument

    def error(self, refused: ImportRefused) -> ConfigError:
        """A fault that was found when it was to be imported, with its line."""
        return self.document.error(refused.path, str(refused))


def load_org_file(text: str, source: str) -> OrgFile:
    """Raises ConfigError. Not checked: whether the policies compile, and fit together with the zones."""
    document = load_marked(text, source, MAX_CHARACTERS)
    value = _mapping(document, document.value, (), _KEYS)
    if value.get("version") != VERSION:
        raise document.error(("version",), f"must be {VERSION}")
    zones = value.get("zones") or []
    if not isinstance(zones, list):
        raise document.error(("zones",), "must be a list")
    policies = value.get("policies") or {}
    if not isinstance(policies, dict):
        raise document.error(("policies",), "must be a mapping of apps and policies")
    for app, policy in policies.items():
        if not isinstance(policy, dict):
            raise document.error(("policies", app), "must be a policy")
    exported = OrgExport(
        _settings(document, value.get("settings") or {}),
        tuple(_zone(document, zone, ("zones", index)) for index, zone in enumerate(zones)),
        policies,
    )
    return OrgFile(exported, document)


def _settings(document: MarkedDocument, raw: object) -> dict[SettingName, object]:
    settings = _mapping(document, raw, ("settings",), tuple(name.value for name in SettingName))
    read: dict[SettingName, object] = {}
    for key, value in settings.items():
        name, path = SettingName(key), ("settings", key)
        if name is SettingName.LEARN_MORE_URL:
            if value is not None:
                _web_address(document, value, path)
        elif not isinstance(value, bool):
            raise document.error(path, "must be true or false")
        read[name] = value
    return read


def _web_address(document: MarkedDocument, value: object, path: KeyPath) -> None:
    if not isinstance(value, str):
        raise document.error(path, "must be an address such as https://help.example.test")
    try:
        read_web_address(value)
    except ValueError as error:
        raise document.error(path, str(error)) from None


def _zone(document: MarkedDocument, raw: object, path: KeyPath) -> ExportedZone:
    zone = _mapping(document, raw, path, _ZONE_KEYS)
    networks = zone.get("networks")
    if not isinstance(networks, list):
        raise document.error((*path, "networks"), "must be a list of networks")
    zone_id = zone.get("id")
    if zone_id is not None and not (isinstance(zone_id, str) and is_id(zone_id, IdKind.ZONE)):
        raise document.error((*path, "id"), "is not the id of a zone; leave it out for a new one")
    status = zone.get("status", "active")
    if status not in ("active", "inactive"):
        raise document.error((*path, "status"), "must be active or inactive")
    gateways = [{"type": _kind(network), "value": network} for network in networks]
    try:
        written = zone_document({"name": zone.get("name"), "gateways": gateways})
    except WireRefused as refused:
        problem = refused.problems[0]
        key = "name" if problem.field == "name" else "networks"
        raise document.error((*path, key), problem.sentence) from None
    return ExportedZone(written.name, written.document, status == "active", zone_id)


def _zone_value(zone: ExportedZone) -> dict[str, Any]:
    value: dict[str, Any] = {} if zone.id is None else {"id": zone.id}
    value["name"] = zone.name
    value["networks"] = [network for _, network in zone_gateways(zone.document)]
    if not zone.active:
        value["status"] = "inactive"
    return value


def _kind(network: object) -> str:
    return "RANGE" if isinstance(network, str) and "-" in network else "CIDR"


def _mapping(
    document: MarkedDocument, raw: object, path: KeyPath, known: tuple[str, ...]
) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise document.error(path, "must be a mapping of keys and values")
    for key in raw:
        if key not in known:
            raise document.error((*path, key), f"is not a known key{did_you_mean(key, known)}")
    return raw
