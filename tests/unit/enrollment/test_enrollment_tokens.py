"""Device and user tokens: what was signed is what is read, and nothing else passes for one."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.enrollment import ALICE, AUDIENCE, COMPUTER, a_device_token, a_user_token

from gateway.enrollment.claims import ALLOWED_SKEW, TokenExpired, TokenInvalid
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.tokens import (
    USER_TOKEN_TYPE,
    sign_device_token,
    sign_user_token,
    token_key_id,
    verify_device_token,
    verify_user_token,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key()
ISSUER = iwa_issuer("iwa1")


def verified(text, *, key=PUBLIC, issuer=ISSUER, audience=AUDIENCE, now=NOW):
    return verify_user_token(text, key, issuer=issuer, audience=audience, now=now)


def claims_of(text):
    return json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))


def forged(change, header=None, key=KEY, algorithm="ES256"):
    """A token that the right key signed, with other claims."""
    claims = claims_of(sign_user_token(a_user_token(NOW), KEY, "k"))
    change(claims)
    return jwt.encode(claims, key, algorithm, {"typ": USER_TOKEN_TYPE, "kid": "k", **(header or {})})


def test_what_was_signed_is_what_is_read():
    device, user = a_device_token(NOW), a_user_token(NOW)
    device_text, user_text = sign_device_token(device, KEY, "k1"), sign_user_token(user, KEY, "k1")
    assert verify_device_token(device_text, PUBLIC, issuer=ISSUER, now=NOW) == device
    assert verified(user_text) == user
    assert token_key_id(device_text) == token_key_id(user_text) == "k1"


def test_an_account_without_sid_is_known_again_by_its_principal():
    plain = replace(ALICE, sid=None, guid=None)
    user = a_user_token(NOW, user=plain)
    assert verified(sign_user_token(user, KEY, "k")).user == plain
    assert plain.directory_key == "principal:alice@CORP.EXAMPLE.TEST"
    assert ALICE.directory_key == f"sid:{ALICE.sid}"


def test_neither_token_passes_for_the_other():
    device, user = (
        sign_device_token(a_device_token(NOW), KEY, "k"),
        sign_user_token(a_user_token(NOW), KEY, "k"),
    )
    with pytest.raises(TokenInvalid, match="typ"):
        verified(device)
    with pytest.raises(TokenInvalid, match="typ"):
        verify_device_token(user, PUBLIC, issuer=ISSUER, now=NOW)


@pytest.mark.parametrize(
    ("what", "read"),
    [
        ("another key", lambda t: verified(t, key=ec.generate_private_key(ec.SECP256R1()).public_key())),
        ("another issuer", lambda t: verified(t, issuer=iwa_issuer("iwa2"))),
        ("another audience", lambda t: verified(t, audience="urn:devicetrust:org:other")),
        ("a changed signature", lambda t: verified(t[:-4] + ("AAAA" if t[-4:] != "AAAA" else "BBBB"))),
        ("no signature", lambda t: verified(t.rpartition(".")[0] + ".")),
    ],
)
def test_a_token_of_somebody_else_is_none(what, read):
    text = sign_user_token(a_user_token(NOW), KEY, "k")
    with pytest.raises(TokenInvalid):
        read(text)


PUBLIC_PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("no algorithm", lambda: jwt.encode({}, None, "none", {"typ": USER_TOKEN_TYPE})),
        (
            "the public key as a shared secret",
            lambda: jwt.api_jws.encode(
                json.dumps(claims_of(sign_user_token(a_user_token(NOW), KEY, "k"))).encode(),
                base64.b64encode(PUBLIC_PEM),
                "HS256",
                {"typ": USER_TOKEN_TYPE},
            ),
        ),
        ("no type", lambda: forged(lambda c: None, {"typ": "JWT"})),
        ("a login that is not the subject", lambda: forged(lambda c: c.update(sub="root@example.test"))),
        ("no device", lambda: forged(lambda c: c.pop("device"))),
        ("a realm that is not the principal's", lambda: forged(lambda c: c["user"].update(realm="EVIL"))),
        ("an empty SID", lambda: forged(lambda c: c["user"].update(sid=""))),
        ("a control character", lambda: forged(lambda c: c["user"].update(sid="S-1\n"))),
        ("no key", lambda: forged(lambda c: c.pop("cnf"))),
        ("half a thumbprint", lambda: forged(lambda c: c["cnf"].update({"spki#S256": "t" * 20}))),
        ("a list as audience", lambda: forged(lambda c: c.update(aud=[AUDIENCE, "other"]))),
        ("a lifetime of a day", lambda: forged(lambda c: c.update(exp=c["iat"] + 86_400))),
        ("no lifetime", lambda: forged(lambda c: c.update(exp=c["iat"]))),
        ("no end", lambda: forged(lambda c: c.pop("exp"))),
        ("an end that is true", lambda: forged(lambda c: c.update(exp=True))),
        ("an end beyond all calendars", lambda: forged(lambda c: c.update(iat=10**17, exp=10**17 + 9))),
        (
            "an issue in the future",
            lambda: forged(lambda c: c.update(iat=c["iat"] + 200, exp=c["exp"] + 200)),
        ),
        ("no name", lambda: forged(lambda c: c.update(jti=5))),
        ("a list of claims", lambda: jwt.api_jws.encode(b"[]", KEY, "ES256", {"typ": USER_TOKEN_TYPE})),
        ("claims that are no JSON", lambda: jwt.api_jws.encode(b"{", KEY, "ES256", {"typ": USER_TOKEN_TYPE})),
        ("too much", lambda: forged(lambda c: c.update(more="x" * 9_000))),
        ("nothing", lambda: ""),
        ("no ASCII", lambda: "ü.ü.ü"),
    ],
)
def test_what_the_right_key_signed_is_still_read_with_care(what, make):
    with pytest.raises(TokenInvalid):
        verified(make())


@pytest.mark.parametrize(
    ("after", "expired"),
    [
        (-ALLOWED_SKEW, False),
        (timedelta(0), False),
        (timedelta(minutes=5) + ALLOWED_SKEW - timedelta(seconds=1), False),
        (timedelta(minutes=5) + ALLOWED_SKEW, True),
        (timedelta(days=9), True),
    ],
)
def test_a_token_is_good_for_minutes_and_a_little_more_for_clocks(after, expired):
    text = sign_user_token(a_user_token(NOW), KEY, "k")
    if expired:
        with pytest.raises(TokenExpired):
            verified(text, now=NOW + after)
    else:
        assert verified(text, now=NOW + after).device == COMPUTER
