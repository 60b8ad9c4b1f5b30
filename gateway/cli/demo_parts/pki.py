"""Throw-away keys for the demo: a web server's certificate; a CA that is not ours, its certificates and CRL.

Everything is made anew for each run and trusted by nothing outside of it. The key of the web root is
dropped as soon as the one certificate is issued, and the root is name-constrained to ``localhost``
(RFC 5280 §4.2.1.10), so that even who imports it into a browser of his own lets nobody else's site in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

_USER_PRINCIPAL_NAME: Final = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_BACKDATED: Final = timedelta(minutes=5)
_LIFETIME: Final = timedelta(days=7)
_MAX_SHORT_DER_LENGTH: Final = 0x7F


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def certificate_der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pkcs12(self, friendly_name: str, password: str) -> bytes:
        """The form in which browsers import a certificate with its key (RFC 7292)."""
        protection = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(
            friendly_name.encode(),
            self.key,
            self.certificate,
            None,
            protection,
        )


class DeviceAuthority:
    """A self-signed CA that issues device certificates and says which it has revoked."""

    def __init__(self, common_name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _self_signed_authority(common_name, self._key, ())
        self._crl_number = 0

    @property
    def certificate_pem(self) -> bytes:
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, label: str, device: str, user: str, *, expired: bool = False) -> Credential:
        """A client certificate: ``device`` as a URI, ``user`` as a user principal name (subjectAltName)."""
        now = datetime.now(UTC)
        begin, end = now - _BACKDATED, now + _LIFETIME
        if expired:
            begin, end = now - _LIFETIME, now - timedelta(days=1)
        return _issue(
            (self._certificate, self._key),
            label,
            (
                x509.UniformResourceIdentifier(device),
                x509.OtherName(_USER_PRINCIPAL_NAME, _utf8_string(user)),
            ),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            (begin, end),
        )

    def crl(self, revoked: Iterable[Credential] = ()) -> bytes:
        """A newer CRL (RFC 5280 §5) in PEM, with exactly these certificates on it."""
        now = datetime.now(UTC)
        self._crl_number += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now)
            .next_update(now + _LIFETIME)
            .add_extension(x509.CRLNumber(self._crl_number), critical=False)
            .add_extension(_authority_key_identifier(self._key), critical=False)
        )
        for credential in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(credential.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def client_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certification request (PKCS#10, DER) that proves possession of the key and claims no name."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def web_server(host_names: Sequence[str]) -> tuple[bytes, Credential]:
    """The root that browsers are to trust (PEM), and the server certificate below it."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("localhost")], excluded_subtrees=None)
    root = _self_signed_authority("Demo web root", root_key, ((constraints, True),))
    now = datetime.now(UTC)
    credential = _issue(
        (root, root_key),
        host_names[0].removeprefix("*."),
        [x509.DNSName(name) for name in host_names],
        ExtendedKeyUsageOID.SERVER_AUTH,
        (now - _BACKDATED, now + _LIFETIME),
    )
    return root.public_bytes(Encoding.PEM), credential


def message_signer(common_name: str) -> Credential:
    """A self-signed RSA certificate, as identity providers publish in their metadata."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name, now = _name(common_name), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return Credential(certificate, key)


def _self_signed_authority(
    common_name: str,
    key: ec.EllipticCurvePrivateKey,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    name, now = _name(common_name), datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _LIFETIME)  # before the expired certificate began
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(key), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key, hashes.SHA256())


def _issue(
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    common_name: str,
    names: Sequence[x509.GeneralName],
    purpose: ObjectIdentifier,
    validity: tuple[datetime, datetime],
) -> Credential:
    issuer_certificate, issuer_key = issuer
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity[0])
        .not_valid_after(validity[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(issuer_key), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Credential(certificate, key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _authority_key_identifier(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _utf8_string(text: str) -> bytes:
    """DER of a UTF8String (X.690 §8.23), which is what a user principal name is written as."""
    content = text.encode()
    if len(content) > _MAX_SHORT_DER_LENGTH:
        raise ValueError("a user name of the demo has at most 127 bytes")
    return bytes((0x0C, len(content))) + content
