"""Sign-on messages where none belongs: in a body that goes to another path than an assertion endpoint.

Some apps take a SAMLResponse wherever their middleware sits, and in whatever they can read fields from: a
urlencoded form, multipart/form-data, JSON. If it passed, the sign-on would go around the gateway. Bodies
without one pass as they came.

Looked at are the *names* of fields. Each scanner is handed the body piece by piece and says at which piece
it may not go on.
"""

import binascii
import re
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from gateway.federation.errors import MessageRejected
from gateway.federation.form import message_field_like, parse_form
from gateway.federation.kinds import MessageKind, message_kind
from gateway.model.utf16_escapes import plain_utf16_escapes
from gateway.proxy.body_kinds import BodyKind

# Tomcat takes 10,000 parameters, PHP 1,000. Each one costs us about a microsecond.
MAX_FORM_FIELDS: Final = 10_000
# Of one part; curl and browsers write 200. What is longer is refused, as it could hide a name from us.
MAX_PART_HEAD_BYTES: Final = 8_192
_MAX_NAME_BYTES: Final = 256
_CARRIERS: Final = frozenset({"SAMLResponse", "SAMLart", "wresult", "wresultptr"})
_IN_SIGHT: Final = re.compile(rb"saml|wres|%", re.IGNORECASE)
_CARRIER: Final = re.compile(rb"saml(?:response|art)|wresult", re.IGNORECASE)
_SEPARATOR: Final = re.compile(rb"[&;]")
# PHP leaves out blanks in front of a name, and reads it up to a NUL only.
_NAMED: Final = re.compile(rb"(?:^|[&;])[\s+\0]*+[^=&;]{0,32}(?:saml(?:response|art)|wresult)")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# PHP wants a line that begins with it; Rack finds it anywhere, and takes a Content-ID for a name, too.
_DISPOSITION: Final = re.compile(rb"content-(?:disposition|id)\s*:")
_FROM_NUL: Final = re.compile(rb"\0[^\n]*")  # PHP ends a line there
_PART_HEAD_END: Final = re.compile(rb"\n\r?\n")
_PART_NAME: Final = re.compile(rb"""(?<![a-z])name[\s*0-9]*=[\s=]*(?:[a-z0-9-]*'[^']*')?["']?([^"';\r\n]*)""")
_JSON_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9a-f])")
_JSON_KEY: Final = re.compile(rb"""["'](?:saml(?:response|art)|wresult(?:ptr)?)["'][:/]""")
_JSON_BLANKS: Final = b" \t\r\n\0"  # NUL: UTF-16, which some JSON parsers detect
_OVERLAP_BYTES: Final = 512
_LINE_FEED: Final = 0x0A


class Scanner(Protocol):
    def passes(self, piece: bytes) -> bool:
        """False as soon as a sign-on message comes by."""
        ...


def scanner_for(kind: BodyKind) -> Scanner | None:
    """What looks through a body of this kind as it streams by; None where there is nothing to look for."""
    match kind:
        case BodyKind.FORM | BodyKind.UNTYPED:
            return FormScanner()
        case BodyKind.MULTIPART:
            return MultipartScanner()
        case BodyKind.JSON:
            return JsonScanner()
        case BodyKind.OPAQUE | BodyKind.SIGN_ON:
            return None


def carries_sign_on(body: bytes) -> bool:
    """True if an app could find a sign-on message in this whole form. A sign-out is none."""
    if _IN_SIGHT.search(body) is None:
        return False
    if body.count(b"&") + body.count(b";") >= MAX_FORM_FIELDS:
        return True  # more than any app reads, and more than is worth looking at
    for piece in _SEPARATOR.split(body):
        name = piece.partition(b"=")[0]
        if not name or _IN_SIGHT.search(name) is None:
            continue
        if len(name) > _MAX_NAME_BYTES:
            if _CARRIER.search(_unescaped(name)) is not None:
                return True
        elif _is_carrier(unquote_to_bytes(plain_utf16_escapes(name).replace(b"+", b" "))):
            return not _is_sign_out(body)
    return False


