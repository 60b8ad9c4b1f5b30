"""WS-Federation sign-ins: SAML 1.1 and SAML 2.0 tokens in every envelope that providers send."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from support.forgeries import ADMIN
from support.messages import (
    AUDIENCE,
    BEARER,
    NOW,
    WST_13,
    WST_2005,
    Encryption,
    Saml2Assertion,
    Saml2Response,
    Saml11Assertion,
    ec_key,
    expectation,
    rsa_key,
    rstr,
    sign,
    ws_fed_form,
)

from gateway.federation.errors import MessageRejected
from gateway.federation.expectation import VerifiedMessage
from gateway.federation.form import MessageForm, parse_form
from gateway.federation.ws_fed import verify_wresult
from gateway.model.reasons import MessageReason as Reason

MINUTE = timedelta(minutes=1)
GROUP_CLAIM = "http://schemas.xmlsoap.org/claims/Group"
TOKENS = [("SAML 1.1", Saml11Assertion().xml()), ("SAML 2.0", Saml2Assertion().xml())]
each_token = pytest.mark.parametrize("token", [row[1] for row in TOKENS], ids=[row[0] for row in TOKENS])


def signed(token: str = TOKENS[0][1]) -> bytes:
    return sign(token, "response")


def verified(wresult: bytes, **idp: object) -> VerifiedMessage:
    return verify_wresult(ws_fed_form(wresult), expectation(**idp), NOW)


def refused(wresult: bytes | MessageForm, **idp: object) -> MessageRejected:
    form = wresult if isinstance(wresult, MessageForm) else ws_fed_form(wresult)
    with pytest.raises(MessageRejected) as caught:
        verify_wresult(form, expectation(**idp), NOW)
    return caught.value


@each_token
@pytest.mark.parametrize(
    "namespace", [WST_2005, WST_13, WST_13 + "/"], ids=["February 2005", "1.3", "1.3 with a slash"]
)
@pytest.mark.parametrize("collection", [False, True], ids=["bare", "in a collection"])
def test_every_envelope_passes(token: str, namespace: str, collection: bool) -> None:
    message = verified(rstr(signed(token), namespace, collection=collection))
    assert message.identity.user == "alice@example.test"
    assert message.relay_state == "rm=0&id=passive"


@each_token
@pytest.mark.parametrize(
    "declaration",
    ['<?xml version="1.0" encoding="utf-8"?>\r\n', "\n\t ", ""],
    ids=["declared", "blank", "bare"],
)
def test_an_xml_declaration_and_white_space_around_pass(token: str, declaration: str) -> None:
    assert verified(rstr(signed(token) + b"", declaration=declaration) + b"\n ").identity.user


def test_a_lifetime_and_references_around_the_token_pass() -> None:
    lifetime = (
        '<t:Lifetime><wsu:Created xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/'
        'oasis-200401-wss-wssecurity-utility-1.0.xsd">2026-11-23T12:00:00Z</wsu:Created></t:Lifetime>'
    )
    reference = (
        '<t:RequestedAttachedReference><o:SecurityTokenReference xmlns:o="http://docs.oasis-open.org/wss/2004/01/'
        'oasis-200401-wss-wssecurity-secext-1.0.xsd"><o:KeyIdentifier>_assertion1</o:KeyIdentifier>'
        "</o:SecurityTokenReference></t:RequestedAttachedReference>"
    )
    assert verified(rstr(signed(), before=lifetime, extra=reference)).identity.user == "alice@example.test"


def test_the_identity_of_a_saml_1_token() -> None:
    message = verified(rstr(signed()), groups_attribute=GROUP_CLAIM)
    assert message.identity.groups == {"staff", "vpn users"}
    assert message.identity.authn_context_class_ref == "urn:oasis:names:tc:SAML:1.0:am:password"
    assert message.identity.authn_instant == NOW
    assert message.in_response_to is None
    assert message.replay_until == NOW + 6 * MINUTE


@pytest.mark.parametrize(
    "name", ["UPN", "http://schemas.xmlsoap.org/claims/UPN"], ids=["by name", "by claim URI"]
)
def test_the_user_of_a_saml_1_token_can_come_from_a_claim(name: str) -> None:
    nameless = signed(Saml11Assertion(user=None).xml())
    assert verified(rstr(nameless), user_attribute=name).identity.user == "alice@corp.example.test"
    assert refused(rstr(nameless)).reason is Reason.MALFORMED


def test_the_mfa_claim_of_a_provider_is_the_context() -> None:
    mfa = "http://schemas.microsoft.com/claims/multipleauthn"
    message = verified(rstr(signed(Saml11Assertion(context=mfa).xml())))
    assert message.identity.authn_context_class_ref == mfa


@each_token
def test_an_ecdsa_signature_passes(token: str) -> None:
    wresult = rstr(sign(token, "response", ec_key()))
    assert verified(wresult, signing_keys=(ec_key().public_key(),)).identity.user


def test_a_do_not_cache_condition_is_understood() -> None:
    assert verified(rstr(signed(Saml11Assertion(extra_conditions="<saml:DoNotCacheCondition/>").xml())))


def test_a_missing_confirmation_passes_only_by_the_exception_for_one_provider() -> None:
    saml_1 = rstr(signed(Saml11Assertion(confirmation="").xml()))
    text = Saml2Assertion().xml()
    end = "</saml:SubjectConfirmation>"
    bare = text[: text.index("<saml:SubjectConfirmation ")] + text[text.index(end) + len(end) :]
    for wresult in (saml_1, rstr(signed(bare))):
        assert refused(wresult).reason is Reason.MALFORMED
        assert (
            verified(wresult, allow_missing_subject_confirmation=True).identity.user == "alice@example.test"
        )


def test_a_saml_2_token_may_leave_out_what_only_the_web_profile_asks_for() -> None:
    bare = Saml2Assertion().xml()
    start, end = bare.index("<saml:SubjectConfirmationData"), bare.index("</saml:SubjectConfirmation>")
    assert f'Method="{BEARER}"' in bare
    assert verified(rstr(signed(bare[:start] + bare[end:]))).identity.user == "alice@example.test"
    without_recipient = Saml2Assertion(recipient=None, confirmed_until=None).xml()
    assert verified(rstr(signed(without_recipient))).identity.user == "alice@example.test"


def _without_statements() -> str:
    text = Saml11Assertion().xml()
    return text[: text.index("<saml:AttributeStatement>")] + "</saml:Assertion>"


CLAIMS: list[tuple[str, str, Reason]] = [
    ("another issuer", Saml11Assertion(issuer="https://x.test").xml(), Reason.ISSUER_UNKNOWN),
    ("another audience", Saml11Assertion(audiences=(("urn:x",),)).xml(), Reason.AUDIENCE_MISMATCH),
    ("no audience", Saml11Assertion(audiences=()).xml(), Reason.AUDIENCE_MISMATCH),
    (
        "a second restriction without us",
        Saml11Assertion(audiences=((AUDIENCE,), ("urn:x",))).xml(),
        Reason.AUDIENCE_MISMATCH,
    ),
    ("an end that has passed", Saml11Assertion(not_on_or_after=-MINUTE).xml(), Reason.EXPIRED_ASSERTION),
    ("no end", Saml11Assertion(not_on_or_after=None).xml(), Reason.MALFORMED),
    ("a beginning to come", Saml11Assertion(not_before=2 * MINUTE).xml(), Reason.NOT_YET_VALID_ASSERTION),
    ("issued in the future", Saml11Assertion(now=NOW + 2 * MINUTE).xml(), Reason.NOT_YET_VALID_ASSERTION),
    ("SAML 1.0", Saml11Assertion(minor_version="0").xml(), Reason.MALFORMED),
    ("two subjects", Saml11Assertion(second_user="bob").xml(), Reason.MALFORMED),
    ("no user", Saml11Assertion(user="").xml(), Reason.MALFORMED),
    (
        "holder of key",
        Saml11Assertion().xml().replace("cm:bearer", "cm:holder-of-key"),
        Reason.MALFORMED,
    ),
    ("an unknown condition", Saml11Assertion(extra_conditions="<saml:Condition/>").xml(), Reason.MALFORMED),
    ("no statement", _without_statements(), Reason.MALFORMED),
    ("an unknown statement", Saml11Assertion(extra="<saml:Statement/>").xml(), Reason.MALFORMED),
    (
        "another recipient in SAML 2.0",
        Saml2Assertion(recipient="https://x.test").xml(),
        Reason.RECIPIENT_MISMATCH,
    ),
    ("another audience in SAML 2.0", Saml2Assertion(audiences=(("urn:x",),)).xml(), Reason.AUDIENCE_MISMATCH),
    (
        "an end that has passed in SAML 2.0",
        Saml2Assertion(not_on_or_after=-MINUTE).xml(),
        Reason.EXPIRED_ASSERTION,
    ),
    (
        "no end in SAML 2.0",
        Saml2Assertion(not_on_or_after=None, confirmed_until=None).xml(),
        Reason.MALFORMED,
    ),
]


@pytest.mark.parametrize(("token", "reason"), [row[1:] for row in CLAIMS], ids=[row[0] for row in CLAIMS])
def test_a_token_for_others_is_refused(token: str, reason: Reason) -> None:
    assert refused(rstr(signed(token))).reason is reason


EVIL = replace(Saml11Assertion(), user=ADMIN, assertion_id="_evil").xml()
FORGERIES: list[tuple[str, Callable[[bytes], bytes], Reason]] = [
    ("a second token", lambda token: rstr(token + EVIL.encode()), Reason.MALFORMED),
    ("a forged token before", lambda token: rstr(EVIL.encode() + token), Reason.MALFORMED),
    (
        "a second holder of tokens",
        lambda token: rstr(token, extra="<t:RequestedSecurityToken/>"),
        Reason.MALFORMED,
    ),
    (
        "a holder of tokens inside of another part",
        lambda token: rstr(token, extra="<t:Entropy><t:RequestedSecurityToken/></t:Entropy>"),
        Reason.MALFORMED,
    ),
    ("a forged token outside of the holder", lambda token: rstr(token, before=EVIL), Reason.MALFORMED),
    (
        "a name outside of the token",
        lambda token: rstr(
            token,
            before='<s:Issuer xmlns:s="urn:oasis:names:tc:SAML:1.0:assertion">admin</s:Issuer>',
        ),
        Reason.MALFORMED,
    ),
    (
        "a vendor's element outside",
        lambda token: rstr(token, extra='<x:y xmlns:x="urn:x"/>'),
        Reason.MALFORMED,
    ),
    (
        "a SAML 2.0 token beside",
        lambda token: rstr(token + Saml2Assertion(assertion_id="_evil").xml().encode()),
        Reason.MALFORMED,
    ),
    (
        "two responses in a collection",
        lambda token: rstr(token, collection=True).replace(
            b"</t:RequestSecurityTokenResponseCollection>",
            rstr("") + b"</t:RequestSecurityTokenResponseCollection>",
        ),
        Reason.MALFORMED,
    ),
    (
        "another user",
        lambda token: rstr(token.replace(b"alice@example.test", ADMIN.encode())),
        Reason.SIGNATURE_INVALID,
    ),
    ("no signature", lambda _: rstr(EVIL), Reason.SIGNATURE_MISSING),
    ("no token", lambda _: rstr(""), Reason.MALFORMED),
    ("something else for a token", lambda _: rstr("<t:BinarySecret/>"), Reason.MALFORMED),
    ("the token alone", lambda token: token, Reason.MALFORMED),
    ("a SAML 2.0 Response", lambda _: sign(Saml2Response().xml(Saml2Assertion().xml())), Reason.MALFORMED),
    (
        "an envelope of WS-Addressing",
        lambda token: rstr(token, "http://www.w3.org/2005/08/addressing"),
        Reason.MALFORMED,
    ),
    ("another WS-Trust", lambda token: rstr(token, "urn:ws-trust:2.0"), Reason.MALFORMED),
    (
        "an issued token of another request type",
        lambda token: rstr(token).replace(b"RequestSecurityTokenResponse", b"RequestSecurityToken"),
        Reason.MALFORMED,
    ),
    (
        "the key of an attacker",
        lambda _: rstr(sign(EVIL, "response", rsa_key("attacker"))),
        Reason.SIGNATURE_INVALID,
    ),
]


@pytest.mark.parametrize(
    ("forge", "reason"), [row[1:] for row in FORGERIES], ids=[row[0] for row in FORGERIES]
)
def test_a_forged_envelope_is_refused(forge: Callable[[bytes], bytes], reason: Reason) -> None:
    assert refused(forge(signed())).reason is reason


@pytest.mark.parametrize(
    "form",
    [
        ws_fed_form(rstr(signed()), wa="wsignout1.0"),
        ws_fed_form(rstr(signed()), wa="wsignin1.0 "),
        MessageForm((("wa", "wsignin1.0"),)),
        MessageForm((("wresult", "x"),)),
    ],
    ids=["another action", "an action with a blank", "no result", "no action"],
)
def test_a_form_that_is_no_sign_in_is_refused(form: MessageForm) -> None:
    assert refused(form).reason is Reason.MALFORMED


def test_the_form_goes_on_as_it_came() -> None:
    form = ws_fed_form(rstr(signed()), wctx="a=1&b=ž<>\r\n")
    message = verify_wresult(form, expectation(), NOW)
    assert parse_form(message.rebuilt_body) == form
    assert message.relay_state == "a=1&b=ž<>\r\n"


@each_token
def test_an_encrypted_token_passes(token: str) -> None:
    key = rsa_key("app")
    encrypted = Encryption().data(signed(token), key.public_key())
    message = verify_wresult(ws_fed_form(rstr(encrypted)), expectation(key), NOW)
    assert message.identity.user == "alice@example.test"


def test_an_encrypted_assertion_element_passes() -> None:
    key = rsa_key("app")
    encrypted = Encryption().assertion(signed(Saml2Assertion().xml()), key.public_key())
    assert verify_wresult(ws_fed_form(rstr(encrypted)), expectation(key), NOW).identity.user


@each_token
def test_an_encrypted_token_without_a_signature_is_refused(token: str) -> None:
    key = rsa_key("app")
    with pytest.raises(MessageRejected) as caught:
        verify_wresult(
            ws_fed_form(rstr(Encryption().data(token.encode(), key.public_key()))), expectation(key), NOW
        )
    assert caught.value.reason is Reason.SIGNATURE_MISSING


def test_something_else_encrypted_is_refused() -> None:
    key = rsa_key("app")
    encrypted = Encryption().data(b"<x/>", key.public_key())
    with pytest.raises(MessageRejected) as caught:
        verify_wresult(ws_fed_form(rstr(encrypted)), expectation(key), NOW)
    assert caught.value.reason is Reason.MALFORMED
