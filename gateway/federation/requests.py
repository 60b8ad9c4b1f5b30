"""Requests that pass by on their way from the app to the identity provider (SAML Bindings §3.4).

The gateway does not make these requests. It remembers their IDs, so that it can tell an answer to a
request from one that nobody asked for.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from gateway.federation import names
from gateway.federation.errors import MessageRejected
from gateway.federation.structure import Element, parse_message

MAX_LOCATION_BYTES = 65_536  # browsers stop far below
MAX_INFLATED_BYTES = 131_072  # a signed request has 3 KB; 1 KB of deflate can grow to 1 MB

_AUTHN_REQUEST = f"{{{names.SAMLP2}}}AuthnRequest"
_REQUEST_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,255}")


def authn_request_seen(location: bytes, sso_urls: Sequence[str]) -> str | None:
    """The ID of the AuthnRequest that a redirect to one of ``sso_urls`` carries; None for anything else.

    ``location`` is the value of the Location field. Never raises: what is not understood is not a request,
    and its answer counts as unsolicited. Does not check the request's signature.
    """
    if len(location) > MAX_LOCATION_BYTES:
        return None
    target = location.partition(b"#")[0]
    for url in sso_urls:
        base = url.encode()
        query_start = b"&" if b"?" in base else b"?"
        if target.startswith(base + query_start):
            request = redirect_message(target[len(base) + 1 :], "SAMLRequest")
            if request is None or request.tag != _AUTHN_REQUEST:
                return None
            request_id = request.get("ID", "")
            return request_id if _REQUEST_ID.fullmatch(request_id) else None
    return None


def redirect_message(query: bytes, name: str) -> Element | None:
    """The message in a field of the HTTP-Redirect binding (§3.4.4.1); None when there is none that is clean.

    Inflates at most MAX_INFLATED_BYTES. The structure of the message is checked as for a posted one.
    """
    prefix = name.encode() + b"="
    values = [part[len(prefix) :] for part in query.split(b"&") if part.startswith(prefix)]
    if len(values) != 1:
        return None
    try:
        deflated = base64.b64decode(unquote_to_bytes(values[0].replace(b"+", b" ")), validate=True)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        xml = inflater.decompress(deflated, MAX_INFLATED_BYTES)
        if inflater.unconsumed_tail or not inflater.eof:
            return None
        return parse_message(xml.strip(b" \t\r\n"))
    except (binascii.Error, zlib.error, MessageRejected):
        return None
