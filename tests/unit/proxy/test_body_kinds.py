"""What an app server may make of a body, by its Content-Type."""

import pytest

from gateway.proxy.body_kinds import BodyKind, body_kind, content_codings, has_plain_charset

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


CHARSETS = [
    ("no charset", b"a/b", True),
    ("no type", None, True),
    ("UTF-8", b"a/b; charset=UTF-8", True),
    ("UTF-8 in quotes", b'a/b; charset="utf-8"', True),
    ("Latin 1", b"a/b;charset=iso-8859-1", True),
    ("EBCDIC", b"a/b; charset=ibm037", False),
    ("UTF-7", b"a/b; charset=utf-7", False),
    ("UTF-16", b"a/b; charset = utf-16le", False),
    ("EBCDIC behind another charset", b"a/b; charset=utf-8; charset=ibm500", False),
    ("UTF-7 behind another parameter", b'a/b; boundary=x; charset="utf-7"', False),
]


@pytest.mark.parametrize(("content_type", "plain"), [c[1:] for c in CHARSETS], ids=[c[0] for c in CHARSETS])
def test_in_a_plain_charset_ascii_is_ascii(content_type: bytes | None, plain: bool) -> None:
    assert has_plain_charset(content_type) is plain


@pytest.mark.parametrize(
    ("content_encoding", "codings"),
    [
        (None, ()),
        (b"", ()),
        (b"identity", ()),
        (b"gzip", (b"gzip",)),
        (b"Deflate", (b"deflate",)),
        (b"identity, GZIP , br", (b"gzip", b"br")),
    ],
)
def test_the_codings_of_a_body(content_encoding: bytes | None, codings: tuple[bytes, ...]) -> None:
    assert content_codings(content_encoding) == codings
