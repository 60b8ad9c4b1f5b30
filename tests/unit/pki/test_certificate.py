"""Parsing one certificate: what is refused by itself, and what it costs."""

import base64
import hashlib
import time
import warnings
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from support.forge import Forged, common_name, forge, forge_authority, forge_device, resigned

from gateway.model.reasons import TrustReason
from gateway.model.settings import DeviceFrom
from gateway.pki.certificate import (
    MAX_CERTIFICATE_BYTES,
    MAX_EXTENSION_ELEMENTS,
    CertificateRejected,
    parse_certificate,
)
from gateway.pki.identity import device_of
from gateway.pki.names import COMMON_NAME
from gateway.pki.signature import KeyRefused, load_public_key

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256_KEY = ec.generate_private_key(ec.SECP256R1())


def with_algorithm(signed: Forged, last_byte: str) -> Forged:
    """The same certificate claiming another RSA signature algorithm, in both places."""
    sha256_with_rsa = bytes.fromhex("06092a864886f70d01010b")
    return replace(
        signed, der=signed.der.replace(sha256_with_rsa, sha256_with_rsa[:-1] + bytes.fromhex(last_byte))
    )


def test_a_certificate_keeps_the_bytes_that_were_sent() -> None:
    root = forge_authority("Root")
    device = forge_device("device", root).parsed
    assert device.issuer_der == root.parsed.subject_der
    assert (
        device.certificate_id(root.parsed).issuer
        == hashlib.sha256(root.parsed.subject_der + root.parsed.spki_der).digest()
    )


def test_the_thumbprint_is_unpadded_base64url_of_the_sha256() -> None:
    device = forge_device("device", forge_authority("Root"))
    padded = device.parsed.thumbprint + "="
    assert base64.urlsafe_b64decode(padded) == hashlib.sha256(device.der).digest()
    assert "=" not in device.parsed.thumbprint


def test_two_authorities_of_one_name_never_share_serial_numbers() -> None:
    first, second = forge_authority("Same name").parsed, forge_authority("Same name").parsed
    assert first.subject == second.subject
    assert first.issuer_hash != second.issuer_hash


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(forge("x", key=P256_KEY), id="ECDSA P-256 with SHA-256"),
        pytest.param(
            forge("x", key=ec.generate_private_key(ec.SECP384R1()), digest=hashes.SHA384()), id="P-384"
        ),
        pytest.param(
            forge("x", key=ec.generate_private_key(ec.SECP521R1()), digest=hashes.SHA512()), id="P-521"
        ),
        pytest.param(forge("x", key=ed25519.Ed25519PrivateKey.generate()), id="Ed25519"),
        pytest.param(forge("x", key=RSA_KEY), id="RSA PKCS#1 with SHA-256"),
        pytest.param(
            forge("x", key=RSA_KEY, digest=hashes.SHA384(), padding=PKCS1v15()), id="RSA with SHA-384"
        ),
        pytest.param(
            forge("x", key=RSA_KEY, padding=PSS(MGF1(hashes.SHA256()), 32)), id="RSA PSS with SHA-256"
        ),
        pytest.param(
            forge("x", key=RSA_KEY, digest=hashes.SHA512(), padding=PSS(MGF1(hashes.SHA512()), 64)),
            id="RSA PSS with SHA-512",
        ),
    ],
)
def test_an_allowed_signature_verifies_and_a_changed_one_does_not(signed: Forged) -> None:
    certificate = signed.parsed
    assert certificate.is_signed_by(certificate)
    broken = parse_certificate(signed.der[:-1] + bytes([signed.der[-1] ^ 1]))
    assert not broken.is_signed_by(certificate)
    assert not certificate.is_signed_by(forge("another").parsed)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(with_algorithm(forge("x", key=RSA_KEY), "05"), id="RSA with SHA-1"),
        pytest.param(with_algorithm(forge("x", key=RSA_KEY), "04"), id="RSA with MD5"),
        pytest.param(
            forge("x", key=rsa.generate_private_key(public_exponent=65537, key_size=1024)),
            id="RSA of 1024 bits",
        ),
        pytest.param(
            forge("x", key=ec.generate_private_key(ec.SECP256K1())), id="a curve that is not allowed"
        ),
        pytest.param(
            forge("x", key=RSA_KEY, padding=PSS(MGF1(hashes.SHA256()), 20)), id="PSS with another salt length"
        ),
    ],
)
def test_a_weak_or_odd_algorithm_is_refused(refused: Forged) -> None:
    with pytest.raises(CertificateRejected) as caught:
        parse_certificate(refused.der)
    assert caught.value.reason is TrustReason.INVALID_CHAIN


GOOD = forge_device("device", forge_authority("Root")).der


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30\x00", id="an empty sequence"),
        pytest.param(GOOD + b"\x00", id="bytes after the end"),
        pytest.param(GOOD[:-1], id="a byte short"),
        pytest.param(b"\x30\x80" + GOOD[4:] + b"\x00\x00", id="indefinite length"),
        pytest.param(b"\x30\x83\x00" + GOOD[2:], id="a length that is not minimal"),
        pytest.param(b"\x00" * (MAX_CERTIFICATE_BYTES + 1), id="more bytes than allowed"),
        pytest.param(b"-----BEGIN CERTIFICATE-----", id="PEM"),
    ],
)
def test_what_is_not_der_of_one_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(CertificateRejected) as caught:
        parse_certificate(der)
    assert caught.value.reason is TrustReason.INVALID_CHAIN


