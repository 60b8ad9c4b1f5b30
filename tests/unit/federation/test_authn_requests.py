"""AuthnRequests that pass by in a redirect are recognised; anything else is none, and never an error."""

import base64
import zlib
from urllib.parse import quote

import pytest
from support.messages import SAML, SAMLP

from gateway.federation.requests import MAX_INFLATED_BYTES, MAX_LOCATION_BYTES, authn_request_seen

SSO = "https://idp.example.test/sso"
WITH_QUERY = "https://idp.example.test/sso?tenant=1"
REQUEST = (
    f'<samlp:AuthnRequest {SAMLP} {SAML} ID="_r1" Version="2.0" IssueInstant="2026-11-23T12:00:00Z">'
    "<saml:Issuer>https://wiki.test</saml:Issuer></samlp:AuthnRequest>"
)


def deflated(xml: str | bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    octets = xml.encode() if isinstance(xml, str) else xml
    return compressor.compress(octets) + compressor.flush()


def location(
    message: bytes, base: str = SSO + "?", more: str = "&RelayState=x&SigAlg=y&Signature=z"
) -> bytes:
    return f"{base}SAMLRequest={quote(base64.b64encode(message), safe='')}{more}".encode()


SIGNATURE = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/></samlp:AuthnRequest>'
SEEN: list[tuple[str, bytes]] = [
    (
        "a request with a signature inside",
        location(deflated(REQUEST.encode().replace(b"</samlp:AuthnRequest>", SIGNATURE))),
    ),
    ("a redirect to the provider", location(deflated(REQUEST))),
    ("without relay state", location(deflated(REQUEST), more="")),
    ("with a fragment", location(deflated(REQUEST), more="#x")),
    ("with the fields the other way round", location(deflated(REQUEST), SSO + "?RelayState=x&", "")),
    ("to an address with a query of its own", location(deflated(REQUEST), WITH_QUERY + "&")),
    ("with a declaration", location(deflated('<?xml version="1.0"?>\n' + REQUEST))),
]


@pytest.mark.parametrize("value", [row[1] for row in SEEN], ids=[row[0] for row in SEEN])
def test_a_request_is_seen(value: bytes) -> None:
    assert authn_request_seen(value, (WITH_QUERY, SSO)) == "_r1"


BOMB = b"<x>" + b" " * (MAX_INFLATED_BYTES * 40) + b"</x>"
NOT_SEEN: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a redirect elsewhere", location(deflated(REQUEST), "https://other.test/sso?")),
    ("a redirect to an address that begins alike", location(deflated(REQUEST), SSO + "x?")),
    ("the provider's address without a query", SSO.encode()),
    ("no message", SSO.encode() + b"?RelayState=x"),
    ("two messages", location(deflated(REQUEST), more="&SAMLRequest=x")),
    ("a message in another case", location(deflated(REQUEST)).replace(b"SAMLRequest", b"samlrequest")),
    ("a logout request", location(deflated(REQUEST.replace("AuthnRequest", "LogoutRequest")))),
    ("a request without an ID", location(deflated(REQUEST.replace(' ID="_r1"', "")))),
    ("a request with an ID that is none", location(deflated(REQUEST.replace("_r1", "a b")))),
    ("a request with an endless ID", location(deflated(REQUEST.replace("_r1", "_" * 300)))),
    ("a request that is not deflated", location(REQUEST.encode())),
    ("a request cut short", location(deflated(REQUEST)[:-20])),
    ("a request with a zlib header", location(zlib.compress(REQUEST.encode()))),
    ("a request with a comment", location(deflated(REQUEST + "<!-- -->"))),
    ("a request with a document type", location(deflated("<!DOCTYPE x>" + REQUEST))),
    ("XML that is broken", location(deflated("<x"))),
    ("a bomb", location(deflated(BOMB))),
    ("base64 that is none", SSO.encode() + b"?SAMLRequest=***"),
    ("a message that is empty", SSO.encode() + b"?SAMLRequest="),
    ("bytes above ASCII", SSO.encode() + b"?SAMLRequest=\xff\xfe%ff"),
    ("an address without end", location(deflated(REQUEST), more="&x=" + "a" * MAX_LOCATION_BYTES)),
]


@pytest.mark.parametrize("value", [row[1] for row in NOT_SEEN], ids=[row[0] for row in NOT_SEEN])
def test_anything_else_is_no_request(value: bytes) -> None:
    assert authn_request_seen(value, (WITH_QUERY, SSO)) is None


def test_a_bomb_is_inflated_no_further_than_the_limit() -> None:
    assert len(deflated(BOMB)) < MAX_LOCATION_BYTES < MAX_INFLATED_BYTES < len(BOMB)
