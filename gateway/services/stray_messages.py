"""Sign-on messages where none belongs: in a form that is posted to another path than an assertion endpoint.

Some apps take a SAMLResponse wherever their middleware sits. If such a form passed, the sign-on would go
around the gateway. Forms without one pass as they came.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.federation.errors import MessageRejected
from gateway.federation.form import message_field_like, parse_form
from gateway.federation.kinds import MessageKind, message_kind

# Tomcat takes 10,000 parameters, PHP 1,000. Each one costs us about a microsecond.
MAX_FORM_FIELDS: Final = 10_000
_MAX_NAME_BYTES: Final = 256
_CARRIERS: Final = frozenset({"SAMLResponse", "SAMLart", "wresult", "wresultptr"})
_IN_SIGHT: Final = re.compile(rb"saml|wres|%", re.IGNORECASE)
_SEPARATOR: Final = re.compile(rb"[&;]")
_NAMED: Final = re.compile(
    rb"(?:^|[&;])[^=&;]{0,32}(?:saml(?:response|art)|wresult)[^=&;]{0,32}=", re.IGNORECASE
)
_OVERLAP_BYTES: Final = 512


def carries_sign_on(body: bytes) -> bool:
    """True if an app could find a sign-on message in this whole form. A sign-out is none."""
    if _IN_SIGHT.search(body) is None:
        return False
    if body.count(b"&") + body.count(b";") >= MAX_FORM_FIELDS:
        return True  # more than any app reads, and more than is worth looking at
    for piece in _SEPARATOR.split(body):
        name = piece.partition(b"=")[0]
        if not 0 < len(name) <= _MAX_NAME_BYTES or _IN_SIGHT.search(name) is None:
            continue
        plain = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
        if message_field_like(plain) in _CARRIERS:
            return not _is_sign_out(body)
    return False


class StrayMessageScanner:
    """The same question for a form too large to be held: asked of each piece as it streams by.

    Coarser: field names are looked for in the decoded text, so a value that contains one is refused too.
    """

    __slots__ = ("_tail",)

    def __init__(self, begun: bytes = b"") -> None:
        self._tail = begun[-_OVERLAP_BYTES:]

    def passes(self, piece: bytes) -> bool:
        """False as soon as a field name of a sign-on message comes by."""
        text = self._tail + piece
        self._tail = text[-_OVERLAP_BYTES:]
        return _NAMED.search(unquote_to_bytes(text) if b"%" in text else text) is None


def _is_sign_out(body: bytes) -> bool:
    try:
        return message_kind(parse_form(body)) is MessageKind.SIGN_OUT
    except MessageRejected:
        return False
