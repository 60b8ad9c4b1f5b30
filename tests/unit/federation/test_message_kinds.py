"""Sign-on, sign-out or something else: nothing that could sign anybody on is called a sign-out."""

import base64
import zlib
from urllib.parse import urlencode

import pytest
from support.messages import SAML, SAMLP, Saml2Assertion, Saml2Response, rstr, sign

from gateway.federation.errors import MessageRejected
from gateway.federation.form import MessageForm
from gateway.federation.kinds import MAX_QUERY_BYTES, MessageKind, message_kind, query_kind

RESPONSE = sign(Saml2Response().xml(Saml2Assertion().xml()))
STATUS = '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'


def logout_response(inner: str = STATUS) -> bytes:
    return (
        f'<samlp:LogoutResponse {SAMLP} {SAML} ID="_l1" Version="2.0" IssueInstant="2026-11-23T12:00:00Z">'
        f"{inner}</samlp:LogoutResponse>"
    ).encode()


def logout_request(inner: str = "<saml:NameID>alice</saml:NameID>") -> bytes:
    return (
        f'<samlp:LogoutRequest {SAMLP} {SAML} ID="_l1" Version="2.0" IssueInstant="2026-11-23T12:00:00Z">'
        f"{inner}</samlp:LogoutRequest>"
    ).encode()


AUTHN_REQUEST = f'<samlp:AuthnRequest {SAMLP} ID="_r1" Version="2.0"/>'.encode()


def posted(**fields: bytes | str) -> MessageForm:
    return MessageForm(
        tuple(
            (name, base64.b64encode(value).decode() if isinstance(value, bytes) else value)
            for name, value in fields.items()
        )
    )


FORMS: list[tuple[str, MessageForm, MessageKind]] = [
    ("a SAML response", posted(SAMLResponse=RESPONSE, RelayState="x"), MessageKind.SIGN_ON),
    ("a SAML response that is broken", posted(SAMLResponse=b"<broken"), MessageKind.SIGN_ON),
    ("a WS-Fed sign-in", posted(wa="wsignin1.0", wresult=rstr("").decode()), MessageKind.SIGN_ON),
    ("a LogoutResponse", posted(SAMLResponse=logout_response(), RelayState="x"), MessageKind.SIGN_OUT),
    (
        "a LogoutResponse behind a declaration",
        posted(SAMLResponse=b'<?xml version="1.0"?>\n' + logout_response()),
        MessageKind.SIGN_OUT,
    ),
    ("a LogoutRequest", posted(SAMLRequest=logout_request()), MessageKind.SIGN_OUT),
    ("a WS-Fed sign-out", posted(wa="wsignout1.0"), MessageKind.SIGN_OUT),
    ("a WS-Fed clean-up", posted(wa="wsignoutcleanup1.0", wreply="https://x.test"), MessageKind.SIGN_OUT),
    ("an AuthnRequest", posted(SAMLRequest=AUTHN_REQUEST), MessageKind.OTHER),
    ("a WS-Fed sign-in without a result", posted(wa="wsignin1.0"), MessageKind.OTHER),
    ("a WS-Fed action that nobody knows", posted(wa="wattr1.0"), MessageKind.OTHER),
    ("an ordinary form", posted(user="alice", password="x"), MessageKind.OTHER),
    ("nothing", posted(), MessageKind.OTHER),
    (
        "a Response that only mentions a LogoutResponse",
        posted(SAMLResponse=Saml2Response(extra="<samlp:LogoutResponse/>").xml(Saml2Assertion().xml())),
        MessageKind.SIGN_ON,
    ),
    (
        "a root that is called LogoutResponse only",
        posted(SAMLResponse=b'<LogoutResponse xmlns="urn:x"/>'),
        MessageKind.SIGN_ON,
    ),
]


