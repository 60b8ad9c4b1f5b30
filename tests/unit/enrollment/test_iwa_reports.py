"""What an IWA web app says of itself, and the key by which the org knows it."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support.enrollment import AUDIENCE, MadeUpIwa

from gateway.enrollment.claims import TokenInvalid
from gateway.enrollment.iwa_keys import key_id_of, key_of_jwk, public_jwk
from gateway.enrollment.reports import REPORT_TYPE, IwaReport, sign_report, verify_report

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
IWA = MadeUpIwa()
PUBLIC = IWA.key.public_key()


def a_report(health, version="1.0"):
    return IwaReport("r1", AUDIENCE, version, health, NOW, NOW + timedelta(minutes=1))


def test_what_was_signed_is_what_is_read():
    report = a_report(
        {"keytab": "ok", "requests": 12, "load": 0.5, "directory": None, "up": True, "note": ""}
    )
    text = sign_report(report, IWA.key, IWA.key_id)
    assert verify_report(text, PUBLIC, audience=AUDIENCE, now=NOW) == report


@pytest.mark.parametrize(
    "health",
    [
        [],
        {str(number): number for number in range(33)},
        {"x": {"nested": 1}},
        {"x": "y" * 300},
        {"x": "\n"},
        {"x" * 300: 1},
        {"x": 2**64},
        {"x": float("nan")},
        {"x": float("inf")},
    ],
)
def test_health_is_a_few_plain_values(health):
    claims = jwt.decode(IWA.report(NOW), options={"verify_signature": False})
    text = jwt.encode({**claims, "health": health}, IWA.key, "ES256", {"typ": REPORT_TYPE})
    with pytest.raises(TokenInvalid):
        verify_report(text, PUBLIC, audience=AUDIENCE, now=NOW)


def test_a_report_is_for_one_org_by_one_key_and_for_minutes():
    text = IWA.report(NOW)
    with pytest.raises(TokenInvalid):
        verify_report(text, PUBLIC, audience="urn:devicetrust:org:other", now=NOW)
    with pytest.raises(TokenInvalid):
        verify_report(text, MadeUpIwa().key.public_key(), audience=AUDIENCE, now=NOW)
    with pytest.raises(TokenInvalid):
        verify_report(text, PUBLIC, audience=AUDIENCE, now=NOW + timedelta(hours=1))


def test_a_key_goes_to_the_org_and_is_the_same_there():
    jwk = public_jwk(PUBLIC)
    assert key_of_jwk(jwk) == PUBLIC
    assert key_of_jwk({**jwk, "kid": "x", "use": "sig"}) == PUBLIC
    assert key_id_of(key_of_jwk(jwk)) == IWA.key_id


def test_the_key_id_is_the_thumbprint_of_rfc_7638():
    """The key of RFC 7515 appendix A.3; its thumbprint by the two lines that RFC 7638 §3 has."""
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    assert key_id_of(key_of_jwk(jwk)) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"d": "AA"}, "private"),
        ({"kty": "RSA"}, "P-256"),
        ({"crv": "P-384"}, "P-256"),
        ({"x": None}, "point"),
        ({"x": "A" * 43}, "point"),
        ({"x": "!" * 43}, "point"),
        ({"y": "ü" * 43}, "point"),
        ({"y": "short"}, "point"),
    ],
)
def test_what_is_no_public_key_of_p256_is_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        key_of_jwk({**public_jwk(PUBLIC), **change})
    with pytest.raises(ValueError, match="P-256"):
        public_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
