"""gateway.yaml → what the org's use cases need of it."""

from collections.abc import Set
from hashlib import sha256

from gateway.config.policy_file import load_policy
from gateway.config.text_file import read_text_file
from gateway.model.settings import AppSettings, GatewaySettings
from gateway.policy.conditions import ConditionParsers
from gateway.services.org_configuration import ConfiguredApp, OrgConfiguration


def org_configuration(settings: GatewaySettings, parsers: ConditionParsers) -> OrgConfiguration:
    """Reads the policy file of every app. Raises ConfigError for one that cannot be used."""
    zones = {zone.name: zone for zone in settings.zones}
    return OrgConfiguration(
        apps={app.name: _app(app, parsers, zones.keys()) for app in settings.apps},
        zones=zones,
        parsers=parsers,
        device_trust_enabled=settings.device_trust_enabled,
        learn_more_url=settings.learn_more_url,
        org_name=settings.org_name,
    )


def _app(app: AppSettings, parsers: ConditionParsers, zone_names: Set[str]) -> ConfiguredApp:
    text = read_text_file(app.policy_file)
    file = load_policy(
        text,
        app.policy_file,
        parsers,
        client_conditions=app.client_conditions,
        zone_names=zone_names,
    )
    digest = sha256(text.encode()).hexdigest()
    return ConfiguredApp(app.name, app.label, app.client_conditions, file.document.value, digest)