def test_ten_thousand_names_cost_next_to_nothing() -> None:
    names = [x509.DNSName(f"h{number}.example.test") for number in range(10_000)]
    huge = forge("device", extensions=[(x509.SubjectAlternativeName(names), False)]).der
    began = time.perf_counter()
    with pytest.raises(CertificateRejected, match="larger than"):
        parse_certificate(huge)
    assert time.perf_counter() - began < 0.01


@pytest.mark.parametrize(
    "extension",
    [
        pytest.param(
            x509.SubjectAlternativeName([x509.DNSName("a")] * (MAX_EXTENSION_ELEMENTS + 1)), id="names"
        ),
        pytest.param(
            x509.NameConstraints([x509.DNSName("a")] * (MAX_EXTENSION_ELEMENTS + 1), None), id="constraints"
        ),
        pytest.param(
            x509.ExtendedKeyUsage(
                [x509.ObjectIdentifier(f"1.2.3.{n}") for n in range(MAX_EXTENSION_ELEMENTS + 1)]
            ),
            id="usages",
        ),
    ],
)
def test_an_extension_with_more_elements_than_allowed_is_refused(extension: x509.ExtensionType) -> None:
    with pytest.raises(CertificateRejected, match="more than 256 elements"):
        parse_certificate(forge("device", extensions=[(extension, False)]).der)


def test_a_subject_with_more_parts_than_allowed_is_refused() -> None:
    long = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"part {n}") for n in range(41)])
    with pytest.raises(CertificateRejected, match="more than 40 elements"):
        parse_certificate(forge(long).der)


def test_a_private_extension_need_not_be_der() -> None:
    private = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"plain text")
    assert (
        parse_certificate(forge("device", extensions=[(private, False)]).der).extensions.unprocessed_critical
        == ()
    )


def test_a_name_longer_than_x520_allows_parses_without_a_warning() -> None:
    with pytest.warns(UserWarning, match="length"):
        long = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 100, _validate=False)])
    der = forge(long).der
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_certificate(der).subject_attributes == ((COMMON_NAME, "x" * 100),)


def test_names_are_compared_without_case_white_space_and_string_type() -> None:
    plain = forge(common_name("Issuing  CA ")).parsed
    printable = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "issuing ca", x509.name._ASN1Type.PrintableString)]
    )
    assert plain.subject == forge(printable).parsed.subject
    assert plain.subject != forge(common_name("IssuingCA")).parsed.subject


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        pytest.param(
            "300a06082a8648ce3d040302", "300a06082a8648ce3d040303", "differ", id="two signature algorithms"
        ),
        pytest.param("020107300a", "020100300a", "not positive", id="serial number 0"),
        pytest.param("020107300a", "0201ff300a", "not positive", id="serial number -1"),
        pytest.param("020107300a", "040107300a", "not an integer", id="a serial number that is no integer"),
    ],
)
def test_a_certificate_is_refused_before_the_library_sees_it(old: str, new: str, detail: str) -> None:
    der = forge("x", serial_number=7).der
    changed = der.replace(bytes.fromhex(old), bytes.fromhex(new), 1)
    assert changed != der
    with pytest.raises(CertificateRejected, match=detail):
        parse_certificate(changed)


def test_a_signature_counts_only_with_the_kind_of_key_that_it_names() -> None:
    by_rsa = forge("x", key=RSA_KEY).parsed
    by_ecdsa = forge("x", key=P256_KEY).parsed
    by_ed25519 = forge("x", key=ed25519.Ed25519PrivateKey.generate()).parsed
    for certificate in (by_rsa, by_ecdsa, by_ed25519):
        fitting = [issuer for issuer in (by_rsa, by_ecdsa, by_ed25519) if certificate.is_signed_by(issuer)]
        assert fitting == [certificate]


def test_an_rsa_exponent_made_to_be_slow_is_refused() -> None:
    numbers = rsa.RSAPublicNumbers(e=2**33 + 1, n=RSA_KEY.public_key().public_numbers().n).public_key()
    spki = numbers.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyRefused, match="exponent"):
        load_public_key(spki, bytes.fromhex("300d06092a864886f70d0101010500"))


ROOT = forge_authority("Root")
NAMED = forge("device", ROOT, extensions=[(x509.KeyUsage(*[True] * 9), True)])
NAME = b"\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06device"


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(b"\x30" + NAME[1:], id="a sequence where a set has to be"),
        pytest.param(NAME[:4] + b"\x05" + NAME[5:], id="an attribute without a type"),
    ],
)
def test_a_signed_certificate_with_a_broken_name_is_refused(new: bytes) -> None:
    with pytest.raises(CertificateRejected, match="not a"):
        parse_certificate(resigned(NAMED.der, ROOT, NAME, new))


def test_a_name_that_is_no_text_equals_only_itself_and_is_nobodys() -> None:
    first = parse_certificate(resigned(NAMED.der, ROOT, NAME, NAME[:-6] + b"devic\xff"))
    second = parse_certificate(resigned(NAMED.der, ROOT, NAME, NAME[:-6] + b"DEVIC\xff"))
    assert first.subject != second.subject
    with pytest.raises(CertificateRejected, match="not text"):
        device_of(first, DeviceFrom.SUBJECT_CN)
