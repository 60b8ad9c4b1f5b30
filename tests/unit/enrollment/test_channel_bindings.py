"""By which hash a certificate names the TLS connection (RFC 5929 §4.1)."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.enrollment.channel_bindings import tls_server_end_point

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "iwa")])
NOW = datetime(2026, 11, 26, tzinfo=UTC)
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


def certificate(key: object, algorithm: object, rsa_padding: object = None) -> bytes:
    builder = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), 1)  # type: ignore[attr-defined]
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    made = builder.sign(key, algorithm, rsa_padding=rsa_padding)  # type: ignore[arg-type]
    return made.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("der", "name"),
    [
        (certificate(RSA, hashes.SHA256()), "sha256"),
        (certificate(RSA, hashes.SHA512()), "sha512"),
        (certificate(EC, hashes.SHA384()), "sha384"),
        (certificate(RSA, hashes.SHA384(), PSS), "sha384"),
    ],
)
def test_the_hash_is_that_of_the_signature(der: bytes, name: str) -> None:
    assert tls_server_end_point(der) == b"tls-server-end-point:" + hashlib.new(name, der).digest()


def test_a_weak_hash_is_replaced() -> None:
    """As of old company authorities: cryptography signs with SHA-1 no more, so the algorithm's name is put
    into a certificate. Signatures are not looked at here."""
    sha256, sha1 = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
    der = certificate(RSA, hashes.SHA256()).replace(sha256, sha1)
    assert tls_server_end_point(der) == b"tls-server-end-point:" + hashlib.sha256(der).digest()


def test_a_signature_without_a_hash_names_nothing() -> None:
    assert tls_server_end_point(certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None


def test_what_is_no_certificate_is_refused() -> None:
    with pytest.raises(ValueError):
        tls_server_end_point(b"no certificate")
