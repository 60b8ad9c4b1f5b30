"""What the org's use cases need of gateway.yaml: apps' policies, zones and switches as the files say them.

What administrators change at run time counts instead of it; what they have not touched, or have taken back,
is here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.model.settings import Zone
from gateway.policy.conditions import ConditionParsers


@dataclass(frozen=True, slots=True)
class ConfiguredApp:
    """An app with its policy file, which has been compiled without a fault."""

    name: str
    label: str
    client_conditions: bool
    policy: Mapping[str, object]  # the document
    policy_sha256: str  # hex, of the file's bytes


@dataclass(frozen=True, slots=True)
class OrgConfiguration:
    """All by name. ``parsers`` are those of all installed plug-ins."""

    apps: Mapping[str, ConfiguredApp] = field(default_factory=dict)
    zones: Mapping[str, Zone] = field(default_factory=dict)
    parsers: ConditionParsers = field(default_factory=dict)
    device_trust_enabled: bool = True
    learn_more_url: str | None = None
    org_name: str = "org"
