"""Throw-away certification authorities for tests: small, fast (EC P-256) and able to issue bad things.

An authority issues what it is told to, also what the gateway has to refuse (expired leaves, a wrong
extended key usage, a CRL that is stale). Nothing here verifies anything.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

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

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

USER_PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SKEW = timedelta(minutes=5)  # certificates begin a little before now, as issued ones do


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where a credential was written. ``certificate`` holds the leaf and the intermediates after it."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key, and the intermediates up to, but without, the root."""

    certificate: x509.Certificate
    key: SigningKey
    intermediates: tuple[x509.Certificate, ...] = ()

    @property
    def serial_number(self) -> int:
        return self.certificate.serial_number

    @property
    def certificate_pem(self) -> bytes:
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.intermediates))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, directory: Path, name: str) -> CredentialFiles:
        """Write ``name.pem`` and ``name.key`` (mode 0600)."""
        files = CredentialFiles(directory / f"{name}.pem", directory / f"{name}.key")
        files.certificate.write_bytes(self.certificate_pem)
        write_private(files.private_key, self.key_pem)
        return files

    def pkcs12(self, password: bytes, friendly_name: bytes = b"device") -> bytes:
        """The form in which browsers import a certificate with its key (RFC 7292)."""
        return pkcs12.serialize_key_and_certificates(
            friendly_name, self.key, self.certificate, self.intermediates, BestAvailableEncryption(password)
        )


@dataclass(slots=True)
class Authority:
    """A certification authority: a root, or an issuing authority below one."""

    certificate: x509.Certificate
    key: SigningKey
    chain: tuple[x509.Certificate, ...]  # this authority first, without the root; empty for a root
    root: x509.Certificate
    crl_number: int = field(default=0)

    @classmethod
    def create_root(cls, common_name: str, *, now: datetime | None = None) -> Self:
        now = now or datetime.now(UTC)
        key = new_key()
        name = _common_name(common_name)
        certificate = (
            _authority_builder(name, name, key, now, path_length=None)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
            )
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key, (), certificate)

    @property
    def pem(self) -> bytes:
        """This authority's own certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def trust_pem(self) -> bytes:
        """What an administrator configures to trust this authority: it and all above it, root last."""
        certificates = dict.fromkeys((*self.chain, self.root))
        return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)

    def issue_intermediate(
        self, common_name: str, *, now: datetime | None = None, path_length: int | None = 0
    ) -> Self:
        """An issuing authority below this one."""
        now = now or datetime.now(UTC)
        key = new_key()
        certificate = (
            _authority_builder(_common_name(common_name), self.certificate.subject, key, now, path_length)
            .add_extension(self._authority_key_identifier(), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return type(self)(certificate, key, (certificate, *self.chain), self.root)

    def issue_client(
        self,
        device: str | None,
        user: str | None,
        *,
        now: datetime | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        common_name: str | None = None,
        extended_key_usage: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        extra_names: Sequence[x509.GeneralName] = (),
        certificate_policies: Sequence[str] = (),
        key: SigningKey | None = None,
    ) -> Credential:
        """A device certificate: ``device`` as a URI and ``user`` as a UPN in subjectAltName."""
        now = now or datetime.now(UTC)
        names: list[x509.GeneralName] = []
        if device is not None:
            names.append(x509.UniformResourceIdentifier(device))
        if user is not None:
            names.append(x509.OtherName(USER_PRINCIPAL_NAME, _utf8_string(user)))
        names.extend(extra_names)
        return self._issue(
            common_name or device or user or "device",
            names,
            extended_key_usage,
            not_before or now - SKEW,
            not_after or now + timedelta(days=30),
            key or new_key(),
            certificate_policies,
        )

    def issue_server(
        self, names: Iterable[str], *, now: datetime | None = None, key: SigningKey | None = None
    ) -> Credential:
        """A TLS server certificate for DNS names (wildcards too) and IP addresses."""
        now = now or datetime.now(UTC)
        written = list(names)
        return self._issue(
            written[0].removeprefix("*."),
            [_server_name(name) for name in written],
            (ExtendedKeyUsageOID.SERVER_AUTH,),
            now - SKEW,
            now + timedelta(days=90),
            key or new_key(),
        )

    def crl(
        self,
        revoked: Iterable[Credential | int] = (),
        *,
        now: datetime | None = None,
        next_update: datetime | None = None,
        number: int | None = None,
        delta_from: int | None = None,
        reasons: Mapping[int, x509.ReasonFlags] | None = None,
    ) -> bytes:
        """A CRL in PEM (RFC 5280 §5). ``number`` goes up by one by itself; ``delta_from`` makes it a
        delta CRL on that base. ``next_update`` is two hours away unless given."""
        now = now or datetime.now(UTC)
        self.crl_number = self.crl_number + 1 if number is None else number
        this_update = min(now, next_update - timedelta(seconds=1)) if next_update else now
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(this_update)
            .next_update(next_update or now + timedelta(hours=2))
            .add_extension(x509.CRLNumber(self.crl_number), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        if delta_from is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(delta_from), critical=True)
        for entry in revoked:
            serial_number = entry if isinstance(entry, int) else entry.serial_number
            revocation = (
                x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(this_update)
            )
            if reasons and serial_number in reasons:
                revocation = revocation.add_extension(x509.CRLReason(reasons[serial_number]), critical=False)
            builder = builder.add_revoked_certificate(revocation.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _issue(
        self,
        common_name: str,
        names: Sequence[x509.GeneralName],
        extended_key_usage: Sequence[ObjectIdentifier],
        not_before: datetime,
        not_after: datetime,
        key: SigningKey,
        certificate_policies: Sequence[str] = (),
    ) -> Credential:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_common_name(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(not_before, not_after - timedelta(seconds=1)))
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(self._authority_key_identifier(), critical=False)
        )
        if extended_key_usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended_key_usage), critical=False)
        if certificate_policies:
            policies = [x509.PolicyInformation(ObjectIdentifier(each), None) for each in certificate_policies]
            builder = builder.add_extension(x509.CertificatePolicies(policies), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Credential(builder.sign(self.key, hashes.SHA256()), key, self.chain)

    def _authority_key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def federation_credential(common_name: str, *, now: datetime | None = None) -> Credential:
    """A self-signed RSA certificate, as identity providers publish for message signatures."""
    now = now or datetime.now(UTC)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = _common_name(common_name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    return Credential(certificate, key)


def write_private(path: Path, content: bytes) -> None:
    """Create ``path`` readable by its owner only; the bytes are never there with another mode."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _utf8_string(text: str) -> bytes:
    """DER of a UTF8String (X.690 §8.23), which is what a UPN otherName holds."""
    content = text.encode()
    if len(content) < 0x80:
        return bytes((0x0C, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes((0x0C, 0x80 | len(length))) + length + content


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


def _authority_builder(
    subject: x509.Name, issuer: x509.Name, key: SigningKey, now: datetime, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
