"""What a browser brings to an app's assertion endpoint: a sign-on, a sign-out, or something else.

The caller verifies a sign-on, may hand a sign-out on, and refuses the rest. So the one error that must not
happen here is to call something a sign-out in which some app could find an assertion.
"""

import re
from enum import Enum, auto
from urllib.parse import unquote_to_bytes

from gateway.federation import names
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.form import MessageForm, message_field_like
from gateway.federation.requests import redirect_message
from gateway.federation.structure import Element, parse_message
from gateway.federation.ws_fed import SIGN_IN
from gateway.model.utf16_escapes import plain_utf16_escapes

_LOGOUT_REQUEST = f"{{{names.SAMLP2}}}LogoutRequest"
_LOGOUT_RESPONSE = f"{{{names.SAMLP2}}}LogoutResponse"
_SIGN_OUT_ACTIONS = frozenset({"wsignout1.0", "wsignoutcleanup1.0"})
# Any of these may carry an assertion, or the address of one; two at once are two messages.
_CARRIERS = frozenset({"SAMLResponse", "SAMLRequest", "SAMLart", "wresult", "wresultptr"})
_LOGOUT_IN_SIGHT = re.compile(rb"<(?:[^\s<>:]{1,64}:)?LogoutResponse[\s>/]")
_ASSERTIONS = frozenset({"Assertion", "EncryptedAssertion"})
_HIDDEN = _ASSERTIONS | {"EncryptedData"}
MAX_QUERY_BYTES = 65_536


class MessageKind(Enum):
    """SIGN_ON must be verified. SIGN_OUT holds no assertion. OTHER is no federation message that is known."""

    SIGN_ON = auto()
    SIGN_OUT = auto()
    OTHER = auto()


def message_kind(form: MessageForm) -> MessageKind:
    """Tell what a posted form is for. Raises MessageRejected (MALFORMED, TOO_LARGE) if it may be two things.

    SIGN_ON says only that it claims to be one. A sign-out's signature is not checked: the app does that,
    and the gateway draws nothing from it.
    """
    carriers = {name for name, _ in form.fields} & _CARRIERS
    action = form.value("wa")
    if len(carriers) > 1:
        raise malformed(f"the form has more than one message: {', '.join(sorted(carriers))}")
    carrier = next(iter(carriers), None)
    if carrier is not None and carrier != "wresult" and action is not None:
        raise malformed(f"the form has both {carrier} and wa")
    match carrier:
        case "wresult":
            if action != SIGN_IN:
                raise malformed(f"the form has a wresult, but wa is not {SIGN_IN}")
            return MessageKind.SIGN_ON
        case "SAMLResponse":
            return _posted_response(form.octets("SAMLResponse") or b"")
        case "SAMLRequest":
            request = form.octets("SAMLRequest") or b""
            return _sign_out_or_other(parse_message(request), _LOGOUT_REQUEST)
        case "SAMLart" | "wresultptr":
            raise malformed(f"{carrier} points to a message elsewhere, which the gateway cannot check")
        case _:
            return MessageKind.SIGN_OUT if action in _SIGN_OUT_ACTIONS else MessageKind.OTHER


def query_kind(query: bytes) -> MessageKind:
    """Tell what the query of a request to an assertion endpoint is for, whatever its method.

    A response in a query is SIGN_ON, to be refused: the profiles allow only POST (SAML Profiles §4.1.2), but
    some apps read both. Names are taken as loosely as any app might. OTHER: nothing of federation in it.
    Never raises.
    """
    if len(query) > MAX_QUERY_BYTES:
        return MessageKind.SIGN_ON
    found: dict[str, str] = {}
    for piece in re.split(rb"[&;]", query):
        name, _, value = piece.partition(b"=")
        field = message_field_like(_loosely(name))
        if field is not None:
            if field in found:
                return MessageKind.SIGN_ON
            found[field] = _loosely(value)
    carriers = found.keys() & _CARRIERS
    if not carriers:
        return MessageKind.SIGN_OUT if found.get("wa") in _SIGN_OUT_ACTIONS else MessageKind.OTHER
    if carriers <= {"SAMLRequest"}:
        return _redirected(query, "SAMLRequest", _LOGOUT_REQUEST, MessageKind.OTHER)
    if carriers <= {"SAMLResponse"}:
        return _redirected(query, "SAMLResponse", _LOGOUT_RESPONSE, MessageKind.SIGN_ON)
    return MessageKind.SIGN_ON


def _posted_response(xml: bytes) -> MessageKind:
    # Only what might be a sign-out is parsed here. All else goes to the full verification, which accepts
    # nothing but a Response.
    if _LOGOUT_IN_SIGHT.search(xml) is None:
        return MessageKind.SIGN_ON
    root = parse_message(xml)
    if root.tag != _LOGOUT_RESPONSE:
        return MessageKind.SIGN_ON
    return _sign_out_or_other(root, _LOGOUT_RESPONSE)


def _sign_out_or_other(root: Element, tag: str) -> MessageKind:
    # A LogoutRequest may name its subject encrypted; no LogoutResponse has anything to encrypt.
    hidden = _HIDDEN if tag == _LOGOUT_RESPONSE else _ASSERTIONS
    if any(names.local_name(element.tag) in hidden for element in root.iter()):
        raise malformed("a message that is no sign-on has an assertion inside")
    return MessageKind.SIGN_OUT if root.tag == tag else MessageKind.OTHER


def _redirected(query: bytes, field: str, tag: str, otherwise: MessageKind) -> MessageKind:
    root = redirect_message(query, field)
    if root is None or root.tag != tag:
        return otherwise
    try:
        return _sign_out_or_other(root, tag)
    except MessageRejected:
        return MessageKind.SIGN_ON


def _loosely(raw: bytes) -> str:
    return unquote_to_bytes(plain_utf16_escapes(raw).replace(b"+", b" ")).decode("utf-8", "replace")
