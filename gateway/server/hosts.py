"""Which host a server name is, and with which TLS context it is served. One immutable table per snapshot."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.services.snapshot import App, Snapshot
from gateway.tls.contexts import (
    LeaveUnverified,
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
    # All contexts by what they are made of (`_Made`), for the next table.
    made: "Mapping[_Made, HostContext]"

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


# Role, and SHA-256 of all that goes into the context. A certificate stands for its key.
_Made = tuple[Role, bytes]


def host_table(
    snapshot: Snapshot,
    certificates: Sequence[ServerCertificate],
    send_no_tickets: SendNoTickets | None,
    former: HostTable | None = None,
    leave_unverified: LeaveUnverified | None = None,
) -> HostTable:
    """Make the contexts of all hosts. A context of ``former`` that is made of the same is taken from there:
    it costs nothing, and sessions that began with it resume. Raises NoCertificateFor,
    ServerCertificateRefused.
    """
    settings = snapshot.settings
    known = {} if former is None else former.made
    made: dict[_Made, HostContext] = {}
    contexts: dict[str, HostContext] = {}
    for host in (settings.org_host, *snapshot.apps_by_host):
        certificate = select_certificate(certificates, host)
        if certificate is None:
            raise NoCertificateFor(host)
        key = Role.APP, _digest(certificate, b"h2" if settings.http2 else b"")
        if key not in made:
            made[key] = known.get(key) or HostContext(
                app_context(certificate, http2=settings.http2), asks_for_certificate=False
            )
        contexts[host] = made[key]
    wildcard = f"n.{settings.mtls_domain}"
    certificate = select_certificate(certificates, wildcard)
    if certificate is None:
        raise NoCertificateFor(f"*.{settings.mtls_domain}")
    trusted = [c.der for a in snapshot.trust.authorities for c in a.certificates]
    minimum_version = settings.mtls_minimum_version
    key = Role.MTLS, _digest(certificate, minimum_version.encode("ascii"), *trusted)
    made[key] = known.get(key) or HostContext(
        mtls_context(
            certificate,
            minimum_version,
            map(x509.load_der_x509_certificate, trusted),
            send_no_tickets,
            leave_unverified,
        ),
        asks_for_certificate=True,
    )
    return HostTable(
        apps=snapshot.apps_by_host,
        org_host=settings.org_host,
        mtls_suffix="." + settings.mtls_domain,
        contexts=contexts,
        mtls=made[key],
        made=MappingProxyType(made),
    )


def _digest(certificate: ServerCertificate, *parts: bytes) -> bytes:
    chain = (c.public_bytes(Encoding.DER) for c in certificate.chain)
    whole = hashlib.sha256()
    for part in (*chain, b"", *parts):
        whole.update(len(part).to_bytes(8) + part)
    return whole.digest()
