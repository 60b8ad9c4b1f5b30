"""Keys in TPMs: whether vendors' certificates can be read, and what policies ask for can be shown."""

from collections.abc import Iterator
from datetime import datetime

from gateway.adapters.plugins import PlugInError, load_condition_parsers
from gateway.cli.checks.finding import Finding, Severity, refusal, when
from gateway.config.errors import ConfigError
from gateway.config.named_files import read_tpm_vendors
from gateway.config.policy_file import read_policy
from gateway.model.settings import AttestationMode, GatewaySettings
from gateway.policy.rules import Status, requires_hardware_key


def check_hardware_keys(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Not checked: policies that were edited in the store."""
    vendors = 0
    for path in settings.enrollment.tpm_vendor_authorities:
        try:
            found = read_tpm_vendors([path]).certificates
        except ConfigError as error:
            yield refusal(error, "tpm-vendor-unusable", "put the vendor's certificates (PEM) in this place")
            continue
        vendors += len(found)
        for certificate in found:
            if now > certificate.not_after:
                yield Finding(
                    Severity.WARNING,
                    "tpm-vendor-expired",
                    path,
                    f"a vendor's certificate expired on {when(certificate.not_after)}; TPMs that it certified"
                    " are not believed",
                    "add the vendor's new certificate",
                )
    for app, rule in _requiring(settings):
        missing = _missing(settings, vendors)
        if missing:
            yield Finding(
                Severity.PROBLEM,
                "hardware-key-never-shown",
                settings.source,
                f'rule "{rule}" of app {app} requires a hardware key, which no device can have: {missing[0]}',
                missing[1],
            )


def _missing(settings: GatewaySettings, vendors: int) -> tuple[str, str] | None:
    if not any(authority.builtin for authority in settings.authorities):
        return (
            "only the built-in authority verifies them",
            "add {name: builtin, builtin: true} to authorities",
        )
    if settings.enrollment.attestation is AttestationMode.NONE:
        return "attestation is none", "set device_trust.enrollment.attestation to accepted"
    if not vendors:
        return "no TPM vendor is known", "name files under device_trust.enrollment.tpm_vendor_authorities"
    return None


def _requiring(settings: GatewaySettings) -> Iterator[tuple[str, str]]:
    """Apps with a rule that asks for hardware keys. What cannot be read is a finding of another check."""
    try:
        parsers = load_condition_parsers()
    except PlugInError:
        return
    for app in settings.apps:
        try:
            policy = read_policy(app.policy_file, parsers, client_conditions=app.client_conditions).policy
        except ConfigError:
            continue
        for rule in policy.rules:
            if rule.status is Status.ACTIVE and requires_hardware_key(rule):
                yield app.name, rule.name
                break
