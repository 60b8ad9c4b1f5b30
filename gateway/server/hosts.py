"""Which host a server name is, and with which TLS context it is served. One immutable table per snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509

from gateway.services.snapshot import App, Snapshot
from gateway.tls.contexts import (
    SendNoTickets,
    ServerCertificate,
    app_context,
    mtls_context,
    select_certificate,
)
from gateway.tls.session import HostContext


class Role(StrEnum):
    """The ``role`` label of the metrics."""

    APP = "app"
    MTLS = "mtls"
    ORG = "org"
    UNKNOWN = "unknown"


class NoCertificateFor(Exception):
    """No configured server certificate covers a host that is to be served."""

    def __init__(self, host: str) -> None:
        super().__init__(f"tls.certificates: no certificate covers {host}")
        self.host = host


@dataclass(frozen=True, slots=True)
class HostTable:
    """App hosts and the org host by name; every single label under the mTLS domain is an mTLS host."""

    apps: Mapping[str, App]
    org_host: str
    mtls_suffix: str  # "." + the mTLS domain
    contexts: Mapping[str, HostContext]
    mtls: HostContext

    def role(self, server_name: str | None) -> Role:
        if server_name is None:
            return Role.UNKNOWN
        if server_name in self.apps:
            return Role.APP
        if server_name == self.org_host:
            return Role.ORG
        return Role.MTLS if self.label(server_name) else Role.UNKNOWN

    def label(self, server_name: str) -> str | None:
        """The one label under the mTLS domain; None for any other name."""
        label = server_name.removesuffix(self.mtls_suffix)
        if label == server_name or not label or "." in label:
            return None
        return label

    def context(self, server_name: str | None) -> HostContext | None:
        if server_name is None:
            return None
        context = self.contexts.get(server_name)
        if context is None and self.label(server_name):
            return self.mtls
        return context


def host_table(
    snapshot: Snapshot, certificates: Sequence[ServerCertificate], send_no_tickets: SendNoTickets | None
) -> HostTable:
    """Make the contexts of all hosts. Raises NoCertificateFor, ServerCertificateRefused."""
    settings = snapshot.settings
    plain: dict[int, HostContext] = {}
    contexts: dict[str, HostContext] = {}
    for host in (settings.org_host, *snapshot.apps_by_host):
        certificate = select_certificate(certificates, host)
        if certificate is None:
            raise NoCertificateFor(host)
        if id(certificate) not in plain:
            plain[id(certificate)] = HostContext(app_context(certificate), asks_for_certificate=False)
        contexts[host] = plain[id(certificate)]
    wildcard = f"n.{settings.mtls_domain}"
    certificate = select_certificate(certificates, wildcard)
    if certificate is None:
        raise NoCertificateFor(f"*.{settings.mtls_domain}")
    authorities = [
        x509.load_der_x509_certificate(c.der) for a in snapshot.trust.authorities for c in a.certificates
    ]
    return HostTable(
        apps=snapshot.apps_by_host,
        org_host=settings.org_host,
        mtls_suffix="." + settings.mtls_domain,
        contexts=contexts,
        mtls=HostContext(
            mtls_context(certificate, settings.mtls_minimum_version, authorities, send_no_tickets),
            asks_for_certificate=True,
        ),
    )
