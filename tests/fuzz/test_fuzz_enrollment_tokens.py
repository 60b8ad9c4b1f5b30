"""Whatever is shown as a token, proof, report, nonce or key of enrollment: a value, or the one exception."""

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.enrollment import AUDIENCE, MadeUpIwa, a_device_token, a_user_token
from support.own_authority import OwnAuthority, request_der

from gateway.enrollment.claims import TokenInvalid
from gateway.enrollment.iwa_keys import key_of_jwk, public_jwk
from gateway.enrollment.nonces import NonceInvalid, check_nonce, new_nonce
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.proofs import ProofAct, ProofClaims, sign_proof, verify_proof
from gateway.enrollment.reports import verify_report
from gateway.enrollment.tokens import (
    sign_device_token,
    sign_user_token,
    token_key_id,
    verify_device_token,
    verify_user_token,
)
from gateway.pki.certification_request import parse_certification_request

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
IWA = MadeUpIwa(id="iwa1")
PUBLIC = IWA.key.public_key()
ISSUER = iwa_issuer("iwa1")
NONCE_KEY = b"k" * 32
NONCE = new_nonce(NONCE_KEY, NOW, b"r" * 16)
CERTIFICATE = OwnAuthority(NOW).issue(request=parse_certification_request(request_der(IWA.key)))

USER = sign_user_token(a_user_token(NOW), IWA.key, IWA.key_id)
DEVICE = sign_device_token(a_device_token(NOW), IWA.key, IWA.key_id)
REPORT = IWA.report(NOW, keytab="ok")
PROOF = sign_proof(
    ProofClaims("p", AUDIENCE, ProofAct.SELF, "nonce", NOW, NOW + timedelta(minutes=5)),
    CERTIFICATE.der,
    lambda data: IWA.key.sign(data, ec.ECDSA(hashes.SHA256())),
)

READERS = {
    USER: lambda text: verify_user_token(text, PUBLIC, issuer=ISSUER, audience=AUDIENCE, now=NOW),
    DEVICE: lambda text: verify_device_token(text, PUBLIC, issuer=ISSUER, now=NOW),
    REPORT: lambda text: verify_report(text, PUBLIC, audience=AUDIENCE, now=NOW),
    PROOF: lambda text: verify_proof(text, audience=AUDIENCE, now=NOW),
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(text):
    return json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))


@settings(max_examples=150)
@given(st.one_of(st.text(), st.builds(lambda *p: ".".join(p), *[st.text(max_size=40)] * 3)))
def test_no_text_is_a_token_by_chance(text):
    for read in READERS.values():
        with suppress(TokenInvalid):
            read(text)
            raise AssertionError(text)
    with suppress(TokenInvalid):
        assert token_key_id(text)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "x5c", "crit", "b64", "jwk"]), JSON), JSON)
def test_no_header_and_no_claims_make_one_without_the_key(header, claims):
    text = f"{part(header)}.{part(claims)}.{part('signature')}"
    for read in READERS.values():
        with suppress(TokenInvalid):
            read(text)
            raise AssertionError(text)


@settings(max_examples=300)
@given(st.sampled_from(list(READERS)), st.data())
def test_nobody_changes_one(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters(codec="utf-8")) + text[at + 1 :]
    with suppress(TokenInvalid):
        # The last character of base64 may have bits that count for nothing.
        assert READERS[text](changed) == READERS[text](text)


@settings(max_examples=300)
@given(st.sampled_from(list(READERS)), st.data())
def test_a_signature_does_not_make_any_claim_acceptable(text, data):
    claims = claims_of(text)
    name = data.draw(st.sampled_from(sorted(claims)))
    header = jwt.get_unverified_header(text)
    # NaN and Infinity go in as Python writes them: no JSON, but our parser must survive them.
    said = json.dumps({**claims, name: data.draw(JSON)}).encode()
    changed = jwt.api_jws.encode(said, IWA.key, "ES256", header)
    with suppress(TokenInvalid):
        READERS[text](changed)


@given(st.one_of(st.text(), st.binary().map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_no_text_is_a_nonce_by_chance(text):
    with suppress(NonceInvalid):
        check_nonce(NONCE_KEY, text, NOW)
        raise AssertionError(text)


@given(st.integers(0, len(NONCE) - 1), st.characters(codec="utf-8"))
def test_nobody_changes_a_nonce(at, character):
    changed = NONCE[:at] + character + NONCE[at + 1 :]
    with suppress(NonceInvalid):
        check_nonce(NONCE_KEY, changed, NOW)
        assert base64.urlsafe_b64decode(changed + "=") == base64.urlsafe_b64decode(NONCE + "=")


@given(st.sampled_from(["kty", "crv", "x", "y", "d", "kid"]), JSON)
def test_a_key_is_a_point_of_the_curve_or_refused(name, value):
    with suppress(ValueError):
        assert key_of_jwk({**public_jwk(PUBLIC), name: value}).curve.name == "secp256r1"
