"""Of a certification request only the key counts, and only if whoever asks holds it and it is strong."""

import base64
import math

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from support.own_authority import request_der

from gateway.pki import certification_request
from gateway.pki.certification_request import (
    MAX_CERTIFICATION_REQUEST_BYTES,
    CertificationRequestRefused,
    RequestRefusal,
    parse_certification_request,
)
from gateway.pki.signer import spki_of

EMPTY = x509.Name([])


def made(key, digest=None):
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder().subject_name(EMPTY).sign(key, algorithm)
    return request.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "P-521", "Ed25519", "RSA 2048"],
)
@pytest.mark.parametrize("form", ["DER", "PEM"])
def test_a_strong_key_that_signed_the_request_is_taken(key, form):
    der = made(key)
    if form == "PEM":
        der = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
    assert parse_certification_request(der).spki_der == spki_of(key.public_key())


def test_the_words_of_old_tools_around_pem_are_taken():
    body = base64.encodebytes(request_der())
    armor = b"-----%s NEW CERTIFICATE REQUEST-----\r\n"
    assert parse_certification_request(armor % b"BEGIN" + body + armor % b"END")


def swapped_key() -> bytes:
    """The request of one key with another key in it."""
    der, other = request_der(), spki_of(ec.generate_private_key(ec.SECP256R1()).public_key())
    own = parse_certification_request(der).spki_der
    return der.replace(own, other)


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (b"", RequestRefusal.MALFORMED),
        (
            b"-----BEGIN CERTIFICATE REQUEST-----\n!!\n-----END CERTIFICATE REQUEST-----",
            RequestRefusal.MALFORMED,
        ),
        (b"-----BEGIN PRIVATE KEY-----\n", RequestRefusal.MALFORMED),
        (request_der() + b"\0", RequestRefusal.MALFORMED),
        (request_der()[:-1], RequestRefusal.MALFORMED),
        (b"\x30" * (MAX_CERTIFICATION_REQUEST_BYTES + 1), RequestRefusal.TOO_LARGE),
        (swapped_key(), RequestRefusal.NO_PROOF_OF_POSSESSION),
        (request_der()[:-1] + bytes((request_der()[-1] ^ 1,)), RequestRefusal.NO_PROOF_OF_POSSESSION),
        (made(rsa.generate_private_key(65537, 1024)), RequestRefusal.WEAK_KEY),
        (made(rsa.generate_private_key(3, 2048)), RequestRefusal.WEAK_KEY),
        (made(ec.generate_private_key(ec.SECP256K1())), RequestRefusal.WEAK_KEY),
        (made(ec.generate_private_key(ec.SECP224R1())), RequestRefusal.WEAK_KEY),
        (made(dsa.generate_private_key(2048)), RequestRefusal.WEAK_KEY),
        (made(ec.generate_private_key(ec.SECP256R1()), hashes.SHA224()), RequestRefusal.ALGORITHM_REFUSED),
    ],
)
def test_anything_else_is_refused_with_its_reason(request_bytes, reason):
    with pytest.raises(CertificationRequestRefused) as refused:
        parse_certification_request(request_bytes)
    assert refused.value.reason is reason


def test_a_larger_rsa_key_than_a_device_needs_is_refused():
    class Huge(rsa.RSAPublicKey):
        key_size = 4_097

    Huge.__abstractmethods__ = frozenset()
    with pytest.raises(ValueError, match="4097 bits"):
        certification_request._check_strength(Huge())


ODD_PRIMES = [n for n in range(3, 752) if all(n % factor for factor in range(2, n))]


def infineon_like() -> int:
    """A power of 65537 modulo every small prime, and odd."""
    modulus = pow(65537, 1001, math.prod(ODD_PRIMES)) + (math.prod(ODD_PRIMES) << 1100)
    return modulus if modulus % 2 else modulus + math.prod(ODD_PRIMES)


@pytest.mark.parametrize(
    ("modulus", "says"),
    [(751 * (1 << 2048 | 1), "small factor"), (infineon_like(), "CVE-2017-15361")],
)
def test_a_modulus_that_can_be_factored_is_refused(modulus, says):
    with pytest.raises(ValueError, match=says):
        certification_request._check_strength(rsa.RSAPublicNumbers(65537, modulus).public_key())
