"""Well-signed responses that are not meant for this app, this moment, this user."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.messages import (
    ASSERTION_ID,
    AUDIENCE,
    BEARER,
    ISSUER,
    NOW,
    PASSWORD,
    RECIPIENT,
    SUCCESS,
    Saml2Assertion,
    Saml2Response,
    body_of,
    expectation,
    saml_form,
    sign,
)

from gateway.federation.errors import MessageRejected
from gateway.federation.expectation import VerifiedMessage
from gateway.federation.form import MAX_RELAY_STATE_CHARS, MessageForm, parse_form
from gateway.federation.saml2 import verify_response
from gateway.model.reasons import MessageReason as Reason

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
ASSERTION = Saml2Assertion()
RESPONSE = Saml2Response()


def verified(
    assertion: Saml2Assertion | str = ASSERTION,
    response: Saml2Response = RESPONSE,
    what: str = "assertion",
    now: datetime = NOW,
    **idp: object,
) -> VerifiedMessage:
    text = assertion if isinstance(assertion, str) else assertion.xml()
    return verify_response(saml_form(sign(response.xml(text), what)), expectation(**idp), now)


def refused(
    assertion: Saml2Assertion | str = ASSERTION,
    response: Saml2Response = RESPONSE,
    what: str = "assertion",
    now: datetime = NOW,
    **idp: object,
) -> MessageRejected:
    with pytest.raises(MessageRejected) as caught:
        verified(assertion, response, what, now, **idp)
    return caught.value


def restricted(*audiences: tuple[str, ...]) -> Saml2Assertion:
    return Saml2Assertion(audiences=audiences)


ASSERTIONS: list[tuple[str, Saml2Assertion, Reason]] = [
    ("another issuer", Saml2Assertion(issuer="https://other.test"), Reason.ISSUER_UNKNOWN),
    ("an issuer that begins alike", Saml2Assertion(issuer=ISSUER + "/x"), Reason.ISSUER_UNKNOWN),
    ("an issuer in capitals", Saml2Assertion(issuer=ISSUER.upper()), Reason.ISSUER_UNKNOWN),
    ("another audience", restricted(("https://mail.test",)), Reason.AUDIENCE_MISMATCH),
    ("an audience with a slash more", restricted((AUDIENCE + "/",)), Reason.AUDIENCE_MISMATCH),
    ("no audience restriction", restricted(), Reason.AUDIENCE_MISMATCH),
    ("an empty audience restriction", restricted(()), Reason.AUDIENCE_MISMATCH),
    (
        "a second restriction without us",
        restricted((AUDIENCE,), ("https://mail.test",)),
        Reason.AUDIENCE_MISMATCH,
    ),
    ("another recipient", Saml2Assertion(recipient="https://mail.test/acs"), Reason.RECIPIENT_MISMATCH),
    ("a recipient with a query", Saml2Assertion(recipient=RECIPIENT + "?x"), Reason.RECIPIENT_MISMATCH),
    ("no recipient", Saml2Assertion(recipient=None), Reason.RECIPIENT_MISMATCH),
    ("conditions that have ended", Saml2Assertion(not_on_or_after=-MINUTE), Reason.EXPIRED_ASSERTION),
    ("conditions yet to begin", Saml2Assertion(not_before=2 * MINUTE), Reason.NOT_YET_VALID_ASSERTION),
    ("a confirmation that has ended", Saml2Assertion(confirmed_until=-MINUTE), Reason.EXPIRED_ASSERTION),
    ("a confirmation without end", Saml2Assertion(confirmed_until=None), Reason.MALFORMED),
    ("a session that has ended", Saml2Assertion(session_until=-MINUTE), Reason.EXPIRED_ASSERTION),
    ("issued in the future", Saml2Assertion(issued=2 * MINUTE), Reason.NOT_YET_VALID_ASSERTION),
    (
        "holder of key instead of bearer",
        Saml2Assertion(method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"),
        Reason.MALFORMED,
    ),
    ("no user", Saml2Assertion(user=""), Reason.MALFORMED),
    ("white space for a user", Saml2Assertion(user=" \n"), Reason.MALFORMED),
    ("a user with a line break inside", Saml2Assertion(user="alice&#10;admin"), Reason.MALFORMED),
    ("a user with an element inside", Saml2Assertion(user="alice<x/>admin"), Reason.MALFORMED),
    (
        "a condition that nobody knows",
        Saml2Assertion(extra_conditions='<x:OnMondays xmlns:x="urn:x"/>'),
        Reason.MALFORMED,
    ),
    (
        "a condition of an extended type",
        Saml2Assertion(
            extra_conditions='<saml:Condition xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            'xmlns:x="urn:x" xsi:type="x:OnMondays"/>'
        ),
        Reason.MALFORMED,
    ),
    (
        "a second AuthnStatement",
        Saml2Assertion(extra='<saml:AuthnStatement AuthnInstant="2026-11-23T12:00:00Z"/>'),
        Reason.MALFORMED,
    ),
    ("a statement that nobody knows", Saml2Assertion(extra="<saml:Statement/>"), Reason.MALFORMED),
    (
        "an attribute that is encrypted",
        Saml2Assertion(extra_attributes="<saml:EncryptedAttribute/>"),
        Reason.MALFORMED,
    ),
    (
        "a statement about attributes with something else inside",
        Saml2Assertion(extra_attributes='<saml:Claim Name="groups"/>'),
        Reason.MALFORMED,
    ),
    ("a group with an element inside", Saml2Assertion(groups=("staff<x/>admins",)), Reason.MALFORMED),
    ("a second NameID", Saml2Assertion(extra_subject="<saml:NameID>bob</saml:NameID>"), Reason.MALFORMED),
]


@pytest.mark.parametrize(
    ("assertion", "reason"), [row[1:] for row in ASSERTIONS], ids=[row[0] for row in ASSERTIONS]
)
@pytest.mark.parametrize("what", ["assertion", "response"], ids=["assertion signed", "Response signed"])
def test_an_assertion_for_others_is_refused(assertion: Saml2Assertion, what: str, reason: Reason) -> None:
    assert refused(assertion, what=what).reason is reason


def status(*codes: str) -> Saml2Response:
    text = "".join(f'<samlp:StatusCode Value="{code}">' for code in codes) + "</samlp:StatusCode>" * len(
        codes
    )
    return Saml2Response(status=f"<samlp:Status>{text}</samlp:Status>")


RESPONSES: list[tuple[str, Saml2Response, str, Reason]] = [
    (
        "another issuer of the Response",
        Saml2Response(issuer="https://x.test"),
        "assertion",
        Reason.ISSUER_UNKNOWN,
    ),
    (
        "another destination",
        Saml2Response(destination="https://x.test/"),
        "assertion",
        Reason.RECIPIENT_MISMATCH,
    ),
    (
        "another destination, signed",
        Saml2Response(destination="https://x.test/"),
        "response",
        Reason.RECIPIENT_MISMATCH,
    ),
    ("an empty destination", Saml2Response(destination=""), "assertion", Reason.RECIPIENT_MISMATCH),
    ("no destination, signed", Saml2Response(destination=None), "response", Reason.RECIPIENT_MISMATCH),
    (
        "an answer to another request",
        Saml2Response(in_response_to="_request2"),
        "assertion",
        Reason.MALFORMED,
    ),
    ("a failure", status("urn:oasis:names:tc:SAML:2.0:status:Responder"), "assertion", Reason.MALFORMED),
    (
        "a failure with success inside",
        status("urn:oasis:names:tc:SAML:2.0:status:Requester", SUCCESS),
        "response",
        Reason.MALFORMED,
    ),
    ("no status", Saml2Response(status=""), "assertion", Reason.MALFORMED),
    ("two statuses", replace(status(SUCCESS), extra=status(SUCCESS).status), "assertion", Reason.MALFORMED),
    ("text between its parts", Saml2Response(extra="admin"), "assertion", Reason.MALFORMED),
    (
        "a Response in the future",
        Saml2Response(now=NOW + 2 * MINUTE),
        "response",
        Reason.NOT_YET_VALID_ASSERTION,
    ),
]


@pytest.mark.parametrize(
    ("response", "what", "reason"), [row[1:] for row in RESPONSES], ids=[row[0] for row in RESPONSES]
)
def test_a_response_for_others_is_refused(response: Saml2Response, what: str, reason: Reason) -> None:
    assert refused(response=response, what=what).reason is reason


@pytest.mark.parametrize(
    ("text", "replacement"),
    [
        (b"samlp:Response", b"samlp:ArtifactResponse"),
        (b"samlp:Response", b"samlp:LogoutResponse"),
        (b"SAML:2.0:protocol", b"SAML:1.0:protocol"),
        (b' Version="2.0"', b""),
        (b' Version="2.0"', b' Version="2.1"'),
        (b' ID="_response1"', b""),
        (b' IssueInstant="2026-11-23T12:00:00.000Z"', b""),
        (f' Value="{SUCCESS}"'.encode(), b""),
        (b"samlp:StatusCode", b"samlp:StatusMessage"),
    ],
    ids=[
        "an ArtifactResponse",
        "a LogoutResponse",
        "another protocol",
        "no version",
        "another version",
        "no ID",
        "no instant",
        "a status code without a value",
        "a status without a code",
    ],
)
def test_an_envelope_that_is_no_response_is_refused(text: bytes, replacement: bytes) -> None:
    signed = sign(RESPONSE.xml(ASSERTION.xml()))
    changed = signed.replace(b"<" + text, b"<" + replacement).replace(b"</" + text, b"</" + replacement)
    changed = changed.replace(text, replacement, 1)
    assert changed != signed
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(changed), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


def test_a_signed_assertion_alone_is_no_response() -> None:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(sign(ASSERTION.xml(), "response")), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


def test_what_the_provider_answers_instead_of_success_is_in_the_detail() -> None:
    response = status(
        "urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
    )
    assert "AuthnFailed" in refused(response=response).detail


@pytest.mark.parametrize(
    ("text", "replacement"),
    [
        ('Version="2.0" IssueInstant', 'Version="1.1" IssueInstant'),
        ('NotOnOrAfter="2026-11-23T12:05:00.000Z"', 'NotOnOrAfter="tomorrow"'),
        ('NotOnOrAfter="2026-11-23T12:05:00.000Z"', 'NotOnOrAfter="2026-13-23T12:05:00Z"'),
        ('NotOnOrAfter="2026-11-23T12:05:00.000Z"', 'NotOnOrAfter="2026-11-23 12:05:00Z"'),
        ('NotOnOrAfter="2026-11-23T12:05:00.000Z"', 'NotOnOrAfter="0001-01-01T00:00:00+14:00"'),
        ('NotOnOrAfter="2026-11-23T12:05:00.000Z"', 'NotOnOrAfter=""'),
        ("<saml:Issuer>", '<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName">'),
        ("saml:AuthnStatement", "saml:AuthzDecisionStatement"),
        ("saml:NameID", "saml:EncryptedID"),
        ('<saml:Attribute Name="groups">', "<saml:Attribute>"),
    ],
    ids=[
        "a version of the past",
        "an end that is no date",
        "an end in a thirteenth month",
        "an end without T",
        "an end before the calendar",
        "an empty end",
        "an issuer that is not an entity",
        "no AuthnStatement",
        "an encrypted NameID",
        "an attribute without a name",
    ],
)
def test_an_assertion_that_cannot_be_read_is_refused(text: str, replacement: str) -> None:
    original = Saml2Assertion().xml()
    assert text in original
    assert refused(original.replace(text, replacement)).reason in (Reason.MALFORMED, Reason.ISSUER_UNKNOWN)


@pytest.mark.parametrize("missing", ["Subject", "Conditions", "Issuer", "AuthnStatement"])
def test_an_assertion_without_a_part_is_refused(missing: str) -> None:
    text = Saml2Assertion().xml()
    end = f"</saml:{missing}>"
    without = text[: text.index(f"<saml:{missing}")] + text[text.index(end) + len(end) :]
    assert refused(without).reason is Reason.MALFORMED


def test_a_response_without_an_assertion_is_refused() -> None:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(sign(Saml2Response().xml(), "response")), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("now", "refusal"),
    [
        (NOW - 2 * MINUTE, None),
        (NOW - 2 * MINUTE - SECOND, Reason.NOT_YET_VALID_ASSERTION),
        (NOW + 6 * MINUTE - SECOND, None),
        (NOW + 6 * MINUTE, Reason.EXPIRED_ASSERTION),
    ],
    ids=["on the edge of the beginning", "before it", "on the edge of the end", "past it"],
)
def test_the_clocks_may_be_one_minute_apart(now: datetime, refusal: Reason | None) -> None:
    assertion = Saml2Assertion(issued=-2 * MINUTE)
    response = Saml2Response(now=NOW - 2 * MINUTE)
    if refusal is None:
        assert verified(assertion, response, now=now).identity.user == "alice@example.test"
    else:
        assert refused(assertion, response, now=now).reason is refusal


def test_the_replay_key_lives_as_long_as_the_assertion_passes() -> None:
    message = verified(Saml2Assertion(not_on_or_after=3 * MINUTE, confirmed_until=5 * MINUTE))
    assert message.replay_until == NOW + 4 * MINUTE
    assert refused(Saml2Assertion(not_on_or_after=3 * MINUTE), now=message.replay_until)


def test_the_replay_key_names_issuer_and_assertion() -> None:
    first = verified().replay_key
    again = verified(Saml2Assertion(user="bob")).replay_key
    other = verify_response(
        saml_form(sign(Saml2Response().xml(Saml2Assertion(assertion_id="_2").xml()), assertion_id="_2")),
        expectation(),
        NOW,
    ).replay_key
    assert first == again != other


def test_the_exception_for_ws_fed_tokens_opens_no_web_sign_on() -> None:
    text = Saml2Assertion().xml()
    end = "</saml:SubjectConfirmation>"
    bare = text[: text.index("<saml:SubjectConfirmation ")] + text[text.index(end) + len(end) :]
    assert refused(bare, allow_missing_subject_confirmation=True).reason is Reason.MALFORMED


def test_one_of_several_audiences_is_enough() -> None:
    message = verified(restricted(("https://mail.test", AUDIENCE), (AUDIENCE,)))
    assert message.identity.user == "alice@example.test"


def test_one_use_and_proxy_conditions_are_understood() -> None:
    conditions = '<saml:OneTimeUse/><saml:ProxyRestriction Count="0"/>'
    assert verified(Saml2Assertion(extra_conditions=conditions)).identity.user == "alice@example.test"


def test_one_good_bearer_confirmation_is_enough() -> None:
    good = (
        f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData Recipient="{RECIPIENT}" '
        'NotOnOrAfter="2026-11-23T12:05:00Z" InResponseTo="_request1"/></saml:SubjectConfirmation>'
    )
    message = verified(Saml2Assertion(recipient="https://mail.test/acs", extra_subject=good))
    assert message.in_response_to == "_request1"


def test_a_bearer_confirmation_without_data_is_refused() -> None:
    text = ASSERTION.xml()
    start, end = text.index("<saml:SubjectConfirmationData"), text.index("</saml:SubjectConfirmation>")
    assert refused(text[:start] + text[end:]).reason is Reason.MALFORMED


def test_a_confirmation_that_is_yet_to_begin_is_refused() -> None:
    text = (
        Saml2Assertion()
        .xml()
        .replace(
            "<saml:SubjectConfirmationData", '<saml:SubjectConfirmationData NotBefore="2026-11-23T12:03:00Z"'
        )
    )
    assert refused(text).reason is Reason.NOT_YET_VALID_ASSERTION


def test_an_unsolicited_response_answers_no_request() -> None:
    unasked = Saml2Assertion(in_response_to=None)
    assert verified(unasked, Saml2Response(in_response_to=None)).in_response_to is None


def test_an_unsigned_response_cannot_make_an_unasked_assertion_an_answer() -> None:
    assert verified(Saml2Assertion(in_response_to=None)).in_response_to is None


def test_the_identity_is_what_the_assertion_says() -> None:
    identity = verified(Saml2Assertion(user="  alice@example.test\n")).identity
    assert identity.user == "alice@example.test"
    assert identity.groups == {"staff", "vpn users"}
    assert identity.identity_provider == "idp"
    assert identity.authn_context_class_ref == PASSWORD
    assert identity.authn_instant == NOW
    assert identity.session_not_on_or_after == NOW + timedelta(hours=8)


def test_the_user_can_come_from_an_attribute() -> None:
    assert verified(user_attribute="mail").identity.user == "alice.mail@example.test"


def test_the_user_can_come_from_an_attribute_without_any_name_id() -> None:
    text = Saml2Assertion().xml()
    start, end = text.index("<saml:NameID"), text.index("</saml:NameID>") + len("</saml:NameID>")
    without = text[:start] + text[end:]
    assert verified(without, user_attribute="mail").identity.user == "alice.mail@example.test"
    assert refused(without).reason is Reason.MALFORMED


def test_a_user_attribute_that_is_missing_or_has_two_values_is_refused() -> None:
    assert refused(user_attribute="uid").reason is Reason.MALFORMED
    assert refused(user_attribute="groups").reason is Reason.MALFORMED


def test_groups_of_two_attributes_with_one_name_are_joined() -> None:
    more = '<saml:Attribute Name="groups"><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute>'
    assert verified(Saml2Assertion(extra_attributes=more)).identity.groups == {"staff", "vpn users", "admins"}


def test_groups_under_another_name_are_not_groups() -> None:
    assert verified(Saml2Assertion(groups_attribute="Groups")).identity.groups == frozenset()


def test_an_end_that_means_never_does_not_overflow() -> None:
    text = Saml2Assertion().xml().replace("2026-11-23T12:05:00.000Z", "9999-12-31T23:59:59.9999999Z")
    assert verified(text).replay_until > datetime(8000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T12:05:00Z",
        "2026-11-23T12:05:00.1234567Z",
        "2026-11-23T14:05:00+02:00",
        "2026-11-23T12:05:00",
    ],
)
def test_instants_are_read_as_providers_write_them(written: str) -> None:
    text = Saml2Assertion().xml().replace("2026-11-23T12:05:00.000Z", written)
    until = verified(text).replay_until.replace(microsecond=0)
    assert until == NOW + 6 * MINUTE


def test_relay_state_and_unknown_fields_go_on_untouched() -> None:
    xml = sign(Saml2Response().xml(Saml2Assertion().xml()))
    form = saml_form(xml, "https://evil.test/?<x>&'\"", csrf="tök en")
    message = verify_response(form, expectation(), NOW)
    assert message.relay_state == "https://evil.test/?<x>&'\""
    assert parse_form(message.rebuilt_body) == form
    assert parse_form(body_of(form)) == form


def test_an_endless_relay_state_is_refused() -> None:
    form = saml_form(sign(Saml2Response().xml(Saml2Assertion().xml())), "x" * (MAX_RELAY_STATE_CHARS + 1))
    with pytest.raises(MessageRejected) as caught:
        verify_response(form, expectation(), NOW)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_form_without_a_response_is_refused() -> None:
    with pytest.raises(MessageRejected) as caught:
        verify_response(MessageForm((("RelayState", "x"),)), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


def test_a_detail_quotes_little_of_what_a_peer_wrote() -> None:
    assert len(refused(Saml2Assertion(issuer="x" * 10_000)).detail) <= 300
    assert ASSERTION_ID not in refused(Saml2Assertion(issuer="x\n")).detail
