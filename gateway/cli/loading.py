"""How supervisor and workers read a configuration: with the conditions of all plug-ins."""

from datetime import datetime

from gateway.adapters.plugins import load_condition_parsers
from gateway.config.material import load_material
from gateway.server.configuration import LoadMaterial
from gateway.services.material import Material


def loader_for(config_path: str) -> LoadMaterial:
    """Reads the configuration in this file, as often as it is called. Raises PlugInError."""
    parsers = load_condition_parsers()

    def load(now: datetime) -> Material:
        return load_material(config_path, parsers, now)

    return load
