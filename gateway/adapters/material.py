"""Everything that settings point to, read from files and made into one snapshot. Nothing is swapped here: a
fault in any file raises MaterialRefused, and whoever asked keeps what it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.adapters.key_files import KeyFileRefused, read_key_file
from gateway.federation.errors import MetadataRejected
from gateway.federation.metadata import IdpMetadata, parse_idp_metadata
from gateway.model.settings import (
    AuthoritySettings,
    CertificateFiles,
    GatewaySettings,
    IdentityProviderSettings,
)
from gateway.pki.authority import Authority, authority_from
from gateway.pki.certificate import CertificateRejected, parse_certificate
from gateway.tls.contexts import ServerCertificate

# Federations publish metadata of all their members in one file of tens of megabytes; one company's is 10 KB.
MAX_FILE_BYTES: Final = 100_000_000


class MaterialRefused(Exception):
    """A file that cannot be used: which one, and why."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Material:
    """What the files of one configuration hold, by the names that the settings give them."""

    settings: GatewaySettings
    certificates: tuple[ServerCertificate, ...]
    authorities: tuple[Authority, ...]
    ca_certificates: tuple[x509.Certificate, ...]
    metadata: Mapping[str, IdpMetadata]
    decryption_keys: Mapping[str, rsa.RSAPrivateKey]

    @property
    def files(self) -> frozenset[str]:
        """The files whose change calls for reading all of this anew. CRLs have a reader of their own."""
        settings = self.settings
        return frozenset(
            (
                settings.source,
                *(f for c in settings.certificates for f in (c.certificate, c.private_key)),
                *(a.certificates for a in settings.authorities),
                *(p.metadata for p in settings.identity_providers),
                *(a.policy_file for a in settings.apps),
                *(a.decryption_key for a in settings.apps if a.decryption_key),
            )
        )


def load_material(settings: GatewaySettings, now: datetime) -> Material:
    """Read all files. Raises MaterialRefused for the first that cannot be used."""
    authorities: list[Authority] = []
    ca_certificates: list[x509.Certificate] = []
    for authority in settings.authorities:
        certificates = read_certificates(authority.certificates)
        authorities.append(_authority(authority, certificates))
        ca_certificates.extend(certificates)
    return Material(
        settings=settings,
        certificates=tuple(read_server_certificate(files) for files in settings.certificates),
        authorities=tuple(authorities),
        ca_certificates=tuple(dict.fromkeys(ca_certificates)),
        metadata={provider.name: read_metadata(provider, now) for provider in settings.identity_providers},
        decryption_keys={
            app.name: _decryption_key(app.decryption_key) for app in settings.apps if app.decryption_key
        },
    )


def read_certificates(path: str) -> list[x509.Certificate]:
    """All certificates of a PEM file. Raises MaterialRefused."""
    try:
        certificates = x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise MaterialRefused(path, f"not PEM certificates: {error}") from error
    return certificates


def read_server_certificate(files: CertificateFiles) -> ServerCertificate:
    """A chain, end entity first, and its key. Raises MaterialRefused; that they belong together is seen when
    the TLS context is made."""
    chain = read_certificates(files.certificate)
    key = _private_key(files.private_key)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise MaterialRefused(files.private_key, "a server key is RSA, EC or Ed25519")
    if key.public_key() != chain[0].public_key():
        raise MaterialRefused(
            files.private_key, f"not the key of the first certificate in {files.certificate}"
        )
    return ServerCertificate(tuple(chain), key)


def read_metadata(provider: IdentityProviderSettings, now: datetime) -> IdpMetadata:
    """Raises MaterialRefused."""
    try:
        return parse_idp_metadata(_read(provider.metadata), now, provider.entity_id, provider.protocol)
    except MetadataRejected as rejected:
        raise MaterialRefused(provider.metadata, str(rejected)) from rejected


def _authority(settings: AuthoritySettings, certificates: list[x509.Certificate]) -> Authority:
    try:
        parsed = [parse_certificate(c.public_bytes(Encoding.DER)) for c in certificates]
    except CertificateRejected as rejected:
        raise MaterialRefused(settings.certificates, rejected.detail) from rejected
    authority = authority_from(settings, parsed)
    if not authority.anchors:
        raise MaterialRefused(settings.certificates, "these certificates only sign one another")
    return authority


def _decryption_key(path: str) -> rsa.RSAPrivateKey:
    key = _private_key(path)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise MaterialRefused(path, "a decryption key is RSA")
    return key


def _private_key(path: str) -> object:
    try:
        return load_pem_private_key(read_key_file(path), password=None)
    except KeyFileRefused as refused:
        raise MaterialRefused(path, str(refused).removeprefix(f"{path}: ")) from refused
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise MaterialRefused(path, f"not an unencrypted PEM private key: {error}") from error


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MaterialRefused(path, error.strerror or str(error)) from error
    if len(content) > MAX_FILE_BYTES:
        raise MaterialRefused(path, f"larger than {MAX_FILE_BYTES} bytes")
    return content
