"""What is stated to the app: signed once for a while, and never anything else than what was asked for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from support.messages import NOW
from support.sign_on import STATEMENT_KEY

from gateway.model.device import CertificateId, NotTrusted, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.services.statements import IdentityStatement, StatementSigner

DEVICE = VerifiedDevice(
    authority="corp",
    device="urn:device:laptop-1",
    user="alice@example.test",
    user_binding_required=True,
    certificate_thumbprint="thumbprint-1",
    certification_path=(CertificateId(b"i" * 32, 1),),
    not_after=NOW + timedelta(days=30),
)
TRUSTED = IdentityStatement("wiki", "alice@example.test", DEVICE)
REVOKED = replace(TRUSTED, verdict=NotTrusted(TrustReason.REVOKED, "", DEVICE.device, "thumbprint-1"))


def signer(**bounds: int) -> StatementSigner:
    return StatementSigner("acme", [STATEMENT_KEY], **bounds)


def claims(headers: Any, audience: str = "wiki") -> dict[str, Any]:
    token = dict(headers)[b"X-Device-Trust-Assertion"].decode()
    options = {"verify_exp": False, "verify_iat": False}  # time stands still here
    content: dict[str, Any] = jwt.decode(
        token, STATEMENT_KEY.public_key(), ["ES256"], audience=audience, issuer="acme", options=options
    )
    return content


def test_a_trusted_device_is_stated_with_its_certificate() -> None:
    headers = dict(signer().headers(TRUSTED, NOW))
    assert headers.pop(b"X-Device-Trust-Assertion")
    assert headers == {
        b"X-Device-Trust": b"trusted",
        b"X-Device-Trust-User": b"alice@example.test",
        b"X-Device-Trust-Device": b"urn:device:laptop-1",
    }
    issued = int(NOW.timestamp())
    assert claims(signer().headers(TRUSTED, NOW)) == {
        "iss": "acme",
        "aud": "wiki",
        "sub": "alice@example.test",
        "iat": issued,
        "exp": issued + 300,
        "device_trust": "trusted",
        "device": "urn:device:laptop-1",
        "hardware_key": False,
        "cnf": {"x5t#S256": "thumbprint-1"},
    }


def test_the_statement_names_the_key_that_verifies_it() -> None:
    signs = signer()
    token = dict(signs.headers(TRUSTED, NOW))[b"X-Device-Trust-Assertion"]
    (published,) = signs.jwks()["keys"]
    assert jwt.get_unverified_header(token.decode()) == {
        "alg": "ES256",
        "kid": published["kid"],
        "typ": "JWT",
    }
    key = jwt.PyJWK(published)
    options = {"verify_exp": False, "verify_iat": False}
    assert jwt.decode(token.decode(), key, ["ES256"], audience="wiki", options=options)["iss"] == "acme"


def test_one_that_is_not_trusted_is_not_named() -> None:
    headers = signer().headers(REVOKED, NOW)
    assert b"X-Device-Trust-Device" not in dict(headers)
    assert claims(headers).keys() == {"iss", "aud", "sub", "iat", "exp", "device_trust"}
    assert claims(headers)["device_trust"] == "not-trusted"


@pytest.mark.parametrize(
    ("seconds", "again"),
    [(0, False), (149.9, False), (150, True), (-1, True)],
    ids=["at once", "before half of its life", "after half of its life", "the clock was set back"],
)
def test_a_statement_serves_for_half_of_its_life(seconds: float, again: bool) -> None:
    signs, now = signer(), NOW + timedelta(seconds=seconds)
    first = signs.headers(TRUSTED, NOW)
    second = signs.headers(TRUSTED, now)
    assert (second != first) == again
    assert 150 <= claims(second)["exp"] - now.timestamp() <= 300


OTHERS = [
    ("another user", replace(TRUSTED, user="bob@example.test")),
    ("another app", replace(TRUSTED, app="payroll")),
    ("another device", replace(TRUSTED, verdict=replace(DEVICE, device="urn:device:laptop-2"))),
    ("a renewed certificate", replace(TRUSTED, verdict=replace(DEVICE, certificate_thumbprint="t-2"))),
    ("the same certificate, revoked", REVOKED),
]


@pytest.mark.parametrize("other", [case[1] for case in OTHERS], ids=[case[0] for case in OTHERS])
def test_another_statement_is_never_answered_with_a_kept_one(other: IdentityStatement) -> None:
    signs = signer()
    kept = signs.headers(TRUSTED, NOW)
    assert claims(signs.headers(other, NOW), other.app) == claims(signer().headers(other, NOW), other.app)
    assert signs.headers(TRUSTED, NOW) == kept


def test_the_kept_statements_are_bounded_and_the_least_used_go() -> None:
    signs = signer(kept_statements=2)
    first = signs.headers(TRUSTED, NOW)
    other = signs.headers(REVOKED, NOW)
    assert signs.headers(TRUSTED, NOW) == first
    signs.headers(replace(TRUSTED, user="bob@example.test"), NOW)
    assert signs.headers(TRUSTED, NOW) == first
    assert signs.headers(REVOKED, NOW) != other, "signed anew: no two ECDSA signatures are alike"
