"""What an app server may make of a body, by its Content-Type."""

import pytest

from gateway.proxy.body_kinds import BodyKind, body_kind, is_disguised

KINDS = [
    ("no type, which Rack reads as a form", None, BodyKind.UNTYPED),
    ("an empty type", b"; charset=utf-8", BodyKind.UNTYPED),
    ("a form", b"application/x-www-form-urlencoded", BodyKind.FORM),
    ("a form in capitals with a charset", b"Application/X-WWW-Form-Urlencoded;charset=utf-8", BodyKind.FORM),
    ("a form with something behind its type", b"application/x-www-form-urlencoded, x/y", BodyKind.FORM),
    ("a form with files", b"multipart/form-data; boundary=x", BodyKind.MULTIPART),
    ("a multipart body of another kind, which Rack reads too", b"multipart/mixed", BodyKind.MULTIPART),
    ("JSON", b"application/json", BodyKind.JSON),
    ("JSON of some vocabulary", b"application/vnd.api+json; charset=utf-8", BodyKind.JSON),
    ("the ECP profile", b"application/vnd.paos+xml", BodyKind.SIGN_ON),
    ("text", b"text/plain", BodyKind.OPAQUE),
    ("a picture", b"image/png", BodyKind.OPAQUE),
]


@pytest.mark.parametrize(("content_type", "kind"), [c[1:] for c in KINDS], ids=[c[0] for c in KINDS])
def test_the_kind_of_a_body_is(content_type: bytes | None, kind: BodyKind) -> None:
    assert body_kind(content_type) is kind


PLAIN = [
    ("no charset", b"a/b", None),
    ("UTF-8", b"a/b; charset=UTF-8", None),
    ("UTF-8 in quotes", b'a/b; charset="utf-8"', None),
    ("Latin 1", b"a/b;charset=iso-8859-1", None),
    ("the identity", b"a/b", b"identity"),
]
DISGUISED = [
    ("EBCDIC", b"a/b; charset=ibm037", None),
    ("UTF-7", b"a/b; charset=utf-7", None),
    ("UTF-16", b"a/b; charset = utf-16le", None),
    ("EBCDIC behind another charset", b"a/b; charset=utf-8; charset=ibm500", None),
    ("UTF-7 behind another parameter", b'a/b; boundary=x; charset="utf-7"', None),
    ("gzip", b"a/b", b"gzip"),
    ("deflate in capitals", None, b"Deflate"),
    ("two codings", None, b"identity, gzip"),
]


@pytest.mark.parametrize(("content_type", "encoding"), [c[1:] for c in PLAIN], ids=[c[0] for c in PLAIN])
def test_a_body_is_what_it_looks_like_with(content_type: bytes | None, encoding: bytes | None) -> None:
    assert not is_disguised(content_type, encoding)


@pytest.mark.parametrize(
    ("content_type", "encoding"), [c[1:] for c in DISGUISED], ids=[c[0] for c in DISGUISED]
)
def test_a_body_is_disguised_by(content_type: bytes | None, encoding: bytes | None) -> None:
    assert is_disguised(content_type, encoding)
