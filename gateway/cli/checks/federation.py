"""Identity providers' metadata, and the keys that open encrypted assertions."""

from collections.abc import Iterator
from datetime import datetime

from gateway.adapters.key_files import KeyFileRefused
from gateway.cli.checks.finding import EXPIRING_WITHIN, Finding, Severity, refusal, when
from gateway.config.errors import ConfigError
from gateway.config.named_files import read_decryption_key, read_idp_metadata
from gateway.model.settings import GatewaySettings


def check_identity_providers(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Not checked: whether the provider is reachable, and whether its metadata is the current one."""
    for provider in settings.identity_providers:
        download = f"download the metadata of identity provider {provider.name} again"
        try:
            metadata = read_idp_metadata(provider, now)
        except (ConfigError, KeyFileRefused) as error:
            yield refusal(error, "metadata-unusable", download)
            continue
        if metadata.valid_until is not None and metadata.valid_until - now <= EXPIRING_WITHIN:
            yield Finding(
                Severity.WARNING,
                "metadata-expiring",
                provider.metadata,
                f"is valid until {when(metadata.valid_until)}; after that no sign-on is accepted",
                download,
            )
        if provider.allow_sha1:
            yield Finding(
                Severity.WARNING,
                "sha1-allowed",
                settings.source,
                f"identity provider {provider.name} may sign with SHA-1, which can be forged",
                "make it sign with SHA-256 and remove allow_sha1",
            )


def check_decryption_keys(settings: GatewaySettings) -> Iterator[Finding]:
    """One finding for each key file that cannot be used."""
    for path in dict.fromkeys(app.decryption_key for app in settings.apps):
        if path is None:
            continue
        try:
            read_decryption_key(path)
        except (ConfigError, KeyFileRefused) as error:
            yield refusal(error, "decryption-key-unusable", "put the app's private key in this place")
