"""What two XML parsers could read differently, or what would cost too much to read at all."""

from collections.abc import Callable

import pytest
from support.messages import (
    NOW,
    Saml2Assertion,
    Saml2Response,
    expectation,
    rstr,
    saml_form,
    sign,
    ws_fed_form,
)

from gateway.federation.errors import MessageRejected
from gateway.federation.saml2 import verify_response
from gateway.federation.structure import (
    MAX_ELEMENTS,
    MAX_TEXT_CHARS,
    check_bytes,
    decode_base64,
    parse_message,
)
from gateway.federation.vocabulary import MAX_NEW_NAME_BYTES
from gateway.federation.ws_fed import verify_wresult
from gateway.model.reasons import MessageReason as Reason

Change = Callable[[bytes], bytes]


def replacing(old: bytes, new: bytes) -> Change:
    return lambda xml: xml.replace(old, new, 1)


def in_status(inner: bytes) -> Change:
    return replacing(b"</samlp:Status>", inner + b"</samlp:Status>")


def before(prefix: bytes) -> Change:
    return lambda xml: prefix + xml


BOMB = b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
TABLE: list[tuple[str, Change, Reason]] = [
    ("a document type", before(b"<!DOCTYPE samlp:Response>"), Reason.MALFORMED),
    ("an external subset", before(b'<!DOCTYPE r SYSTEM "file:///etc/passwd">'), Reason.MALFORMED),
    ("entities", before(BOMB), Reason.MALFORMED),
    ("an entity that nobody declared", replacing(b"alice@", b"&admin;@"), Reason.MALFORMED),
    ("a comment in the user's name", replacing(b"alice@", b"admin<!-- -->@"), Reason.MALFORMED),
    ("a comment elsewhere", in_status(b"<!-- -->"), Reason.MALFORMED),
    ("a comment after the end", lambda xml: xml + b"<!-- -->", Reason.MALFORMED),
    ("a CDATA section", replacing(b"alice", b"<![CDATA[admin]]>"), Reason.MALFORMED),
    ("a processing instruction", in_status(b"<?php system() ?>"), Reason.MALFORMED),
    ("a stylesheet instruction in front", before(b'<?xml-stylesheet href="x"?>'), Reason.MALFORMED),
    ("an instruction after the end", lambda xml: xml + b"<?x?>", Reason.MALFORMED),
    ("a second XML declaration", before(b'<?xml version="1.0"?><?xml version="1.0"?>'), Reason.MALFORMED),
    ("XML 1.1", before(b'<?xml version="1.1"?>'), Reason.MALFORMED),
    ("another encoding", before(b'<?xml version="1.0" encoding="utf-7"?>'), Reason.MALFORMED),
    ("Latin-1 by declaration", before(b'<?xml version="1.0" encoding="iso-8859-1"?>'), Reason.MALFORMED),
    ("UTF-16", lambda xml: xml.decode().encode("utf-16"), Reason.MALFORMED),
    ("UTF-16 without a mark", lambda xml: xml.decode().encode("utf-16-be"), Reason.MALFORMED),
    ("bytes that are not UTF-8", replacing(b"alice", b"alice\xff"), Reason.MALFORMED),
    ("a byte order mark", before(b"\xef\xbb\xbf"), Reason.MALFORMED),
    ("a NUL", replacing(b"alice", b"alice\0"), Reason.MALFORMED),
    ("a NUL after the end", lambda xml: xml + b"\0", Reason.MALFORMED),
    ("a control character", replacing(b"alice", b"alice\x01"), Reason.MALFORMED),
    ("a reference to a control character", replacing(b"alice", b"alice&#1;"), Reason.MALFORMED),
    ("text in front", before(b"admin"), Reason.MALFORMED),
    ("a second root", lambda xml: xml + b"<x/>", Reason.MALFORMED),
    ("an end that is missing", lambda xml: xml[:-5], Reason.MALFORMED),
    ("a prefix that nobody declared", in_status(b"<x:y/>"), Reason.MALFORMED),
    ("one attribute twice", in_status(b'<samlp:StatusMessage a="1" a="2"/>'), Reason.MALFORMED),
    ("an attribute without a value", in_status(b"<samlp:StatusMessage a/>"), Reason.MALFORMED),
    ("an attribute without quotes", in_status(b"<samlp:StatusMessage a=1/>"), Reason.MALFORMED),
    ("attributes without white space between", in_status(b'<x a="1"b="2"/>'), Reason.MALFORMED),
    ("an ampersand alone", replacing(b"alice", b"alice & bob"), Reason.MALFORMED),
    ("an entity of HTML", replacing(b"alice", b"alice&nbsp;"), Reason.MALFORMED),
    (
        "white space without end between two elements",
        replacing(b"</samlp:Status>", b"</samlp:Status>" + b" " * (MAX_TEXT_CHARS + 1)),
        Reason.TOO_LARGE,
    ),
    ("xml:id", in_status(b'<samlp:StatusMessage xml:id="a"/>'), Reason.MALFORMED),
    (
        "wsu:Id",
        in_status(b'<samlp:StatusMessage xmlns:wsu="urn:wsu" wsu:Id="a"/>'),
        Reason.MALFORMED,
    ),
    (
        "the assertion's ID on another element",
        in_status(b'<samlp:StatusMessage ID="_assertion1"/>'),
        Reason.MALFORMED,
    ),
    ("the same as Id", in_status(b'<samlp:StatusMessage Id="_assertion1"/>'), Reason.MALFORMED),
    ("the same as id", in_status(b'<samlp:StatusMessage id="_assertion1"/>'), Reason.MALFORMED),
    (
        "the same as AssertionID",
        in_status(b'<samlp:StatusMessage AssertionID="_assertion1"/>'),
        Reason.MALFORMED,
    ),
    ("an empty ID", in_status(b'<samlp:StatusMessage ID=""/>'), Reason.MALFORMED),
    ("an ID with a quote", in_status(b'<samlp:StatusMessage ID="a\'b"/>'), Reason.MALFORMED),
    ("a relative namespace name", in_status(b'<samlp:StatusMessage xmlns:x="relative"/>'), Reason.MALFORMED),
    ("a namespace name of dots", in_status(b'<samlp:StatusMessage xmlns:x="../x"/>'), Reason.MALFORMED),
    ("a namespace name of a path", in_status(b'<samlp:StatusMessage xmlns:x="/x"/>'), Reason.MALFORMED),
    (
        "a namespace name with a blank",
        in_status(b'<samlp:StatusMessage xmlns:x=" urn:x"/>'),
        Reason.MALFORMED,
    ),
    (
        "a relative namespace name behind white space",
        in_status(b"<samlp:StatusMessage xmlns:x\n =\n 'relative'/>"),
        Reason.MALFORMED,
    ),
    (
        "a namespace name by character reference",
        in_status(b'<samlp:StatusMessage xmlns:x="&#114;elative"/>'),
        Reason.MALFORMED,
    ),
    ("a Response inside", in_status(b"<samlp:Response/>"), Reason.MALFORMED),
    ("a Response of another namespace inside", in_status(b'<x:Response xmlns:x="urn:x"/>'), Reason.MALFORMED),
    ("a Signature of another namespace", in_status(b'<x:Signature xmlns:x="urn:x"/>'), Reason.MALFORMED),
    (
        "a Signature in the Status",
        in_status(b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'),
        Reason.MALFORMED,
    ),
    (
        "40 attributes on one element",
        in_status(b"<samlp:StatusMessage " + b" ".join(b'a%d="1"' % n for n in range(40)) + b"/>"),
        Reason.TOO_LARGE,
    ),
    (
        "100,000 attributes on one element",
        in_status(b"<samlp:StatusMessage " + b" ".join(b'a%d=""' % n for n in range(80_000)) + b"/>"),
        Reason.TOO_LARGE,
    ),
    (
        "20,000 namespace declarations on one element",
        in_status(
            b"<samlp:StatusMessage " + b" ".join(b'xmlns:a%d="u:x"' % n for n in range(20_000)) + b"/>"
        ),
        Reason.TOO_LARGE,
    ),
    ("40 levels", in_status(b"<x>" * 40 + b"</x>" * 40), Reason.TOO_LARGE),
    ("50,000 levels", in_status(b"<x>" * 50_000 + b"</x>" * 50_000), Reason.TOO_LARGE),
    ("200 levels", in_status(b"<x>" * 200 + b"</x>" * 200), Reason.TOO_LARGE),
    ("300 levels", in_status(b"<x>" * 300 + b"</x>" * 300), Reason.TOO_LARGE),
    ("more elements than any message", in_status(b"<x/>" * (2 * MAX_ELEMENTS)), Reason.TOO_LARGE),
    ("one very long text", in_status(b"<x>" + b"a" * (MAX_TEXT_CHARS + 1) + b"</x>"), Reason.TOO_LARGE),
    (
        "one very long attribute",
        in_status(b'<x y="' + b"a" * (MAX_TEXT_CHARS + 1) + b'"/>'),
        Reason.TOO_LARGE,
    ),
    ("more bytes than any message", in_status((b"<x>" + b"a" * 1000 + b"</x>") * 1100), Reason.TOO_LARGE),
    (
        "a name of its own in each element",
        in_status(b"".join(b"<n%d/>" % n for n in range(200))),
        Reason.TOO_LARGE,
    ),
    (
        "a name of its own in each attribute",
        in_status(b"".join(b'<x n%d=""/>' % n for n in range(200))),
        Reason.TOO_LARGE,
    ),
    (
        "a namespace of its own in each element",
        in_status(b"".join(b'<x xmlns="urn:%d"/>' % n for n in range(200))),
        Reason.TOO_LARGE,
    ),
    (
        "white space of its own between all elements",
        in_status(
            b"".join(
                b"<x/>" + b" " * 20 + format(n, "08b").translate({48: " ", 49: "\n"}).encode()
                for n in range(200)
            )
        ),
        Reason.TOO_LARGE,
    ),
    ("one very long name", in_status(b"<" + b"x" * MAX_NEW_NAME_BYTES + b"/>"), Reason.TOO_LARGE),
]


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_message_with_more_than_one_reading_is_refused(change: Change, reason: Reason) -> None:
    form = saml_form(change(sign(Saml2Response().xml(Saml2Assertion().xml()))))
    with pytest.raises(MessageRejected) as caught:
        verify_response(form, expectation(), NOW)
    assert caught.value.reason is reason


@pytest.mark.parametrize("quote", [b'"', b"'"])
def test_a_message_of_a_known_shape_still_answers_for_its_namespaces(quote: bytes) -> None:
    """What the names of a shape cost is remembered; the values that stand in it are not."""
    known = b"<x xmlns:q=" + quote + b"urn:q" + quote + b"/>"
    for _ in range(2):
        check_bytes(known)
        with pytest.raises(MessageRejected) as caught:
            check_bytes(known.replace(b"urn:q", b"urn:" + b"q" * MAX_NEW_NAME_BYTES))
        assert caught.value.reason is Reason.TOO_LARGE
        with pytest.raises(MessageRejected) as caught:
            check_bytes(known.replace(b"urn:q", b"relative"))
        assert caught.value.reason is Reason.MALFORMED


def test_each_of_many_messages_inside_may_have_one_signature() -> None:
    signature = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
    request = b'<p:LogoutRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol">%s</p:LogoutRequest>'
    parse_message(b"<x>" + request % signature * 100 + b"</x>")
    with pytest.raises(MessageRejected) as caught:
        parse_message(b"<x>" + request % signature * 99 + request % (signature * 2) + b"</x>")
    assert caught.value.reason is Reason.MALFORMED


REMEMBERED: list[tuple[str, bytes]] = [
    ("names of entities", b"<x>&a;&b;&c;</x>"),
    ("names of entities in attributes", b'<x y="&a;"/>'),
    ("attributes without values", b"<x a b c/>"),
    ("attributes without quotes", b"<x a=b/>"),
    ("values of xml:id", b'<x xml:id="a"/>'),
]


@pytest.mark.parametrize("xml", [row[1] for row in REMEMBERED], ids=[row[0] for row in REMEMBERED])
def test_what_the_parser_would_remember_after_refusing_it_never_reaches_it(xml: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        check_bytes(xml)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("inner", ["<samlp:Response/>", '<x:Response xmlns:x="urn:x"/>'])
def test_a_response_inside_is_refused_wherever_it_is(inner: str) -> None:
    xml = Saml2Response(extra=f"<samlp:Extensions>{inner}</samlp:Extensions>").xml()
    with pytest.raises(MessageRejected) as caught:
        parse_message(xml)
    assert caught.value.reason is Reason.MALFORMED


def test_a_wresult_is_read_with_the_same_rules() -> None:
    token = sign(Saml2Assertion().xml(), "response")
    with pytest.raises(MessageRejected) as caught:
        verify_wresult(ws_fed_form(rstr(token, extra="<!-- -->")), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "text",
    ["PHg+*", "PHg", "PHg+=", "PHg+====", "====", "PH=g", "ＰＨｇ＋", "PHg+\x0b", "PHg+\x00", "-_-_", "%3C"],
    ids=[
        "a star",
        "too short",
        "too much padding",
        "four signs of padding",
        "padding only",
        "padding inside",
        "full width",
        "a tab of its own",
        "NUL",
        "base64url",
        "percent",
    ],
)
def test_base64_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(MessageRejected) as caught:
        decode_base64(text, "SAMLResponse")
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize("xml", [b"", b" \r\n\t ", b"alice", b"<", b"<>", b"<x", b"<?xml?>"])
def test_what_is_not_xml_is_refused(xml: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        verify_response(saml_form(xml), expectation(), NOW)
    assert caught.value.reason is Reason.MALFORMED


def test_nothing_is_fetched_for_an_external_reference() -> None:
    xml = b'<x xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></x>'
    assert b"root:" not in b"".join(text.encode() for text in parse_message(xml).itertext())