@pytest.mark.parametrize(("form", "kind"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_form_is_told_by_what_it_carries(form: MessageForm, kind: MessageKind) -> None:
    assert message_kind(form) is kind


ASSERTION = Saml2Assertion().xml()
AMBIGUOUS: list[tuple[str, MessageForm]] = [
    ("a LogoutResponse with an assertion", posted(SAMLResponse=logout_response(STATUS + ASSERTION))),
    (
        "a LogoutResponse with a Response inside",
        posted(SAMLResponse=logout_response(STATUS + RESPONSE.decode())),
    ),
    (
        "a LogoutResponse with an assertion deep inside",
        posted(SAMLResponse=logout_response(f"<samlp:Extensions>{ASSERTION}</samlp:Extensions>")),
    ),
    (
        "a LogoutResponse with an encrypted assertion",
        posted(SAMLResponse=logout_response(STATUS + "<saml:EncryptedAssertion/>")),
    ),
    (
        "a LogoutResponse with something encrypted",
        posted(
            SAMLResponse=logout_response('<x:EncryptedData xmlns:x="http://www.w3.org/2001/04/xmlenc#"/>')
        ),
    ),
    (
        "a LogoutResponse with an assertion in a comment",
        posted(SAMLResponse=logout_response(f"<!--{ASSERTION}-->")),
    ),
    (
        "a LogoutResponse with an assertion in CDATA",
        posted(SAMLResponse=logout_response(f"<![CDATA[{ASSERTION}]]>")),
    ),
    (
        "a LogoutResponse with an assertion of another namespace",
        posted(SAMLResponse=logout_response('<Assertion xmlns="urn:x"/>')),
    ),
    ("a LogoutRequest with an assertion", posted(SAMLRequest=logout_request(ASSERTION))),
    ("a LogoutResponse that is not base64", posted(SAMLResponse="<samlp:LogoutResponse/>")),
    ("a Response in the field of a request", posted(SAMLRequest=RESPONSE)),
    ("an assertion in the field of a request", posted(SAMLRequest=sign(Saml2Assertion().xml(), "response"))),
    ("a response and a request", posted(SAMLResponse=RESPONSE, SAMLRequest=logout_request())),
    ("a response and an artifact", posted(SAMLResponse=RESPONSE, SAMLart="AAQAAA")),
    ("a response and a result", posted(SAMLResponse=RESPONSE, wresult="x", wa="wsignin1.0")),
    ("a sign-out with a response", posted(wa="wsignout1.0", SAMLResponse=RESPONSE)),
    ("a sign-out with a result", posted(wa="wsignout1.0", wresult=rstr("").decode())),
    ("a result without an action", posted(wresult=rstr("").decode())),
    ("a result with an action in capitals", posted(wa="WSIGNIN1.0", wresult=rstr("").decode())),
    ("an artifact", posted(SAMLart="AAQAAA")),
    ("a pointer to a result", posted(wa="wsignin1.0", wresultptr="https://attacker.test/rstr")),
]


@pytest.mark.parametrize("form", [row[1] for row in AMBIGUOUS], ids=[row[0] for row in AMBIGUOUS])
def test_a_form_that_could_be_two_things_is_refused(form: MessageForm) -> None:
    with pytest.raises(MessageRejected):
        message_kind(form)


def deflated(xml: bytes) -> str:
    compressor = zlib.compressobj(wbits=-15)
    return base64.b64encode(compressor.compress(xml) + compressor.flush()).decode()


QUERIES: list[tuple[str, bytes, MessageKind]] = [
    ("no query", b"", MessageKind.OTHER),
    ("an ordinary query", b"page=1&x", MessageKind.OTHER),
    ("a request on its way", urlencode({"SAMLRequest": deflated(AUTHN_REQUEST)}).encode(), MessageKind.OTHER),
    (
        "a LogoutRequest",
        urlencode({"SAMLRequest": deflated(logout_request())}).encode(),
        MessageKind.SIGN_OUT,
    ),
    (
        "a LogoutResponse",
        urlencode({"SAMLResponse": deflated(logout_response()), "RelayState": "x"}).encode(),
        MessageKind.SIGN_OUT,
    ),
    ("a WS-Fed clean-up", b"wa=wsignoutcleanup1.0", MessageKind.SIGN_OUT),
    ("a response", urlencode({"SAMLResponse": deflated(RESPONSE)}).encode(), MessageKind.SIGN_ON),
    (
        "a response that is not deflated",
        urlencode({"SAMLResponse": base64.b64encode(RESPONSE)}).encode(),
        MessageKind.SIGN_ON,
    ),
    (
        "a LogoutResponse with an assertion",
        urlencode({"SAMLResponse": deflated(logout_response(ASSERTION))}).encode(),
        MessageKind.SIGN_ON,
    ),
    (
        "a LogoutRequest with an assertion",
        urlencode({"SAMLRequest": deflated(logout_request(ASSERTION))}).encode(),
        MessageKind.SIGN_ON,
    ),
    ("a response in small letters", b"samlresponse=x", MessageKind.SIGN_ON),
    ("a response behind a semicolon", b"page=1;SAMLResponse=x", MessageKind.SIGN_ON),
    ("a response as an array", b"SAMLResponse%5B%5D=x", MessageKind.SIGN_ON),
    ("a response in escapes of ASP.NET", b"SAML%u0052esponse=x", MessageKind.SIGN_ON),
    ("an artifact", b"SAMLart=AAQ", MessageKind.SIGN_ON),
    ("a result", b"wa=wsignin1.0&wresult=x", MessageKind.SIGN_ON),
    ("a sign-out with a result", b"wa=wsignout1.0&wresult=x", MessageKind.SIGN_ON),
    ("two actions", b"wa=wsignout1.0&wa=wsignin1.0", MessageKind.SIGN_ON),
    ("a query without end", b"x=" + b"a" * MAX_QUERY_BYTES, MessageKind.SIGN_ON),
]


@pytest.mark.parametrize(("query", "kind"), [row[1:] for row in QUERIES], ids=[row[0] for row in QUERIES])
def test_a_query_is_told_as_loosely_as_any_app_may_read_it(query: bytes, kind: MessageKind) -> None:
    assert query_kind(query) is kind
