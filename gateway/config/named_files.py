"""The files that gateway.yaml names, read and parsed: certificates, CRLs, metadata, keys.

Each reader raises ConfigError with the file's name for what the file holds, and KeyFileRefused for a
private key that others could read. None of them asks whether a certificate or CRL is valid *now*: the
trust evaluation does at every sign-on, and `devicetrust check` for the administrator.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.adapters.key_files import read_key_file
from gateway.config.errors import ConfigError
from gateway.config.text_file import read_bytes
from gateway.enrollment.endorsement import VendorAuthorities
from gateway.federation.errors import MetadataRejected
from gateway.federation.metadata import MAX_METADATA_BYTES, IdpMetadata, parse_idp_metadata
from gateway.model.settings import AuthoritySettings, CertificateFiles, IdentityProviderSettings
from gateway.pki.authority import Authority, authority_from
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.crl import MAX_CRL_BYTES, CrlRejected, CrlSnapshot, parse_crl
from gateway.tls.contexts import ServerCertificate, ServerCertificateRefused, app_context

# A bundle of all public roots has 0.25 MB.
MAX_CERTIFICATE_FILE_BYTES = 4_194_304


def read_server_certificate(files: CertificateFiles) -> ServerCertificate:
    """A server certificate with its chain and the key that belongs to it. Not checked: whether the
    intermediates are in order, dates, and names."""
    chain = _pem_certificates(files.certificate)
    key = _private_key(files.private_key)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ConfigError(files.private_key, None, "", "is not an RSA, ECDSA or Ed25519 key")
    certificate = ServerCertificate(chain, key)
    try:
        if chain[0].public_key() != key.public_key():
            raise ConfigError(
                files.private_key, None, "", f"is not the key of the first certificate in {files.certificate}"
            )
        app_context(certificate)
    except (ValueError, UnsupportedAlgorithm, ServerCertificateRefused) as error:
        raise ConfigError(files.certificate, None, "", f"cannot serve: {error}") from error
    return certificate


def read_authority(settings: AuthoritySettings) -> Authority:
    """An authority with its trust anchors, of which there is at least one."""
    authority = authority_from(settings, _certificates(settings.certificates))
    if not authority.anchors:
        raise ConfigError(settings.certificates, None, "", "its certificates only sign one another")
    return authority


def read_tpm_vendors(paths: Sequence[str]) -> VendorAuthorities:
    """The certificates of TPM vendors, each trusted by itself; all of them authorities."""
    certificates: dict[Certificate, None] = {}
    for path in paths:
        for number, certificate in enumerate(_certificates(path), start=1):
            if not certificate.extensions.is_ca:
                raise ConfigError(path, None, "", f"certificate {number} is not an authority's")
            certificates[certificate] = None
    return VendorAuthorities(tuple(certificates))


def read_crl(path: str, authority: Authority) -> CrlSnapshot:
    """A CRL file, signed by one of the authority's certificates."""
    try:
        return parse_crl(read_bytes(path, MAX_CRL_BYTES), authority.certificates)
    except CrlRejected as error:
        raise ConfigError(path, None, "", error.detail) from error


def read_idp_metadata(settings: IdentityProviderSettings, now: datetime) -> IdpMetadata:
    """The metadata of an identity provider, not expired."""
    content = read_bytes(settings.metadata, MAX_METADATA_BYTES)
    try:
        return parse_idp_metadata(content, now, settings.entity_id, settings.protocol)
    except MetadataRejected as error:
        raise ConfigError(settings.metadata, None, "", error.detail) from error


def read_decryption_key(path: str) -> rsa.RSAPrivateKey:
    """The key to which identity providers encrypt assertions."""
    key = _private_key(path)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(path, None, "", "is not an RSA key, which decrypting assertions needs")
    return key


def _certificates(path: str) -> list[Certificate]:
    certificates = []
    for number, pem in enumerate(_pem_certificates(path), start=1):
        try:
            certificates.append(parse_certificate(pem.public_bytes(Encoding.DER)))
        except CertificateRejected as error:
            raise ConfigError(path, None, "", f"certificate {number}: {error.detail}") from error
    return certificates


def _pem_certificates(path: str) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(read_bytes(path, MAX_CERTIFICATE_FILE_BYTES)))
    except ValueError as error:
        raise ConfigError(path, None, "", "holds no certificate in PEM form, or a damaged one") from error


def _private_key(path: str) -> PrivateKeyTypes:
    content = read_key_file(path)
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as error:
        raise ConfigError(path, None, "", "is encrypted; store the key without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(path, None, "", "holds no private key in PEM form that can be used") from error
