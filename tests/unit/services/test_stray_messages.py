"""Sign-on messages that stray: found in whatever an app could read fields from, however it is cut."""

import base64
import time
import zlib

import pytest

from gateway.proxy.body_kinds import BodyKind
from gateway.services.stray_messages import MAX_PART_HEAD_BYTES, carries_sign_on, scanner_for

LOGOUT = b'<p:LogoutResponse xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1"/>'

FORMS = [
    ("the plain name", b"a=1&SAMLResponse=x"),
    ("another case", b"samlresponse=x"),
    ("WS-Federation", b"wa=wsignin1.0&wresult=x"),
    ("an artifact", b"SAMLart=x"),
    ("an escaped name", b"%53AMLResponse=x"),
    ("a semicolon", b"a=1;SAMLResponse=x"),
    ("a blank in front, which PHP leaves out", b"+SAMLResponse=x"),
    ("300 blanks in front", b"+" * 300 + b"SAMLResponse=x"),
    ("300 escaped blanks in front", b"a=b&" + b"%20" * 300 + b"%53AMLResponse=x"),
    ("a NUL behind the name, where PHP ends", b"SAMLResponse%00zz=x"),
    ("a broken escape, which classic ASP drops", b"SAML%Response=x"),
    ("no value", b"SAMLResponse"),
]
HARMLESS_FORMS = [
    ("a value that names it", b"comment=see+SAMLResponse"),
    ("a name that contains it", b"notes_on_samlresponses=1"),
    ("a long name", b"x" * 1000 + b"=1"),
    ("nothing", b""),
]


@pytest.mark.parametrize("body", [c[1] for c in FORMS], ids=[c[0] for c in FORMS])
def test_a_sign_on_is_found_in_a_form_with(body: bytes) -> None:
    assert carries_sign_on(body)


@pytest.mark.parametrize("body", [c[1] for c in HARMLESS_FORMS], ids=[c[0] for c in HARMLESS_FORMS])
def test_a_form_passes_with(body: bytes) -> None:
    assert not carries_sign_on(body)


def test_a_sign_out_passes() -> None:
    assert not carries_sign_on(
        b"SAMLResponse=" + base64.b64encode(LOGOUT).replace(b"=", b"%3D").replace(b"+", b"%2B")
    )


def passes(kind: BodyKind, body: bytes, cut: int) -> bool:
    scanner = scanner_for(kind)
    assert scanner is not None
    return all(scanner.passes(body[at : at + cut]) for at in range(0, len(body), cut))


def part(head: bytes) -> bytes:
    return b"--x\r\nContent-Type: text/plain\r\n" + head + b"\r\n\r\nPHNhbWw+\r\n--x--\r\n"


