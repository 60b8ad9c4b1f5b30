"""Proofs of possession: only the key of the certificate that is shown makes one."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from support.enrollment import AUDIENCE
from support.own_authority import OwnAuthority, request_der

from gateway.enrollment.claims import TokenExpired, TokenInvalid
from gateway.enrollment.proofs import PROOF_TYPE, ProofAct, ProofClaims, sign_proof, verify_proof
from gateway.pki.certification_request import parse_certification_request

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
AUTHORITY = OwnAuthority(NOW)
CERTIFICATE = AUTHORITY.issue(request=parse_certification_request(request_der(KEY)))
CLAIMS = ProofClaims(
    "proof-1", AUDIENCE, ProofAct.RENEW, "nonce", NOW, NOW + timedelta(minutes=5), key_thumbprint="t" * 43
)


def sign_with(key):
    return lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))


def proof(claims=CLAIMS, certificate_der=CERTIFICATE.der, key=KEY):
    return sign_proof(claims, certificate_der, sign_with(key))


def verified(text, audience=AUDIENCE, now=NOW):
    return verify_proof(text, audience=audience, now=now)


@pytest.mark.parametrize("act", list(ProofAct))
def test_what_was_signed_is_what_is_read(act):
    thumbprint = "t" * 43 if act is ProofAct.RENEW else None
    claims = ProofClaims("p", AUDIENCE, act, "nonce", NOW, NOW + timedelta(minutes=1), thumbprint)
    read = verified(proof(claims))
    assert read.claims == claims
    assert read.certificate == CERTIFICATE


def test_another_key_proves_nothing():
    with pytest.raises(TokenInvalid):
        verified(proof(key=ec.generate_private_key(ec.SECP256R1())))


def test_a_certificate_whose_key_is_not_on_p256_proves_nothing():
    key = rsa.generate_private_key(65537, 2048)
    certificate = AUTHORITY.issue(request=parse_certification_request(request_der(key)))
    with pytest.raises(TokenInvalid, match="P-256"):
        verified(proof(certificate_der=certificate.der))


def test_it_is_for_one_org_and_for_minutes():
    with pytest.raises(TokenInvalid, match="aud"):
        verified(proof(), audience="urn:devicetrust:org:other")
    with pytest.raises(TokenExpired):
        verified(proof(), now=NOW + timedelta(minutes=8))


def signed(header=None, **changed):
    """A JWT by the certificate's key, with other claims; those that are None are left out."""
    claims = json.loads(base64.urlsafe_b64decode(proof().split(".")[1] + "==")) | changed
    said = {name: value for name, value in claims.items() if value is not None}
    shown = {"typ": PROOF_TYPE, "x5c": [base64.b64encode(CERTIFICATE.der).decode()]} | (header or {})
    return jwt.encode(said, KEY, "ES256", shown)


@pytest.mark.parametrize(
    "text",
    [
        signed({"typ": "dt-user+jwt"}),
        signed({"x5c": None}),
        signed({"x5c": []}),
        signed({"x5c": [1]}),
        signed({"x5c": ["not base64!"]}),
        signed({"x5c": [base64.b64encode(b"no certificate").decode()]}),
        signed({"x5c": [base64.b64encode(CERTIFICATE.der).decode()] * 2}),
        signed({"x5c": ["A" * 40_000]}),
        signed(act="anything"),
        signed(act=None),
        signed(csr=None),
        signed(nonce=None),
        signed(jti=None),
        signed(exp=int(NOW.timestamp()) + 86_400),
    ],
)
def test_what_the_right_key_signed_is_still_read_with_care(text):
    with pytest.raises(TokenInvalid):
        verified(text)


def test_the_signed_text_itself_is_what_others_make_it():
    """Any library of JWTs makes a proof."""
    assert verified(signed()).claims == CLAIMS
