"""CRLs: which are accepted, and what is kept of them."""

import base64
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from support.forge import (
    DAY,
    NOW,
    Extension,
    Forged,
    common_name,
    crl_entry,
    forge,
    forge_authority,
    forge_crl,
    key_usage,
    resigned,
)

from gateway.pki.crl import Covers, CrlReason, CrlRejected, CrlScope, CrlSnapshot, parse_crl
from gateway.pki.serials import SerialSet

CA = forge_authority("CA")
OTHER = forge_authority("Other CA")
SAME_NAME = forge_authority("CA")
MAY_NOT = forge_authority("May not", usage=key_usage(key_cert_sign=True))
NO_USAGE = forge("No usage", extensions=[(x509.BasicConstraints(True, None), True)])
NO_AUTHORITY = forge("No authority")
ED25519 = forge_authority("Ed25519 CA", key=ed25519.Ed25519PrivateKey.generate())
REMOVED: Extension = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
HOLD: Extension = (x509.CRLReason(x509.ReasonFlags.certificate_hold), False)
WIDEST = 2**159 - 1


def pem(der: bytes) -> bytes:
    return b"-----BEGIN X509 CRL-----\n" + base64.encodebytes(der) + b"-----END X509 CRL-----\n"


def point(
    *uris: str,
    user: bool = False,
    ca: bool = False,
    attribute: bool = False,
    indirect: bool = False,
    reasons: frozenset[x509.ReasonFlags] | None = None,
    relative: x509.RelativeDistinguishedName | None = None,
) -> Extension:
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] or None
    return x509.IssuingDistributionPoint(names, relative, user, ca, reasons, indirect, attribute), True


def parsed(der: bytes) -> CrlSnapshot:
    return parse_crl(der, [OTHER.parsed, SAME_NAME.parsed, CA.parsed, NO_USAGE.parsed, ED25519.parsed])


@pytest.mark.parametrize(
    "encode", [lambda der: der, pem, lambda der: b"\n" + pem(der)], ids=["DER", "PEM", "PEM, led by a line"]
)
def test_a_crl_is_read_from_der_and_pem(encode: Callable[[bytes], bytes]) -> None:
    crl = parsed(encode(forge_crl(CA, [7, WIDEST], number=12)))
    assert (crl.issuer, crl.number, crl.base_number) == (CA.parsed.issuer_hash, 12, None)
    assert (crl.this_update, crl.next_update) == (NOW - DAY / 24, NOW + DAY)
    assert crl.scope == CrlScope()
    assert 7 in crl.revoked
    assert WIDEST in crl.revoked
    assert 8 not in crl.revoked
    assert len(crl.revoked) == 2


@pytest.mark.parametrize("signer", [CA, SAME_NAME, NO_USAGE, ED25519], ids=lambda signer: str(signer.subject))
def test_the_issuer_is_the_configured_one_whose_key_signed(signer: Forged) -> None:
    assert parsed(forge_crl(signer)).issuer == signer.parsed.issuer_hash


def test_an_empty_crl_and_odd_entries_are_no_problem() -> None:
    assert len(parsed(forge_crl(CA)).revoked) == 0
    held = parsed(
        forge_crl(
            CA,
            [crl_entry(5, HOLD), crl_entry(6), crl_entry(6), crl_entry(7, (x509.InvalidityDate(NOW), False))],
        )
    )
    assert (set(held.revoked), len(held.revoked)) == ({5, 6, 7}, 4)
    assert 5 in held.revoked


@pytest.mark.parametrize(
    ("extension", "scope"),
    [
        (point(user=True), CrlScope(Covers.END_ENTITIES)),
        (point(ca=True), CrlScope(Covers.AUTHORITIES)),
        (point("http://a.test/1.crl"), CrlScope(Covers.ALL, frozenset({"http://a.test/1.crl"}))),
        (
            point("http://a.test/1.crl", "http://b.test/1.crl", user=True),
            CrlScope(Covers.END_ENTITIES, frozenset({"http://a.test/1.crl", "http://b.test/1.crl"})),
        ),
    ],
    ids=["user certificates", "CA certificates", "one distribution point", "several, for users"],
)
def test_the_scope_is_what_the_issuing_distribution_point_says(extension: Extension, scope: CrlScope) -> None:
    assert parsed(forge_crl(CA, extra=[extension])).scope == scope


def test_a_delta_crl_says_what_is_removed() -> None:
    delta = parsed(forge_crl(CA, [crl_entry(1), crl_entry(2, REMOVED)], number=9, base_number=7))
    assert (delta.is_delta, delta.base_number) == (True, 7)
    assert (1 in delta.revoked, 2 in delta.revoked, 2 in delta.removed) == (True, False, True)


GOOD = forge_crl(CA, [1, 2, 3])
UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.55555.3")


