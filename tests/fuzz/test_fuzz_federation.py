"""Fuzz the federation room. The invariants:

* a form, a message, metadata is a value or the one declared exception, whatever the bytes;
* what passes `parse_form` comes back from its own rebuilt bytes;
* a mutation of a signed message is refused, or says exactly who was signed: never another identity.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote_from_bytes, unquote_plus

from hypothesis import given, settings
from hypothesis import strategies as st
from support.messages import (
    NOW,
    RECIPIENT,
    Encryption,
    Saml2Assertion,
    Saml2Response,
    Saml11Assertion,
    body_of,
    certificate_der,
    expectation,
    idp_entity,
    key_descriptor,
    rsa_key,
    rstr,
    saml_form,
    sign,
    sts_entity,
    ws_fed_form,
)

from gateway.federation.errors import MessageRejected, MetadataRejected
from gateway.federation.expectation import Expectation, VerifiedMessage
from gateway.federation.form import MessageForm, parse_form, rebuild_form
from gateway.federation.kinds import message_kind, query_kind
from gateway.federation.metadata import parse_idp_metadata
from gateway.federation.requests import authn_request_seen
from gateway.federation.saml2 import verify_response
from gateway.federation.structure import decode_base64, parse_message
from gateway.federation.validity import parse_instant
from gateway.federation.ws_fed import verify_wresult
from gateway.model.identity import Identity
from gateway.model.settings import FederationProtocol

APP_KEY: Final = rsa_key("app")
EXPECTED: Final = expectation(APP_KEY)
CERTIFICATE: Final = certificate_der(rsa_key())
RESPONSE: Final = Saml2Response().xml(Saml2Assertion().xml())
SAML_MESSAGES: Final = (
    sign(RESPONSE, "assertion", certificate=CERTIFICATE),
    sign(RESPONSE, "response", inclusive_prefixes=("xs",)),
    sign(RESPONSE, "both"),
    Saml2Response().xml(
        Encryption().assertion(sign(Saml2Assertion().xml(), "response"), APP_KEY.public_key())
    ),
)
WS_FED_MESSAGES: Final = (
    rstr(sign(Saml11Assertion().xml(), "response")),
    rstr(sign(Saml2Assertion().xml(), "response"), collection=True),
)
METADATA: Final = (
    idp_entity(key_descriptor(rsa_key()), attributes=' validUntil="2026-11-24T00:00:00Z"').encode(),
    sts_entity(key_descriptor(rsa_key())).encode(),
)

# Pieces that mean something to some XML parser, form parser or library.
PIECES: Final = (
    *(
        b"<!-- -->",
        b"<![CDATA[admin]]>",
        b"<?x y?>",
        b"<!DOCTYPE x>",
        b"&#13;",
        b"&#0;",
        b"&amp;",
        b"&admin;",
    ),
    *(b"\r", b"\n", b" ", b"\0", b"\xef\xbb\xbf", b"\xff", b"#", b"=", b'"', b"'", b"<", b">", b"/", b"&"),
    *(
        b"admin",
        b"admin@example.test",
        b'ID="_assertion1"',
        b'ID="_evil"',
        b"<saml:NameID>admin</saml:NameID>",
    ),
    *(b'xmlns="relative"', b'xmlns:saml="urn:x"', b"</saml:NameID>", b"<saml:Subject>", b"<saml:Assertion/>"),
    *(b"</saml:Assertion>", b"<ds:Object>", b"</ds:Object>", b"<ds:Signature/>", b"<samlp:Extensions>"),
    *(b"</samlp:Extensions>", RECIPIENT.encode(), b"2099-01-01T00:00:00Z"),
    b"http://www.w3.org/2000/09/xmldsig#hmac-sha1",
)


@st.composite
def mutated(draw: st.DrawFn, originals: tuple[bytes, ...]) -> bytes:
    """An original with some of its bytes cut, doubled, moved, replaced, or given a piece of danger."""
    octets = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(octets)))
        end = min(len(octets), start + draw(st.integers(0, 400)))
        cut = octets[start:end]
        to = draw(st.integers(0, len(octets)))
        match draw(st.sampled_from(["insert", "cut", "replace", "copy", "flip", "tag"])):
            case "insert":
                octets = octets[:start] + draw(st.sampled_from(PIECES)) + octets[start:]
            case "cut":
                octets = octets[:start] + octets[end:]
            case "replace":
                octets = octets[:start] + draw(st.sampled_from(PIECES)) + octets[end:]
            case "copy":
                octets = octets[:to] + cut + octets[to:]
            case "flip":
                octets = octets[:start] + bytes([draw(st.integers(0, 255))]) + octets[start + 1 :]
            case "tag":
                octets = _move_element(octets, start, to)
    return octets


def _move_element(octets: bytes, start: int, to: int) -> bytes:
    """Move what stands between two tags to another place between tags: most results are well-formed."""
    begin = octets.find(b"<", start)
    if begin < 0 or octets[begin : begin + 2] == b"</":
        return octets
    name = octets[begin + 1 :].split(b">", 1)[0].split(b" ", 1)[0].rstrip(b"/")
    close = b"</" + name + b">"
    end = octets.find(close, begin)
    if end < 0:
        return octets
    element = octets[begin : end + len(close)]
    rest = octets[:begin] + octets[end + len(close) :]
    place = rest.find(b"<", min(to, len(rest)))
    return rest if place < 0 else rest[:place] + element + rest[place:]


def _said_by(
    verify: Callable[[MessageForm, Expectation, datetime], VerifiedMessage], form: MessageForm
) -> tuple[Identity, str] | None:
    """The identity and the replay key of what passes; None for what is refused."""
    try:
        message = verify(form, EXPECTED, NOW)
    except MessageRejected:
        return None
    return message.identity, message.replay_key


SIGNED_SAML: Final = _said_by(verify_response, saml_form(SAML_MESSAGES[0]))
SIGNED_WS_FED: Final = [_said_by(verify_wresult, ws_fed_form(message)) for message in WS_FED_MESSAGES]
assert None not in (SIGNED_SAML, *SIGNED_WS_FED)


@settings(deadline=None, max_examples=400)
@given(mutated(SAML_MESSAGES))
def test_a_mutated_response_never_says_another_identity(xml: bytes) -> None:
    assert _said_by(verify_response, saml_form(xml)) in (None, SIGNED_SAML)


@settings(deadline=None, max_examples=300)
@given(mutated(WS_FED_MESSAGES))
def test_a_mutated_wresult_never_says_another_identity(xml: bytes) -> None:
    try:
        form = ws_fed_form(xml)
    except UnicodeDecodeError:
        return  # a form value is text
    assert _said_by(verify_wresult, form) in (None, *SIGNED_WS_FED)


@settings(deadline=None, max_examples=200)
@given(mutated(tuple(base64.b64encode(message) for message in SAML_MESSAGES)))
def test_a_mutated_base64_never_says_another_identity(encoded: bytes) -> None:
    form = MessageForm((("SAMLResponse", encoded.decode("latin-1")),))
    assert _said_by(verify_response, form) in (None, SIGNED_SAML)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=300), mutated((body_of(saml_form(b"<x/>", "a b&c", csrf="1")),))))
def test_any_body_is_a_form_or_refused(body: bytes) -> None:
    try:
        form = parse_form(body)
        message_kind(form)
    except MessageRejected:
        return
    rebuilt = rebuild_form(form)
    assert parse_form(rebuilt) == form
    assert rebuild_form(parse_form(rebuilt)) == rebuilt


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("%0123456789abcdefABCDEF+=-._~ax"), max_size=40), st.binary(max_size=10))
def test_escapes_are_decoded_as_the_standard_library_does(text: str, octets: bytes) -> None:
    raw = text.encode() + quote_from_bytes(octets).encode()
    try:
        form = parse_form(b"field=" + raw)
    except MessageRejected:
        return
    assert form.value("field") == unquote_plus(raw.decode(), errors="strict")


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
        ),
        max_size=6,
    )
)
def test_a_form_comes_back_from_its_own_bytes(fields: list[tuple[str, str]]) -> None:
    form = MessageForm(tuple(fields))
    try:
        parsed = parse_form(rebuild_form(form))
    except MessageRejected:
        return
    assert parsed == form


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=400), mutated(SAML_MESSAGES + WS_FED_MESSAGES)))
def test_any_bytes_are_a_message_or_refused(xml: bytes) -> None:
    try:
        root = parse_message(xml)
    except MessageRejected:
        return
    assert len([each for each in root.iter() if str(each.tag).endswith("}Assertion")]) <= 1


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(st.binary(max_size=400), mutated(METADATA)),
    st.sampled_from(FederationProtocol),
    st.sampled_from([None, "https://idp.example.test/metadata"]),
)
def test_any_bytes_are_metadata_or_refused(
    xml: bytes, protocol: FederationProtocol, entity_id: str | None
) -> None:
    try:
        metadata = parse_idp_metadata(xml, NOW, entity_id, protocol)
    except MetadataRejected:
        return
    assert metadata.signing_keys
    assert metadata.entity_id
    assert metadata.valid_until is None or metadata.valid_until > NOW


SSO: Final = "https://idp.example.test/sso"
REDIRECT: Final = (
    SSO.encode() + b"?SAMLRequest=fZBBa8MwDIXvg%2F0H43vjOM26RiSBQhkEtsvW7bCb46itIbE9S9768%2Be0K%2ByyXvX0P"
    b"umpJjWNHjaRj%2FYVPyMSi9M0WoKz0MgYLDhFhsCqCQlYw9vm5RmKLAcfHDvtRvnHctuhiDCwcVaKbtvI0vdYYblaP%2BTDcl3"
)


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=200), mutated((REDIRECT,))))
def test_no_location_and_no_query_raises(location: bytes) -> None:
    seen = authn_request_seen(location, (SSO,))
    assert seen is None or seen.isascii()
    query_kind(location)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40) | st.text(st.sampled_from("AQgw09+/= \n"), max_size=12))
def test_any_text_is_the_base64_of_what_it_decodes_to_or_refused(text: str) -> None:
    try:
        octets = decode_base64(text, "it")
    except MessageRejected:
        return
    assert octets == base64.b64decode(text)
    assert len(base64.b64encode(octets)) == len("".join(text.split()))


INSTANTS: Final = (
    r"[0-8][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
    r"(\.[0-9]{1,12})?(Z|[+-][01][0-9]:[0-5][0-9])?"
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(max_size=40), st.from_regex(INSTANTS, fullmatch=True)))
def test_any_text_is_the_instant_that_the_standard_library_reads_or_refused(text: str) -> None:
    try:
        instant = parse_instant(text, "it")
    except MessageRejected:
        return
    expected = datetime.fromisoformat(text.strip())
    assert instant == (expected if expected.tzinfo else expected.replace(tzinfo=UTC))
    assert instant.tzinfo is UTC
