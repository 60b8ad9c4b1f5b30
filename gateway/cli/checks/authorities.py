"""Device Trust authorities: their certificates, and the CRLs without which nothing is trusted."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cryptography import x509

from gateway.adapters.key_files import KeyFileRefused
from gateway.cli.checks.finding import CLOCK_TOLERANCE, EXPIRING_WITHIN, Finding, Severity, refusal, when
from gateway.config.errors import ConfigError
from gateway.config.named_files import read_authority, read_crl
from gateway.model.quoting import printable
from gateway.model.settings import AuthoritySettings, GatewaySettings
from gateway.pki.authority import Authority
from gateway.pki.certificate import Certificate
from gateway.pki.crl import CrlRejected, CrlSnapshot
from gateway.pki.revocation import RevocationIndex


def check_authorities(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Not checked: CRLs at URLs, which only the running gateway fetches."""
    if not settings.device_trust_enabled:
        yield Finding(
            Severity.NOTICE,
            "device-trust-disabled",
            settings.source,
            "device_trust.enabled is false, so no device is trusted",
            "set it to true once authorities and policies are ready",
        )
    for authority_settings in (each for each in settings.authorities if not each.builtin):
        try:
            authority = read_authority(authority_settings)
        except (ConfigError, KeyFileRefused) as error:
            yield refusal(error, "authority-unusable", "put the authority's certificates (PEM) in this place")
            continue
        for certificate in authority.certificates:
            yield from _certificate(authority_settings.certificates, certificate, now)
        yield from _crls(settings.source, authority, now)


def _certificate(source: str, certificate: Certificate, now: datetime) -> Iterator[Finding]:
    name = subject(certificate)
    if not certificate.extensions.is_ca:
        yield Finding(
            Severity.PROBLEM,
            "authority-not-ca",
            source,
            f"{name} is not a certification authority's certificate",
            "name the certificate of the authority that issues the devices' certificates",
        )
    if now > certificate.not_after:
        yield Finding(
            Severity.PROBLEM,
            "authority-expired",
            source,
            f"{name} expired on {when(certificate.not_after)}; what it issued is not trusted",
            "add the authority's new certificate",
        )
    elif now < certificate.not_before:
        yield Finding(
            Severity.PROBLEM,
            "authority-not-yet-valid",
            source,
            f"{name} is valid from {when(certificate.not_before)} only",
            "check this machine's clock, or wait",
        )
    elif certificate.not_after - now <= EXPIRING_WITHIN:
        yield Finding(
            Severity.WARNING,
            "certificates-expiring",
            source,
            f"{name} expires on {when(certificate.not_after)}",
            "add the authority's new certificate beside it",
        )


def _crls(config: str, authority: Authority, now: datetime) -> Iterator[Finding]:
    if not authority.has_crls:
        yield Finding(
            Severity.PROBLEM,
            "revocation-not-checked",
            config,
            f"authority {authority.name} has no CRL: a stolen computer stays trusted until its "
            "certificate expires",
            "name the authority's CRLs under crls",
        )
        return
    paths = [location for location in authority.settings.crls if "://" not in location]
    loaded: list[tuple[str, CrlSnapshot]] = []
    for path in paths:
        try:
            loaded.append((path, read_crl(path, authority)))
        except ConfigError as error:
            yield Finding(
                Severity.PROBLEM,
                "crl-unusable",
                path,
                error.message,
                f"publish a current CRL of authority {authority.name} in this place",
            )
    for path, crl in loaded:
        yield from _freshness(path, crl, authority.settings, now)
    yield from _combination(loaded)
    urls = len(authority.settings.crls) - len(paths)
    if urls:
        yield Finding(
            Severity.NOTICE,
            "crl-url-not-checked",
            config,
            f"authority {authority.name} has {urls} CRL URL(s), which are fetched when the gateway runs",
            "look at /readyz of the running gateway",
        )
    elif len(loaded) == len(paths):
        yield from _uncovered(config, authority, [crl for _, crl in loaded])


def _freshness(path: str, crl: CrlSnapshot, settings: AuthoritySettings, now: datetime) -> Iterator[Finding]:
    publish = f"publish a new CRL of authority {settings.name} in this place"
    overdue = now - crl.next_update
    allowed = settings.stale_crl_allowed_for or timedelta(0)
    if overdue > allowed:
        yield Finding(
            Severity.PROBLEM,
            "crl-stale",
            path,
            f"its successor was due on {when(crl.next_update)}: no certificate of this issuer is trusted",
            publish,
        )
    elif overdue > timedelta(0):
        yield Finding(
            Severity.WARNING,
            "crl-stale",
            path,
            f"its successor was due on {when(crl.next_update)}; stale_crl lets it count until "
            f"{when(crl.next_update + allowed)}",
            publish,
        )
    if crl.this_update - now > CLOCK_TOLERANCE:
        yield Finding(
            Severity.PROBLEM,
            "clock-behind",
            path,
            f"was issued on {when(crl.this_update)}, which is in the future",
            "set this machine's clock",
        )


def _combination(loaded: Sequence[tuple[str, CrlSnapshot]]) -> Iterator[Finding]:
    """What only shows when the lists are put together: a delta without its base, a number used twice."""
    index = RevocationIndex()
    for path, crl in sorted(loaded, key=lambda each: (each[1].is_delta, each[1].number)):
        try:
            index = index.with_crl(crl)
        except CrlRejected as error:
            yield Finding(
                Severity.PROBLEM, "crl-unusable", path, error.detail, "name the CRLs that belong together"
            )


def _uncovered(config: str, authority: Authority, crls: Sequence[CrlSnapshot]) -> Iterator[Finding]:
    issuers = {crl.issuer for crl in crls}
    for certificate in authority.certificates:
        if certificate.extensions.is_ca and certificate.issuer_hash not in issuers:
            yield Finding(
                Severity.PROBLEM,
                "issuer-without-crl",
                config,
                f"authority {authority.name} has no CRL of {subject(certificate)}: "
                "what that one issued is refused (REVOCATION_UNKNOWN)",
                "name its CRL under crls too, or remove its certificate",
            )


def subject(certificate: Certificate) -> str:
    """A certificate's subject in the usual notation (RFC 4514), or its thumbprint where that fails."""
    try:
        name = x509.load_der_x509_certificate(certificate.der).subject.rfc4514_string()
    except ValueError:
        name = ""
    return printable(name or certificate.thumbprint, 100)