FILLING = b"a=" + b"A" * 5_000 + b"&"
STREAMS = [
    *((f"a form with {name}", BodyKind.FORM, FILLING + body) for name, body in FORMS),
    ("an untyped form", BodyKind.UNTYPED, b"SAMLResponse=x"),
    ("a part", BodyKind.MULTIPART, part(b'Content-Disposition: form-data; name="SAMLResponse"')),
    ("a part in capitals", BodyKind.MULTIPART, part(b"CONTENT-DISPOSITION:FORM-DATA;NAME=SAMLRESPONSE")),
    (
        "a part with blanks",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: form-data; name = " SAMLResponse"'),
    ),
    (
        "a part with a folded head",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: form-data;\r\n name="SAMLResponse"'),
    ),
    (
        "a head whose line goes on without a blank, as PHP reads it",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: form-data; name="SAML\nRes\r\nponse"'),
    ),
    (
        "a head that ends with a NUL, as PHP reads it",
        BodyKind.MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="SAMLResponse"\r\n\0\nAAA\r\n--x--\r\n',
    ),
    ("a content ID, as Rack reads it", BodyKind.MULTIPART, part(b"Content-ID: SAMLResponse")),
    (
        "a disposition inside of another line, as Rack reads it",
        BodyKind.MULTIPART,
        part(b'X-Content-Disposition: form-data; name="SAMLResponse"'),
    ),
    (
        "a disposition behind others that lead to nothing",
        BodyKind.MULTIPART,
        b"x" + b"content-id: x; " * 1_000 + part(b'Content-Disposition: form-data; name="SAMLResponse"'),
    ),
    (
        "a line that a NUL cuts, as PHP reads it",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: form-data; name="SAMLRes\0x\nponse"'),
    ),
    ("two signs of equality", BodyKind.MULTIPART, part(b'Content-Disposition: a; name=="SAMLResponse"')),
    ("a name that ends at a blank", BodyKind.MULTIPART, part(b"Content-Disposition: a; name=SAMLResponse x")),
    ("a part with an escape", BodyKind.MULTIPART, part(b'Content-Disposition: a; name="SAML\\Response"')),
    ("an extended name", BodyKind.MULTIPART, part(b"Content-Disposition: a; name*=utf-8''%53AMLResponse")),
    ("a second name", BodyKind.MULTIPART, part(b'Content-Disposition: a; name="a"; name="wresult"')),
    (
        "a name inside of another parameter",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: a; filename="x; name=SAMLResponse"'),
    ),
    (
        "a head too long to be looked at",
        BodyKind.MULTIPART,
        part(b"Content-Disposition: a; x=" + b"x" * MAX_PART_HEAD_BYTES + b"; name=SAMLResponse"),
    ),
    ("bare line feeds", BodyKind.MULTIPART, b"--x\nContent-Disposition: form-data; name=SAMLResponse\n\nx"),
    ("a member", BodyKind.JSON, b'{"a": 1, "SAMLResponse": "x"}'),
    ("a member in another case", BodyKind.JSON, b'{"samlresponse":"x"}'),
    ("an escaped member", BodyKind.JSON, b'{"\\u0053AML\\u0052esponse":"x"}'),
    ("a member in single quotes", BodyKind.JSON, b"{'SAMLResponse':'x'}"),
    ("blanks before the colon", BodyKind.JSON, b'{"SAMLResponse"' + b" \n" * 2_000 + b': "x"}'),
    ("UTF-16", BodyKind.JSON, '{"SAMLResponse":"x"}'.encode("utf-16-le")),
]


@pytest.mark.parametrize("cut", [1, 7, 65_536])
@pytest.mark.parametrize(("kind", "body"), [c[1:] for c in STREAMS], ids=[c[0] for c in STREAMS])
def test_a_sign_on_is_found_as_it_streams_by_in(kind: BodyKind, body: bytes, cut: int) -> None:
    assert not passes(kind, body, cut)


HARMLESS_STREAMS = [
    ("a form", BodyKind.FORM, FILLING + b"comment=1"),
    ("compressed data without a type", BodyKind.UNTYPED, zlib.compress(bytes(range(256)) * 400)),
    (
        "a file that is about SAML",
        BodyKind.MULTIPART,
        part(b'Content-Disposition: form-data; name="file"; filename="SAMLResponse.xml"')
        + b'<input name="SAMLResponse">',
    ),
    (
        "JSON that talks about it",
        BodyKind.JSON,
        b'{"text": "the \\"SAMLResponse\\": a field", "b": "SAMLResponse"}',
    ),
]


@pytest.mark.parametrize("cut", [1, 7, 65_536])
@pytest.mark.parametrize(
    ("kind", "body"), [c[1:] for c in HARMLESS_STREAMS], ids=[c[0] for c in HARMLESS_STREAMS]
)
def test_it_streams_on_without_a_sign_on(kind: BodyKind, body: bytes, cut: int) -> None:
    assert passes(kind, body, cut)


def test_what_carries_no_fields_is_not_looked_at() -> None:
    assert scanner_for(BodyKind.OPAQUE) is None


SLOW = [
    ("escapes", BodyKind.FORM, b"%41" * 350_000),
    ("blanks", BodyKind.FORM, b"saml&" + b"\n" * 1_000_000),
    ("separators", BodyKind.FORM, b"saml" + b"&" * 1_000_000),
    ("heads", BodyKind.MULTIPART, b'\ncontent-disposition: form-data; name="a"\n' * 24_000),
    ("heads that lead to nothing", BodyKind.MULTIPART, b"x" + b"content-id:" * 90_000),
    ("JSON escapes", BodyKind.JSON, b"\\u0041" * 170_000),
]


@pytest.mark.parametrize(("kind", "body"), [c[1:] for c in SLOW], ids=[c[0] for c in SLOW])
def test_a_hostile_megabyte_costs_no_more_than_its_length(kind: BodyKind, body: bytes) -> None:
    began = time.process_time()
    assert passes(kind, body, 65_536)
    assert time.process_time() - began < 1.0  # 0.02 to 0.2 s; backtracking takes many
