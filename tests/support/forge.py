"""Certificates with any content, right or wrong, for tests of path validation. Nothing here verifies.

`support.pki` issues what a sane authority issues; here every field can be set, and every extension
replaced. All dates are relative to the fixed moment `NOW`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.pki.certificate import Certificate, parse_certificate

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH

ForgedKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True, slots=True)
class Forged:
    """A certificate and its private key."""

    subject: x509.Name
    key: ForgedKey
    der: bytes

    @property
    def parsed(self) -> Certificate:
        return parse_certificate(self.der)


def forge(
    subject: x509.Name | str,
    signer: Forged | None = None,
    *,
    extensions: Iterable[Extension] = (),
    key: ForgedKey | None = None,
    issuer: x509.Name | None = None,
    not_before: datetime = NOW - DAY,
    not_after: datetime = NOW + 30 * DAY,
    serial_number: int | None = None,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
    padding: PSS | PKCS1v15 | None = None,
) -> Forged:
    """Sign a certificate with exactly these extensions; self-signed without a ``signer``."""
    name = subject if isinstance(subject, x509.Name) else common_name(subject)
    key = key or ec.generate_private_key(ec.SECP256R1())
    signing_key = signer.key if signer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer if issuer is not None else signer.subject if signer else name)
        .public_key(key.public_key())
        .serial_number(serial_number or x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    algorithm = None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    certificate = builder.sign(signing_key, algorithm, rsa_padding=padding)
    return Forged(name, key, certificate.public_bytes(Encoding.DER))


def forge_authority(
    subject: x509.Name | str,
    signer: Forged | None = None,
    *,
    path_length: int | None = None,
    usage: x509.KeyUsage | None = None,
    extra: Iterable[Extension] = (),
    key: ForgedKey | None = None,
    not_before: datetime = NOW - DAY,
    not_after: datetime = NOW + 3000 * DAY,
) -> Forged:
    """A proper authority, root or intermediate, with ``extra`` extensions."""
    return forge(
        subject,
        signer,
        key=key,
        not_before=not_before,
        not_after=not_after,
        extensions=(
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (usage or key_usage(key_cert_sign=True, crl_sign=True), True),
            *extra,
        ),
    )


def forge_device(
    subject: x509.Name | str,
    signer: Forged,
    *,
    names: Iterable[x509.GeneralName] = (x509.UniformResourceIdentifier("urn:device:1"),),
    extra: Iterable[Extension] = (),
    usage: x509.KeyUsage | None = None,
    extended_usages: Iterable[x509.ObjectIdentifier] = (CLIENT_AUTH,),
    key: ForgedKey | None = None,
    not_before: datetime = NOW - DAY,
    not_after: datetime = NOW + 30 * DAY,
) -> Forged:
    """A proper device certificate, with ``extra`` extensions."""
    extensions: list[Extension] = [(usage or key_usage(digital_signature=True), True)]
    if usages := list(extended_usages):
        extensions.append((x509.ExtendedKeyUsage(usages), False))
    if alternatives := list(names):
        extensions.append((x509.SubjectAlternativeName(alternatives), False))
    return forge(
        subject,
        signer,
        key=key,
        not_before=not_before,
        not_after=not_after,
        extensions=(*extensions, *extra),
    )


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def upn(text: str) -> x509.OtherName:
    content = text.encode()
    return x509.OtherName(UPN, bytes((0x0C, len(content))) + content)


def key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=not (digital_signature or key_cert_sign or crl_sign),
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def forge_crl(
    signer: Forged,
    revoked: Iterable[int | x509.RevokedCertificate] = (),
    *,
    number: int | None = 1,
    base_number: int | None = None,
    extra: Iterable[Extension] = (),
    issuer: x509.Name | None = None,
    this_update: datetime = NOW - DAY / 24,
    next_update: datetime = NOW + DAY,
) -> bytes:
    """A CRL in DER with exactly these extensions; ``number`` None leaves the CRL number out."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer or signer.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base_number is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base_number), critical=True)
    for value, critical in extra:
        builder = builder.add_extension(value, critical=critical)
    for entry in revoked:
        builder = builder.add_revoked_certificate(crl_entry(entry) if isinstance(entry, int) else entry)
    algorithm = None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer.key, algorithm).public_bytes(Encoding.DER)


def crl_entry(serial_number: int, *extensions: Extension) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(NOW - DAY)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.build()


def resigned(der: bytes, signer: Forged, old: bytes, new: bytes) -> bytes:
    """A certificate or CRL with ``old`` replaced by ``new`` (as long) in what is signed, signed again.

    For contents that no builder writes. The signer's key is elliptic and the digest is SHA-256.
    """
    if len(old) != len(new) or old not in der:
        raise ValueError("what is replaced is not there, or of another length")
    if not isinstance(signer.key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic key")
    changed = der.replace(old, new)
    signed_start = 4 if changed[1] == 0x82 else 3 if changed[1] == 0x81 else 2
    header = 4 if changed[signed_start + 1] == 0x82 else 3
    length = int.from_bytes(changed[signed_start + 2 : signed_start + header])
    signed = changed[signed_start : signed_start + header + length]
    signature = b"\x00" + signer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = signed + algorithm + bytes((0x03, len(signature))) + signature
    return b"\x30\x82" + len(body).to_bytes(2) + body
