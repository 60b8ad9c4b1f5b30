"""gateway.yaml and every file that it names, read as one: all of it can be used, or nothing is taken over."""

from datetime import datetime

from gateway.config.load import load_settings
from gateway.config.named_files import (
    read_authority,
    read_decryption_key,
    read_idp_metadata,
    read_server_certificate,
    read_tpm_vendors,
)
from gateway.config.policy_file import read_policy
from gateway.policy.conditions import ConditionParsers
from gateway.services.material import Material


def load_material(config_path: str, parsers: ConditionParsers, now: datetime) -> Material:
    """Raises ConfigErrors, ConfigError, KeyFileRefused or OSError for the first file that cannot be used.

    CRLs are not read: the CRL store does, and fails closed where it cannot.
    """
    settings = load_settings(config_path)
    zone_names = {zone.name for zone in settings.zones}
    return Material(
        settings=settings,
        certificates=tuple(read_server_certificate(files) for files in settings.certificates),
        authorities=tuple(read_authority(each) for each in settings.authorities if not each.builtin),
        metadata={p.name: read_idp_metadata(p, now) for p in settings.identity_providers},
        policies={
            app.name: read_policy(
                app.policy_file, parsers, client_conditions=app.client_conditions, zone_names=zone_names
            ).policy
            for app in settings.apps
        },
        decryption_keys={
            app.name: read_decryption_key(app.decryption_key) for app in settings.apps if app.decryption_key
        },
        tpm_vendors=read_tpm_vendors(settings.enrollment.tpm_vendor_authorities),
    )
