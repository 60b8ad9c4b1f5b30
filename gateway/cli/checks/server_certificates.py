"""Server certificates: key, chain, dates, purpose, and whether every host has one."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.adapters.key_files import KeyFileRefused
from gateway.cli.checks.finding import EXPIRING_WITHIN, Finding, Severity, refusal, when
from gateway.config.errors import ConfigError
from gateway.config.named_files import read_server_certificate
from gateway.model.settings import GatewaySettings
from gateway.tls.contexts import ServerCertificate, select_certificate

_REPLACE = "get a certificate for this server and put its file in this place"


def check_server_certificates(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Not checked: whether browsers trust the root (it may be a company's own), OCSP, DNS."""
    usable: list[ServerCertificate] = []
    for files in settings.certificates:
        try:
            certificate = read_server_certificate(files)
        except (ConfigError, KeyFileRefused) as error:
            yield refusal(error, "server-certificate-unusable", "put the right certificate and key in place")
            continue
        usable.append(certificate)
        yield from _chain(files.certificate, certificate.chain)
        yield from _dates(files.certificate, certificate.chain, now)
        yield from _purpose(files.certificate, certificate.chain[0])
    if len(usable) == len(settings.certificates):  # else what is missing may be in what could not be read
        yield from _coverage(settings, usable)


def _chain(source: str, chain: tuple[x509.Certificate, ...]) -> Iterator[Finding]:
    for number, (certificate, issuer) in enumerate(pairwise(chain), start=1):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            yield Finding(
                Severity.PROBLEM,
                "server-chain-broken",
                source,
                f"certificate {number + 1} did not issue certificate {number}",
                "write the server's certificate first, then each issuer after what it issued",
            )


def _dates(source: str, chain: tuple[x509.Certificate, ...], now: datetime) -> Iterator[Finding]:
    for number, certificate in enumerate(chain, start=1):
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now > end:
            yield Finding(
                Severity.PROBLEM,
                "server-certificate-expired",
                source,
                f"certificate {number} expired on {when(end)}",
                _REPLACE,
            )
        elif now < begin:
            yield Finding(
                Severity.PROBLEM,
                "server-certificate-not-yet-valid",
                source,
                f"certificate {number} is valid from {when(begin)} only",
                "check this machine's clock, or wait",
            )
        elif end - now <= EXPIRING_WITHIN:
            yield Finding(
                Severity.WARNING,
                "certificates-expiring",
                source,
                f"certificate {number} expires on {when(end)}",
                _REPLACE,
            )


def _purpose(source: str, certificate: x509.Certificate) -> Iterator[Finding]:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        yield Finding(
            Severity.PROBLEM,
            "server-certificate-purpose",
            source,
            "extendedKeyUsage does not allow TLS servers, so browsers refuse it",
            _REPLACE,
        )


def _coverage(settings: GatewaySettings, certificates: list[ServerCertificate]) -> Iterator[Finding]:
    wildcard = f"*.{settings.mtls_domain}"
    if not any(wildcard in certificate.names for certificate in certificates):
        yield Finding(
            Severity.UNUSABLE,
            "mtls-wildcard-missing",
            settings.source,
            f"no certificate under tls.certificates names {wildcard}, on which every challenge runs",
            f"add a certificate for {wildcard}",
        )
    hosts = {settings.org_host: "the org host"}
    hosts |= {app.host: f"the host of app {app.name}" for app in settings.apps}
    for host, role in hosts.items():
        if select_certificate(certificates, host) is None:
            yield Finding(
                Severity.UNUSABLE,
                "host-not-covered",
                settings.source,
                f"no certificate under tls.certificates covers {host}, {role}",
                "add a certificate for it",
            )
