"""OCSP: what openssl and the library ask is understood, what is answered they read, and bounds hold."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from support.own_authority import OwnAuthority

from gateway.model.issued import RevocationReason
from gateway.pki import der_writing as write
from gateway.pki.ocsp import (
    MAX_ASKED,
    MAX_OCSP_REQUEST_BYTES,
    Good,
    OcspFailure,
    OcspIssuer,
    OcspRequestRefused,
    Revoked,
    Unknown,
    failure_answer,
    parse_ocsp_request,
    signed_answer,
)
from gateway.pki.ocsp_answers import KeptAnswer, KeptAnswers

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OWN = OwnAuthority(NOW)
DEVICE = OWN.issue()
ISSUER = OcspIssuer(OWN.issuing)


def asked(certificate=DEVICE, algorithm=None, nonce=None, issuer=OWN.issuing) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(certificate.der),
        x509.load_der_x509_certificate(issuer.der),
        algorithm or hashes.SHA1(),
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def answered(statuses, nonce=None, next_update=NOW + timedelta(hours=1)) -> ocsp.OCSPResponse:
    der = signed_answer(
        statuses,
        OWN.key,
        this_update=NOW,
        next_update=next_update,
        produced_at=NOW,
        nonce=nonce,
        responder_spki_der=OWN.issuing.spki_der,
    )
    return ocsp.load_der_ocsp_response(der)


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_a_certificate_is_known_by_whatever_hash_names_its_issuer(algorithm):
    request = parse_ocsp_request(asked(algorithm=algorithm))
    assert [one.serial_number for one in request.asked] == [DEVICE.serial_number]
    assert ISSUER.is_named_by(request.asked[0])
    assert not OcspIssuer(OWN.root).is_named_by(request.asked[0])


def test_an_unknown_hash_names_nobody():
    request = parse_ocsp_request(asked(algorithm=hashes.SHA224()))
    assert request.asked[0].hash_name is None
    assert not ISSUER.is_named_by(request.asked[0])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Good(), (ocsp.OCSPCertStatus.GOOD, None, None)),
        (Unknown(), (ocsp.OCSPCertStatus.UNKNOWN, None, None)),
        (Revoked(NOW), (ocsp.OCSPCertStatus.REVOKED, NOW, None)),
        (
            Revoked(NOW, RevocationReason.KEY_COMPROMISE),
            (ocsp.OCSPCertStatus.REVOKED, NOW, x509.ReasonFlags.key_compromise),
        ),
    ],
)
def test_each_status_is_read_back(status, expected):
    request = parse_ocsp_request(asked())
    answer = answered([(request.asked[0], status)])
    assert answer.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert (answer.certificate_status, answer.revocation_time_utc, answer.revocation_reason) == expected
    assert answer.serial_number == DEVICE.serial_number
    assert (answer.this_update_utc, answer.next_update_utc) == (NOW, NOW + timedelta(hours=1))


def test_the_nonce_comes_back():
    request = parse_ocsp_request(asked(nonce=b"n" * 32))
    answer = answered([(request.asked[0], Good())], request.nonce, next_update=None)
    assert answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32
    assert answer.next_update_utc is None


def several(count: int) -> bytes:
    one = parse_ocsp_request(asked()).asked[0].der
    return write.sequence(write.sequence(write.sequence_of([write.sequence(one)] * count)))


def test_a_request_may_ask_about_several():
    assert len(parse_ocsp_request(several(MAX_ASKED)).asked) == MAX_ASKED


def with_parameters(*parameters: bytes) -> bytes:
    """Of the hash that names the issuer."""
    one = parse_ocsp_request(asked()).asked[0]
    cert_id = write.sequence(
        write.sequence(write.object_identifier("1.3.14.3.2.26"), *parameters),
        write.octet_string(one.issuer_name_hash),
        write.octet_string(one.issuer_key_hash),
        write.integer(one.serial_number),
    )
    return write.sequence(write.sequence(write.sequence(write.sequence(cert_id))))


@pytest.mark.parametrize("parameters", [(), (b"\x05\x00",)])
def test_a_hash_has_no_parameters_or_null(parameters):
    assert ISSUER.is_named_by(parse_ocsp_request(with_parameters(*parameters)).asked[0])


NONCE = "1.3.6.1.5.5.7.48.1.2"


def with_extensions(*extensions: bytes) -> bytes:
    one = write.sequence(parse_ocsp_request(asked()).asked[0].der)
    return write.sequence(write.sequence(write.sequence(one), write.explicit(2, write.sequence(*extensions))))


@pytest.mark.parametrize(
    "request_der",
    [
        b"",
        b"\x30\x00",
        several(0),
        several(MAX_ASKED + 1),
        asked() + b"\0",
        asked()[:-1],
        b"\0" * (MAX_OCSP_REQUEST_BYTES + 1),
        with_extensions(write.extension(NONCE, write.octet_string(b""))),
        with_extensions(write.extension(NONCE, write.octet_string(b"n" * 129))),
        with_extensions(*[write.extension(NONCE, write.octet_string(b"n"))] * 2),
        with_extensions(write.extension("1.2.3", b"\x05\x00", critical=True)),
        with_parameters(write.octet_string(b"another name of the same")),
        with_parameters(b"\x05\x01\x00"),
    ],
)
def test_anything_else_is_a_malformed_request(request_der):
    with pytest.raises(OcspRequestRefused) as refused:
        parse_ocsp_request(request_der)
    assert refused.value.failure is OcspFailure.MALFORMED_REQUEST


def test_unknown_extensions_that_are_not_critical_are_passed_over():
    request = with_extensions(
        write.extension("1.2.3", b"\x05\x00"), write.extension(NONCE, write.octet_string(b"n" * 128))
    )
    assert parse_ocsp_request(request).nonce == b"n" * 128


@pytest.mark.parametrize("failure", list(OcspFailure))
def test_answers_without_a_signature_are_read_as_what_they_are(failure):
    assert ocsp.load_der_ocsp_response(failure_answer(failure)).response_status.value == failure


def test_kept_answers_count_until_they_end_or_anything_changed():
    kept = KeptAnswers(limit=2)
    answer = KeptAnswer(b"answer", NOW, state=5)
    before, after = NOW - timedelta(seconds=1), NOW
    kept.put(b"a", answer)
    assert kept.get(b"a", 5, before) is answer
    assert kept.get(b"a", 6, before) is None
    assert len(kept) == 0
    kept.put(b"a", answer)
    assert kept.get(b"a", 5, after) is None
    for asked_about in (b"a", b"b", b"c"):
        kept.put(asked_about, answer)
    assert [kept.get(name, 5, before) is answer for name in (b"a", b"b", b"c")] == [False, True, True]
