"""EST bodies: base64 as clients send it, and certificates as other libraries read them."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from support.own_authority import OwnAuthority, request_der

from gateway.pki.certification_request import CertificationRequestRefused, RequestRefusal
from gateway.pki.est import MAX_EST_REQUEST_BYTES, attributes_body, certificates_body, read_request

OWN = OwnAuthority()


@pytest.mark.parametrize(
    "written",
    [
        base64.b64encode,
        base64.encodebytes,
        lambda der: base64.encodebytes(der).replace(b"\n", b"\r\n") + b"\r\n",
        lambda der: x509.load_der_x509_csr(der).public_bytes(Encoding.PEM),
    ],
    ids=["one line", "lines", "CRLF", "PEM"],
)
def test_a_request_is_read_however_it_is_broken_into_lines(written):
    assert read_request(written(request_der())).public_key.key_size == 256


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", RequestRefusal.MALFORMED),
        (b"!!!!", RequestRefusal.MALFORMED),
        (b"A", RequestRefusal.MALFORMED),
        (b"A" * (MAX_EST_REQUEST_BYTES + 1), RequestRefusal.TOO_LARGE),
        (request_der(), RequestRefusal.MALFORMED),
    ],
)
def test_what_is_no_request_is_refused(body, reason):
    with pytest.raises(CertificationRequestRefused) as refused:
        read_request(body)
    assert refused.value.reason is reason


def test_certificates_are_read_back_from_the_answer():
    body = certificates_body([OWN.issuing, OWN.root])
    read = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert {each.public_bytes(Encoding.DER) for each in read} == {OWN.issuing.der, OWN.root.der}
    assert not body.split()[1:]  # RFC 8951 §3.1


def test_the_attributes_wish_for_an_ecdsa_key_on_p_256_and_sha_256():
    key = "06072a8648ce3d0201" + "310a" + "06082a8648ce3d030107"
    expected = f"30213015{key}06082a8648ce3d040302"
    assert base64.b64decode(attributes_body()).hex() == expected
