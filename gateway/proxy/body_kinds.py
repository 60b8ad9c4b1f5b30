"""What an app server may read parameters from: the kinds of request bodies, by their Content-Type.

Form parsers are generous: Rack reads an untyped POST as a form, Rails and Express read fields from JSON as
from a form, ASP.NET decodes a form in the charset that the request names, Express inflates it first. So a
body counts as the most that any of them would make of it.
"""

import re
from enum import Enum
from typing import Final

_FORM: Final = b"application/x-www-form-urlencoded"
_PAOS: Final = b"application/vnd.paos+xml"
_CHARSET: Final = re.compile(rb";\s*charset\s*=\s*\"?\s*([^\s;\",]*)", re.IGNORECASE)
# Charsets in which what looks like ASCII is ASCII. In UTF-7, UTF-16 or EBCDIC a field name is something else
# to the app than it is to us.
_PLAIN_CHARSET: Final = re.compile(
    rb"utf-?8|us-ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]"
    rb"|shift_jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5|",
    re.IGNORECASE,
)


class BodyKind(Enum):
    FORM = "form"
    UNTYPED = "untyped"
    MULTIPART = "multipart"
    JSON = "json"
    SIGN_ON = "sign_on"  # a sign-on message by its type: the SAML 2.0 ECP profile
    OPAQUE = "opaque"  # nothing that a web framework reads fields from


def body_kind(content_type: bytes | None) -> BodyKind:
    """The kind of a body with this Content-Type (None: the request has none)."""
    media_type = (content_type or b"").partition(b";")[0].strip().lower()
    if not media_type:
        return BodyKind.UNTYPED
    if media_type.startswith(_FORM):
        return BodyKind.FORM
    if media_type.startswith(b"multipart/"):
        return BodyKind.MULTIPART
    if media_type.startswith(_PAOS):
        return BodyKind.SIGN_ON
    return BodyKind.JSON if b"json" in media_type else BodyKind.OPAQUE


def content_codings(content_encoding: bytes | None) -> tuple[bytes, ...]:
    """The codings that a body went through (RFC 9110 §8.4), lower case; `identity` is none."""
    names = (name.strip().lower() for name in (content_encoding or b"").split(b","))
    return tuple(name for name in names if name not in (b"", b"identity"))


def has_plain_charset(content_type: bytes | None) -> bool:
    """True if what looks like ASCII in a body of this type is ASCII to the app as well."""
    return all(_PLAIN_CHARSET.fullmatch(name) is not None for name in _CHARSET.findall(content_type or b""))
