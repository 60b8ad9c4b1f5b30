"""Verify a WS-Federation sign-in response: ``wa=wsignin1.0`` with a token in ``wresult``
(WS-Federation 1.2 §13, WS-Trust 1.3 and February 2005).

The envelope is never signed, so nothing is believed of it: it may hold the token and what WS-Trust says about
it, and no SAML element anywhere else. The token is a SAML 1.1 or SAML 2.0 assertion.
"""

from datetime import datetime

from gateway.federation import assertion11, assertion20, names
from gateway.federation.assertion20 import Profile
from gateway.federation.encryption import ENCRYPTED_DATA, decrypt_assertion
from gateway.federation.errors import malformed
from gateway.federation.expectation import AssertionClaims, Expectation, VerifiedMessage
from gateway.federation.form import MessageForm, relay_state
from gateway.federation.saml2 import signed_assertion, verified_message
from gateway.federation.signature import verify_enveloped
from gateway.federation.structure import Element, parse_message, parse_xml, required_child

SIGN_IN = "wsignin1.0"
_ENVELOPE_NAMESPACES = (
    names.WS_TRUST | names.WSP | {names.WSA, names.WSA_2004, names.WSU, names.WSSE, names.WSSE11, names.FED}
)
_ENCRYPTED_ASSERTION = f"{{{names.SAML2}}}EncryptedAssertion"
_TOKENS = frozenset({assertion11.ASSERTION, assertion20.ASSERTION, _ENCRYPTED_ASSERTION, ENCRYPTED_DATA})


def verify_wresult(form: MessageForm, expectation: Expectation, now: datetime) -> VerifiedMessage:
    """Check everything about a posted sign-in response that needs no memory, and read who signs on.

    ``now`` is aware UTC; ``relay_state`` of the result is ``wctx``. Raises MessageRejected. Not checked
    here: that the assertion was not used before (``replay_key``). SAML 1.1 has no recipient and no request
    to answer.
    """
    if form.value("wa") != SIGN_IN:
        raise malformed(f"wa is not {SIGN_IN}")
    wresult = form.value("wresult")
    if wresult is None:
        raise malformed("the form has no wresult")
    state = relay_state(form, "wctx")
    root = parse_message(wresult.strip(" \t\r\n").encode())
    holder, token = _token(root)
    _check_envelope(root, token)
    claims = _read_token(holder, token, expectation, now)
    return verified_message(form, claims, state, in_response_to=claims.in_response_to)


def _token(root: Element) -> tuple[Element, Element]:
    """RequestedSecurityToken and the one token in it, in a response or in a collection of one."""
    namespace, response = names.namespace_of(root.tag), root
    if namespace not in names.WS_TRUST:
        raise malformed("wresult is not a WS-Trust response")
    prefix = f"{{{namespace}}}"
    if root.tag == prefix + "RequestSecurityTokenResponseCollection":
        response = required_child(root, prefix + "RequestSecurityTokenResponse")
    elif root.tag != prefix + "RequestSecurityTokenResponse":
        raise malformed("wresult is not a RequestSecurityTokenResponse")
    holder = required_child(response, prefix + "RequestedSecurityToken")
    if len(holder) != 1 or holder[0].tag not in _TOKENS:
        raise malformed("RequestedSecurityToken has not exactly one SAML token")
    return holder, holder[0]


def _check_envelope(root: Element, token: Element) -> None:
    """Nothing of another kind around the token: an app might look for its claims there."""
    pending = [root]
    while pending:
        element = pending.pop()
        if names.namespace_of(element.tag) not in _ENVELOPE_NAMESPACES:
            raise malformed(f"wresult has an unexpected {names.local_name(element.tag)[:60]!r}")
        if names.local_name(element.tag) == "RequestedSecurityToken" and element is not token.getparent():
            raise malformed("wresult has more than one RequestedSecurityToken")
        pending.extend(child for child in element if child is not token)


def _read_token(holder: Element, token: Element, expectation: Expectation, now: datetime) -> AssertionClaims:
    if token.tag == ENCRYPTED_DATA:
        opened = decrypt_assertion(holder, expectation.decryption_key, signed_around=False)
        token = parse_message(opened.strip(b" \t\r\n"))
    if token.tag == assertion11.ASSERTION:
        idp = expectation.idp
        covered = verify_enveloped(token, "AssertionID", idp.signing_keys, allow_sha1=idp.allow_sha1)
        return assertion11.read_assertion(parse_xml(covered), expectation, now)
    if token.tag in (assertion20.ASSERTION, _ENCRYPTED_ASSERTION):
        assertion = signed_assertion(token, expectation, signed_around=False)
        return assertion20.read_assertion(assertion, expectation, now, Profile.WS_FED)
    raise malformed("what was encrypted is not a SAML assertion")
