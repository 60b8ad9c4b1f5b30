"""Whatever is sent to the built-in authority, it is a value or the one declared exception."""

import base64
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st
from support.own_authority import OwnAuthority, request_der

from gateway.pki.certification_request import (
    CertificationRequestRefused,
    parse_certification_request,
)
from gateway.pki.est import read_request
from gateway.pki.ocsp import OcspRequestRefused, parse_ocsp_request

bounded = settings(deadline=None, max_examples=400)
OWN = OwnAuthority()
REQUEST = request_der()
OCSP_REQUEST = (
    ocsp.OCSPRequestBuilder()
    .add_certificate(
        x509.load_der_x509_certificate(OWN.issue().der),
        x509.load_der_x509_certificate(OWN.issuing.der),
        hashes.SHA256(),
    )
    .add_extension(x509.OCSPNonce(b"n" * 16), critical=False)
    .build()
    .public_bytes(Encoding.DER)
)


@st.composite
def changed(draw: st.DrawFn, original: bytes) -> bytes:
    """The original with a few bytes set, cut out or put in."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 4))
        data[at : at + length] = draw(st.binary(max_size=4))
    return bytes(data)


@bounded
@given(st.one_of(changed(REQUEST), st.binary(max_size=200)))
def test_a_changed_request_never_passes_for_the_proof_of_a_key(data):
    with suppress(CertificationRequestRefused):
        assert parse_certification_request(data).spki_der in REQUEST
        assert data.lstrip() == REQUEST or _only_the_signature_differs(data)


def _only_the_signature_differs(data: bytes) -> bool:
    """What is signed cannot differ; a signature may be written in another way, which proves as much."""
    return x509.load_der_x509_csr(data).tbs_certrequest_bytes == (
        x509.load_der_x509_csr(REQUEST).tbs_certrequest_bytes
    )


@bounded
@given(st.one_of(changed(base64.encodebytes(REQUEST)), st.binary(max_size=200), st.text().map(str.encode)))
def test_est_bodies(data):
    with suppress(CertificationRequestRefused):
        assert read_request(data).spki_der in REQUEST


@bounded
@given(st.one_of(changed(OCSP_REQUEST), st.binary(max_size=200)))
def test_ocsp_requests(data):
    with suppress(OcspRequestRefused):
        request = parse_ocsp_request(data)
        assert request.asked
        assert all(one.der in data for one in request.asked)