@pytest.mark.parametrize(
    ("der", "reason"),
    [
        pytest.param(b"", CrlReason.MALFORMED, id="nothing"),
        pytest.param(GOOD[:-1], CrlReason.MALFORMED, id="a byte short"),
        pytest.param(GOOD + b"\x00", CrlReason.MALFORMED, id="a byte more"),
        pytest.param(CA.der, CrlReason.MALFORMED, id="a certificate"),
        pytest.param(
            b"-----BEGIN X509 CRL-----\n!!!\n-----END X509 CRL-----", CrlReason.MALFORMED, id="not base64"
        ),
        pytest.param(b"-----BEGIN CERTIFICATE-----\n", CrlReason.MALFORMED, id="other PEM"),
        pytest.param(
            GOOD[:-1] + bytes([GOOD[-1] ^ 1]), CrlReason.SIGNATURE_INVALID, id="a changed signature"
        ),
        pytest.param(
            GOOD.replace(b"\x02\x01\x02\x17", b"\x02\x01\x09\x17"),
            CrlReason.SIGNATURE_INVALID,
            id="a changed entry",
        ),
        pytest.param(
            forge_crl(forge_authority("Stranger")), CrlReason.ISSUER_UNKNOWN, id="an unknown issuer"
        ),
        pytest.param(
            forge_crl(forge_authority("CA")),
            CrlReason.SIGNATURE_INVALID,
            id="another authority of the same name",
        ),
        pytest.param(forge_crl(MAY_NOT), CrlReason.SIGNATURE_INVALID, id="an issuer without cRLSign"),
        pytest.param(
            forge_crl(NO_AUTHORITY), CrlReason.SIGNATURE_INVALID, id="an issuer that is no authority"
        ),
        pytest.param(forge_crl(OTHER, issuer=CA.subject), CrlReason.SIGNATURE_INVALID, id="another's key"),
        pytest.param(forge_crl(CA, number=None), CrlReason.MALFORMED, id="no CRL number"),
        pytest.param(forge_crl(CA, extra=[point(indirect=True)]), CrlReason.UNSUPPORTED, id="indirect"),
        pytest.param(
            forge_crl(CA, extra=[point(attribute=True)]), CrlReason.UNSUPPORTED, id="attribute certificates"
        ),
        pytest.param(
            forge_crl(
                CA, extra=[point("http://a.test", reasons=frozenset({x509.ReasonFlags.key_compromise}))]
            ),
            CrlReason.UNSUPPORTED,
            id="some reasons only",
        ),
        pytest.param(
            forge_crl(CA, extra=[point(relative=x509.RelativeDistinguishedName(list(common_name("x"))))]),
            CrlReason.UNSUPPORTED,
            id="a relative distribution point",
        ),
        pytest.param(
            forge_crl(CA, extra=[(x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00"), True)]),
            CrlReason.UNSUPPORTED,
            id="an unknown critical extension",
        ),
        pytest.param(
            forge_crl(CA, [crl_entry(1, (x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00"), True))]),
            CrlReason.UNSUPPORTED,
            id="an entry with an unknown critical extension",
        ),
        pytest.param(
            forge_crl(
                CA, [crl_entry(1, (x509.CertificateIssuer([x509.DirectoryName(OTHER.subject)]), True))]
            ),
            CrlReason.UNSUPPORTED,
            id="an entry of another issuer",
        ),
        pytest.param(
            forge_crl(CA, [crl_entry(1, REMOVED)]), CrlReason.MALFORMED, id="removeFromCRL in a full CRL"
        ),
        pytest.param(
            GOOD.replace(bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040301")),
            CrlReason.UNSUPPORTED,
            id="a signature algorithm that is not allowed",
        ),
    ],
)
def test_a_crl_that_must_not_be_used_says_why(der: bytes, reason: CrlReason) -> None:
    issuers = [CA.parsed, OTHER.parsed, MAY_NOT.parsed, NO_AUTHORITY.parsed]
    with pytest.raises(CrlRejected) as caught:
        parse_crl(der, issuers)
    assert caught.value.reason is reason


def test_ten_thousand_entries_are_read_in_a_fraction_of_a_second_and_kept_in_21_bytes_each() -> None:
    serial_numbers = [number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**152 + 1 for number in range(10_000)]
    der = forge_crl(CA, [crl_entry(number, HOLD) for number in serial_numbers[:5_000]])
    began = time.perf_counter()
    crl = parse_crl(der, [CA.parsed])
    assert time.perf_counter() - began < 0.5
    assert all(number in crl.revoked for number in serial_numbers[:5_000])
    assert not any(number in crl.revoked for number in serial_numbers[5_000:])
    assert crl.revoked.length_bytes < 5_000 * 21


def test_serial_numbers_are_compared_as_numbers() -> None:
    serials = SerialSet.of([b"\x01", b"\x00\x01", b"\x00\xff"])
    assert 1 in serials
    assert 255 in serials
    assert 0 not in serials
    assert 1 not in SerialSet.of()


def date(text: str) -> bytes:
    return b"\x17\x0d" + text.encode()


NEXT_UPDATE = date("260602120000Z")
LONG = forge_crl(CA, range(1, 9), extra=[point("http://a.test/1.crl")])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(NEXT_UPDATE, date("260601105959Z"), id="nextUpdate before thisUpdate"),
        pytest.param(b"\x02\x01\x01\x30\x0a", b"\x02\x01\x00\x30\x0a", id="version 1"),
        pytest.param(b"\x02\x01\x05\x17", b"\x04\x01\x05\x17", id="an entry without a serial number"),
        pytest.param(b"\x02\x01\x05\x17", b"\x02\x01\x05\x04", id="an entry without a date"),
        pytest.param(b"\x30\x12\x02\x01\x05", b"\x31\x12\x02\x01\x05", id="an entry of another type"),
        pytest.param(b"\x30\x12\x02\x01\x05", b"\x30\x7f\x02\x01\x05", id="an entry longer than the list"),
        pytest.param(
            bytes.fromhex("0603551d14"), bytes.fromhex("0603551d7f"), id="the CRL number under another type"
        ),
        pytest.param(bytes.fromhex("0403020101"), bytes.fromhex("04030201ff"), id="a negative CRL number"),
        pytest.param(NEXT_UPDATE, b"\x04\x0d260602120000Z", id="a date that is none"),
    ],
)
def test_a_signed_crl_with_contents_that_no_builder_writes_is_malformed(old: bytes, new: bytes) -> None:
    assert parse_crl(resigned(LONG, CA, NEXT_UPDATE, NEXT_UPDATE), [CA.parsed]).number == 1
    with pytest.raises(CrlRejected) as caught:
        parse_crl(resigned(LONG, CA, old, new), [CA.parsed])
    assert caught.value.reason is CrlReason.MALFORMED


def test_a_crl_that_names_two_signature_algorithms_is_malformed() -> None:
    sha256, sha384 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040303")
    with pytest.raises(CrlRejected, match="differ"):
        parse_crl(GOOD.replace(sha256, sha384, 1), [CA.parsed])


def test_a_crl_larger_than_allowed_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.pki.crl.MAX_CRL_BYTES", len(GOOD) - 1)
    with pytest.raises(CrlRejected) as caught:
        parse_crl(GOOD, [CA.parsed])
    assert caught.value.reason is CrlReason.TOO_LARGE


def test_negative_and_overlong_serial_numbers_are_passed_over() -> None:
    negative = resigned(LONG, CA, b"\x02\x01\x05\x17", b"\x02\x01\x85\x17")
    crl = parse_crl(negative, [CA.parsed])
    assert len(crl.revoked) == 7
    assert 5 not in crl.revoked


def noted(length: int) -> Extension:
    """An entry extension that nobody knows, for entries of any length."""
    return x509.UnrecognizedExtension(UNKNOWN, bytes(length)), False


def test_entries_of_every_form_are_read_as_another_reader_reads_them() -> None:
    late = x509.RevokedCertificateBuilder().revocation_date(NOW + 30 * 365 * DAY)  # GeneralizedTime
    entries = [
        *(crl_entry(2 ** (8 * size - 2) + size) for size in range(1, 21)),
        *(crl_entry(1_000 + length, noted(length)) for length in range(60, 140)),
        *(crl_entry(2_000 + length, noted(length)) for length in (250, 260, 70_000)),
        *(late.serial_number(number).build() for number in (3_000, 3_001)),
        *(crl_entry(4_000 + number, HOLD) for number in range(20)),
    ]
    der = forge_crl(CA, entries)
    theirs = [entry.serial_number for entry in x509.load_der_x509_crl(der)]
    assert len(theirs) == len(entries)
    assert sorted(parse_crl(der, [CA.parsed]).revoked) == sorted(theirs)


def test_an_entry_that_gives_two_reasons_is_malformed() -> None:
    """Whoever takes the last one would take a certificate off the list that another reader leaves on it."""
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.30"), bytes.fromhex("0a0108"))
    entries = [*range(100, 120), crl_entry(7, HOLD, (other, False))]
    der = forge_crl(CA, entries, number=9, base_number=8)
    assert 7 in parse_crl(der, [CA.parsed]).revoked
    twice = resigned(der, CA, bytes.fromhex("0603551d1e"), bytes.fromhex("0603551d15"))
    with pytest.raises(CrlRejected, match="stands twice"):
        parse_crl(twice, [CA.parsed])


@pytest.mark.parametrize(
    "value",
    ["30068101ff8201ff", "3000", "3003810100", "040100"],
    ids=["user and CA certificates only", "that says nothing", "a default that is written", "that is none"],
)
def test_an_issuing_distribution_point_against_the_rules_is_malformed(value: str) -> None:
    given = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.28"), bytes.fromhex(value))
    with pytest.raises(CrlRejected) as caught:
        parse_crl(forge_crl(CA, extra=[(given, True)]), [CA.parsed])
    assert caught.value.reason is CrlReason.MALFORMED
