"""A built-in authority in memory: root and issuing authority, made by our own issuance code."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki.certificate import Certificate
from gateway.pki.certificate_profile import (
    DEFAULT_ISSUING_COMMON_NAME,
    ISSUING_AUTHORITY,
    ROOT_AUTHORITY,
)
from gateway.pki.certification_request import CertificationRequest, parse_certification_request
from gateway.pki.issuance import (
    DeviceIdentity,
    Publication,
    prepare_authority,
    prepare_device,
    sign,
)
from gateway.pki.signature import PublicKey
from gateway.pki.signer import algorithm_for

ROOT_CRL = "http://sso.example.test/crl/root-1-0.crl"
PUBLICATION = Publication(
    ("http://sso.example.test/crl/mtls-1-0.crl",),
    ("http://sso.example.test/ca/mtls-1.cer",),
    ("http://sso.example.test/ocsp",),
)
SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyInMemory:
    """Counts its signatures; ``broken`` makes each of them wrong."""

    def __init__(self, key: SigningKey | None = None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.public_key: PublicKey = self.key.public_key()
        self.algorithm_der = algorithm_for(self.public_key)
        self.signatures = 0
        self.broken = False

    def sign(self, signed: bytes) -> bytes:
        self.signatures += 1
        message = b"x" + signed if self.broken else signed
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


def new_serial_number() -> int:
    return secrets.randbits(158) | 1 << 158


def request_der(key: SigningKey | None = None, name: str = "whoever") -> bytes:
    """A certification request whose subject is not to be believed."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("admin.example.test")]), critical=False)
        .sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def new_request() -> CertificationRequest:
    return parse_certification_request(request_der())


@dataclass(slots=True)
class OwnAuthority:
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    root_key: KeyInMemory = field(default_factory=KeyInMemory)
    key: KeyInMemory = field(default_factory=KeyInMemory)
    root: Certificate = field(init=False)
    issuing: Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.root = sign(
            prepare_authority(
                "acme Device Trust Root",
                "acme",
                None,
                self.root_key.public_key,
                None,
                serial_number=new_serial_number(),
                now=self.now,
                publication=Publication(),
                profile=ROOT_AUTHORITY,
            ),
            self.root_key,
        )
        self.issuing = sign(
            prepare_authority(
                DEFAULT_ISSUING_COMMON_NAME,
                "acme",
                "Generation 1",
                self.key.public_key,
                self.root,
                serial_number=new_serial_number(),
                now=self.now,
                publication=Publication((ROOT_CRL,)),
                profile=ISSUING_AUTHORITY,
            ),
            self.root_key,
        )

    def issue(
        self,
        identity: DeviceIdentity | None = None,
        request: CertificationRequest | None = None,
        publication: Publication = PUBLICATION,
    ) -> Certificate:
        return sign(
            prepare_device(
                request or new_request(),
                identity or DeviceIdentity("urn:device:ws-42", "alice@example.test", "ws-42"),
                self.issuing,
                serial_number=new_serial_number(),
                now=self.now,
                publication=publication,
            ),
            self.key,
        )


def pem(*certificates: Certificate) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(each.der).public_bytes(Encoding.PEM) for each in certificates
    )
