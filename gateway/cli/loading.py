"""How supervisor, workers and the org read a configuration: with the conditions of all plug-ins."""

from collections.abc import Callable
from dataclasses import fields
from datetime import datetime

from gateway.adapters.plugins import load_condition_parsers
from gateway.config.material import load_material
from gateway.config.org_configuration import org_configuration
from gateway.server.configuration import LoadMaterial
from gateway.services.material import Material
from gateway.services.org_process_material import OrgMaterial


def loader_for(config_path: str) -> LoadMaterial:
    """Reads the configuration in this file, as often as it is called. Raises PlugInError."""
    parsers = load_condition_parsers()

    def load(now: datetime) -> Material:
        return load_material(config_path, parsers, now)

    return load


def org_loader_for(config_path: str) -> Callable[[datetime], OrgMaterial]:
    """The same, with the documents of policies and zones. Raises PlugInError."""
    parsers = load_condition_parsers()

    def load(now: datetime) -> OrgMaterial:
        material = load_material(config_path, parsers, now)
        values = {field.name: getattr(material, field.name) for field in fields(material)}
        return OrgMaterial(**values, organization=org_configuration(material.settings, parsers))

    return load