class FormScanner:
    """The same question for a form too large to be held, or a body that does not say what it is.

    Coarser: names are looked for in the decoded text, so a value that contains one is refused too.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def passes(self, piece: bytes) -> bool:
        text = self._tail + piece
        self._tail = text[-_OVERLAP_BYTES:]
        plain = (_unescaped(text) if b"%" in text else text).lower()
        return (b"saml" not in plain and b"wres" not in plain) or _NAMED.search(plain) is None


class MultipartScanner:
    """Names of the parts of a multipart body (RFC 7578 §4.2), wherever something reads like a part's head.

    Files pass whatever is in them, unless they hold what reads exactly like the head of such a part.
    """

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def passes(self, piece: bytes) -> bool:
        text = self._tail + piece.lower()
        position = 0
        while (begun := _DISPOSITION.search(text, position)) is not None:
            longest = begun.end() + MAX_PART_HEAD_BYTES
            end = _PART_HEAD_END.search(text, begun.end(), longest)
            # Without its end, the lines so far: a parser may take something else for the end than we do.
            lines_end = text.rfind(b"\n", begun.end(), longest) if end is None else end.start()
            if _names_carrier(text[begun.end() : max(begun.end(), lines_end)]):
                return False
            if end is not None:
                position = end.start()
            elif len(text) < longest:
                self._tail = text[max(0, begun.start() - 1) :]
                return True
            elif begun.start() == 0 or text[begun.start() - 1] == _LINE_FEED:
                return False  # too long a head
            else:  # no line of a head, so it is searched from the last place in reach where one may begin
                last = text.rfind(b"content-", begun.end(), longest)
                position = last if last > 0 else longest
        self._tail = text[position:][-_OVERLAP_BYTES:]
        return True


class JsonScanner:
    """Member names of JSON, at any depth, in double or single quotes, however their letters are escaped."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b""

    def passes(self, piece: bytes) -> bool:
        text = self._tail + piece.translate(None, _JSON_BLANKS).lower()
        self._tail = text[-_OVERLAP_BYTES:]
        if b"\\u00" in text:
            text = _JSON_ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), text).lower()
        return (b"saml" not in text and b"wres" not in text) or _JSON_KEY.search(text) is None


def _names_carrier(part_head: bytes) -> bool:
    """True if any parser could find the name of a carrier in the lines of a part's head, from its disposition
    on. PHP joins a line to the one before if it has no colon, and ends a name without quotes at a blank."""
    plain = unquote_to_bytes(part_head) if b"%" in part_head else part_head
    plain = plain.translate(None, b"\\")
    joined = (_FROM_NUL.sub(b"", plain) if b"\0" in plain else plain).translate(None, b"\r\n")
    names = [*_PART_NAME.findall(plain), *_PART_NAME.findall(joined), plain.lstrip().partition(b"\n")[0]]
    return any(_is_carrier(name) or _is_carrier(b"".join(name.split()[:1])) for name in names)


def _is_carrier(name: bytes) -> bool:
    """``name`` is decoded. PHP cuts it at a NUL, others leave that out."""
    text = name.decode("utf-8", "replace")
    return message_field_like(text) in _CARRIERS or message_field_like(text.partition("\0")[0]) in _CARRIERS


def _unescaped(text: bytes) -> bytes:
    # In C, as in `federation.form`: with urllib, a megabyte of nothing but escapes takes ten times as long.
    # Classic ASP drops the sign of an escape that is none. Line ends would be soft ones.
    if b"\n" in text or b"\r" in text:
        text = text.translate(None, b"\r\n")
    text = _BROKEN_ESCAPE.sub(b"", plain_utf16_escapes(text))
    return binascii.a2b_qp(text.replace(b"=", b"%3D").replace(b"%", b"="))


def _is_sign_out(body: bytes) -> bool:
    try:
        return message_kind(parse_form(body)) is MessageKind.SIGN_OUT
    except MessageRejected:
        return False
