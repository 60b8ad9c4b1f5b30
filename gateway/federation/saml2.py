"""Verify a SAML 2.0 Response that a browser posts to an app (SAML Profiles §4.1.4, Bindings §3.5).

Order: form → bytes → structure → signatures → semantics. A Response may be signed, or its assertion, or
both; what is signed is read from the signed bytes only, and what is not signed may say nothing about who
the user is.
"""

from datetime import datetime

from gateway.federation import names
from gateway.federation.assertion20 import ASSERTION, Profile, check_issuer, read_assertion
from gateway.federation.encryption import decrypt_assertion
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.expectation import AssertionClaims, Expectation, VerifiedMessage
from gateway.federation.form import MessageForm, rebuild_form, relay_state
from gateway.federation.signature import SIGNATURE, signature_of, verify_enveloped
from gateway.federation.structure import (
    Element,
    no_stray_text,
    only_child,
    parse_message,
    parse_xml,
    required_attribute,
    required_child,
    text_of,
)
from gateway.federation.validity import check_not_before, parse_instant, replay_key
from gateway.model.reasons import MessageReason

_P = f"{{{names.SAMLP2}}}"
RESPONSE = _P + "Response"
_ISSUER = f"{{{names.SAML2}}}Issuer"
_ENCRYPTED = f"{{{names.SAML2}}}EncryptedAssertion"
_STATUS = _P + "Status"
_EXTENSIONS = _P + "Extensions"
_PARTS = frozenset({_ISSUER, SIGNATURE, _EXTENSIONS, _STATUS, ASSERTION, _ENCRYPTED})
# Outside of a signature these are all that a Response may have around its assertion.
_UNSIGNED_STATUS = frozenset({_P + "StatusCode", _P + "StatusMessage"})


def verify_response(form: MessageForm, expectation: Expectation, now: datetime) -> VerifiedMessage:
    """Check everything about a posted Response that needs no memory, and read who signs on.

    ``now`` is aware UTC. Raises MessageRejected. Not checked here: that the assertion was not used before
    (``replay_key``) and that its ``in_response_to`` is a request of this app.
    """
    xml = form.octets("SAMLResponse")
    if xml is None:
        raise malformed("the form has no SAMLResponse")
    state = relay_state(form, "RelayState")
    response = parse_message(xml)
    if response.tag != RESPONSE:
        raise malformed(f"the message is a {names.local_name(response.tag)[:60]!r}, not a SAML 2.0 Response")
    signed = signature_of(response) is not None
    idp = expectation.idp
    if signed:
        response = parse_xml(verify_enveloped(response, "ID", idp.signing_keys, allow_sha1=idp.allow_sha1))
    _check_response(response, expectation, now, signed=signed)
    assertion = signed_assertion(_assertion_holder(response), expectation, signed_around=signed)
    claims = read_assertion(assertion, expectation, now, Profile.WEB_SSO)
    return verified_message(form, claims, state, in_response_to=_in_response_to(response, claims))


def verified_message(
    form: MessageForm, claims: AssertionClaims, state: str | None, *, in_response_to: str | None
) -> VerifiedMessage:
    """Join what the assertion says with what goes on to the app."""
    return VerifiedMessage(
        identity=claims.identity,
        issuer=claims.issuer,
        replay_key=replay_key(claims.issuer, claims.assertion_id),
        replay_until=claims.valid_until,
        in_response_to=in_response_to,
        relay_state=state,
        rebuilt_body=rebuild_form(form),
        steady_until=claims.steady_until,
    )


def signed_assertion(holder: Element, expectation: Expectation, *, signed_around: bool) -> Element:
    """The SAML 2.0 assertion in ``holder``, from bytes that a signature covered.

    ``holder`` is an Assertion or an EncryptedAssertion. ``signed_around`` says that it was parsed from bytes
    that a verified signature covered; then its own signature may be missing, but not be wrong.
    Raises MessageRejected.
    """
    idp = expectation.idp
    if holder.tag != ASSERTION:
        around = holder.getroottree().getroot()
        opened = decrypt_assertion(holder, expectation.decryption_key, signed_around=signed_around)
        holder = parse_message(opened.strip(b" \t\r\n"))
        if holder.tag != ASSERTION:
            raise malformed("what was encrypted is not a SAML 2.0 assertion")
        if any(holder.get("ID") in element.attrib.values() for element in around.iter()):
            raise malformed("the encrypted assertion has an ID that also stands around it")
    if signature_of(holder) is None and signed_around:
        return holder
    return parse_xml(verify_enveloped(holder, "ID", idp.signing_keys, allow_sha1=idp.allow_sha1))


def _check_response(response: Element, expectation: Expectation, now: datetime, *, signed: bool) -> None:
    if response.get("Version") != "2.0":
        raise malformed("the Response is not SAML 2.0")
    required_attribute(response, "ID")
    issued = parse_instant(required_attribute(response, "IssueInstant"), "IssueInstant")
    check_not_before(issued, now, expectation.clock_skew, "IssueInstant")
    no_stray_text(response)
    for part in response:
        if part.tag not in _PARTS or (part.tag == _EXTENSIONS and not signed):
            raise malformed(f"the Response has an unexpected {names.local_name(part.tag)}")
    issuer = only_child(response, _ISSUER)
    if issuer is not None:
        check_issuer(issuer, expectation)
    destination = response.get("Destination")
    if destination is None and signed:
        raise MessageRejected(
            MessageReason.RECIPIENT_MISMATCH, "the Response is signed without a Destination"
        )
    if destination is not None and destination not in expectation.recipients:
        raise MessageRejected(MessageReason.RECIPIENT_MISMATCH, f"the Destination is {destination[:150]!r}")
    _check_status(required_child(response, _STATUS), signed=signed)


def _check_status(status: Element, *, signed: bool) -> None:
    code = required_child(status, _P + "StatusCode")
    value = required_attribute(code, "Value")
    if value != names.STATUS_SUCCESS:
        inner = [each.get("Value", "") for each in code]
        raise malformed(f"the identity provider answers {' '.join([value, *inner])[:200]!r}")
    if not signed and any(each.tag not in _UNSIGNED_STATUS for each in status.iterdescendants()):
        raise malformed("an unsigned Status has more than a code and a message")
    for message in status.iterchildren(_P + "StatusMessage"):
        text_of(message)


def _assertion_holder(response: Element) -> Element:
    holder = only_child(response, ASSERTION)
    if holder is None:
        holder = only_child(response, _ENCRYPTED)
    if holder is None:
        raise malformed("the Response has no assertion")
    return holder


def _in_response_to(response: Element, claims: AssertionClaims) -> str | None:
    """The request that is answered, as the assertion says it. The Response may not say another.

    A Response's own InResponseTo is not enough: without it in the assertion, an assertion that was issued
    unasked could be put into an unsigned Response to some request.
    """
    outer = response.get("InResponseTo")
    if outer and claims.in_response_to and outer != claims.in_response_to:
        raise malformed("the Response and its assertion answer different requests")
    return claims.in_response_to
