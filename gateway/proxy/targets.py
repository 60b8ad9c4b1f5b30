"""Request targets: which path is an assertion endpoint, and our one query parameter in and out.

An app server folds many spellings into one path (`//`, `.`, `%61`, `;v=1`, another case, a trailing slash). A
request that some server could take for an assertion endpoint, but that is not spelled exactly so, is refused:
passed through, it would carry an assertion around the gateway.
"""

import re
from enum import Enum
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.model.utf16_escapes import plain_utf16_escapes

TICKET_PARAMETER: Final = b"dt_ticket"
RESERVED_PREFIX: Final = b"/.devicetrust/"

# An app that decodes twice is broken, one that decodes three times was never seen.
_MAX_DECODINGS: Final = 3
_SUSPECT = re.compile(rb"[%;\\.]|//|(?!^)/$|[A-Z]")
_QUERY_MESSAGE = re.compile(rb"saml(?:response|art)|wresult", re.IGNORECASE)


class PathKind(Enum):
    ENDPOINT = "endpoint"
    DISGUISED_ENDPOINT = "disguised_endpoint"
    RESERVED = "reserved"
    ORDINARY = "ordinary"


def classify_path(path: bytes, endpoints: frozenset[bytes], folded_endpoints: frozenset[bytes]) -> PathKind:
    """What a raw path is for an app. ``folded_endpoints`` are `fold_path` of each endpoint."""
    if path in endpoints:
        return PathKind.ENDPOINT
    folded = fold_path(path) if _SUSPECT.search(path) else path
    if folded in folded_endpoints:
        return PathKind.DISGUISED_ENDPOINT
    if folded.startswith(RESERVED_PREFIX) or folded == RESERVED_PREFIX[:-1]:
        return PathKind.RESERVED
    return PathKind.ORDINARY


def fold_path(path: bytes) -> bytes:
    """The most tolerant reading of a path that any app server is known to make."""
    for _ in range(_MAX_DECODINGS):
        decoded = unquote_to_bytes(plain_utf16_escapes(path))
        if decoded == path:
            break
        path = decoded
    path = path.replace(b"\\", b"/").replace(b"\x00", b"").lower()
    segments: list[bytes] = []
    for raw in path.split(b"/"):
        segment = raw.partition(b";")[0].strip()
        if segment in (b"", b"."):
            continue
        if segment == b"..":
            if segments:
                segments.pop()
            continue
        segments.append(segment)
    return b"/" + b"/".join(segments)


def query_names_message(query: bytes) -> bool:
    """True if a query may carry a sign-on message under a parameter name (`SAMLResponse`, `SAMLart`,
    `wresult`)."""
    if not query:
        return False
    if b"%" in query:
        query = unquote_to_bytes(unquote_to_bytes(plain_utf16_escapes(query)))
    return _QUERY_MESSAGE.search(query) is not None


def is_unremarkable(target: bytes) -> bool:
    """True for a target that, in a request without a body, is no reserved path, carries no ticket and no
    sign-on message, in whatever spelling: the checks above and below would all pass it as it is."""
    lowered = target.lower()
    return not (
        b"%" in lowered
        or b"\\" in lowered
        or b";" in lowered
        or b"devicetrust" in lowered
        or b"dt_ticket" in lowered
        or b"saml" in lowered
        or b"wresult" in lowered
    )


def take_ticket(target: bytes) -> tuple[bytes, str | None]:
    """(target without our parameter, its value or None). Of several the first counts; all are removed."""
    path, mark, query = target.partition(b"?")
    if TICKET_PARAMETER not in query:
        return target, None
    ticket: str | None = None
    kept = []
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == TICKET_PARAMETER:
            if ticket is None:
                ticket = value.decode("latin-1")
        else:
            kept.append(pair)
    return path + (mark + b"&".join(kept) if kept else b""), ticket


def with_ticket(target: bytes, ticket: str) -> bytes:
    """The target with our parameter added as the last one."""
    return target + (b"&" if b"?" in target else b"?") + TICKET_PARAMETER + b"=" + ticket.encode("ascii")
