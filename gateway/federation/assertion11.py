"""What a SAML 1.1 assertion says: the token of most WS-Federation providers (SAML 1.1 Core §2)."""

from datetime import datetime

from gateway.federation import names
from gateway.federation.assertion20 import check_conditions, single_user
from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.expectation import AssertionClaims, Expectation
from gateway.federation.structure import (
    Element,
    only_child,
    required_attribute,
    required_child,
    text_of,
)
from gateway.federation.validity import (
    check_not_before,
    instant_attribute,
    parse_instant,
)
from gateway.model.identity import Identity
from gateway.model.reasons import MessageReason

_S = f"{{{names.SAML1}}}"
ASSERTION = _S + "Assertion"
_AUTHENTICATION = _S + "AuthenticationStatement"
_ATTRIBUTES = _S + "AttributeStatement"
_PARTS = frozenset(
    {_S + "Conditions", _S + "Advice", _AUTHENTICATION, _ATTRIBUTES, f"{{{names.DS}}}Signature"}
)
_AUDIENCE_RESTRICTION = _S + "AudienceRestrictionCondition"
# DoNotCacheCondition is to SAML 1.1 what OneTimeUse is to 2.0: the replay check keeps it.
_KNOWN_CONDITIONS = frozenset({_AUDIENCE_RESTRICTION, _S + "DoNotCacheCondition"})


def read_assertion(assertion: Element, expectation: Expectation, now: datetime) -> AssertionClaims:
    """Check a signed SAML 1.1 assertion and read who it is about.

    There is no Recipient and no InResponseTo in it: the audience (wtrealm) alone binds it to the app.
    Raises MessageRejected. Not checked here: the signature and replay.
    """
    if (assertion.get("MajorVersion"), assertion.get("MinorVersion")) != ("1", "1"):
        raise malformed("the assertion is not SAML 1.1")
    for part in assertion:
        if part.tag not in _PARTS:
            raise malformed(f"the assertion has an unexpected {names.local_name(part.tag)}")
    assertion_id = required_attribute(assertion, "AssertionID")
    issuer = required_attribute(assertion, "Issuer")
    if issuer != expectation.idp.entity_id:
        raise MessageRejected(
            MessageReason.ISSUER_UNKNOWN, f"the issuer is {issuer[:100]!r}, not {expectation.idp.entity_id!r}"
        )
    issued = parse_instant(required_attribute(assertion, "IssueInstant"), "IssueInstant")
    check_not_before(issued, now, expectation.clock_skew, "IssueInstant")
    conditions = required_child(assertion, _S + "Conditions")
    end = check_conditions(conditions, _S, _KNOWN_CONDITIONS, _AUDIENCE_RESTRICTION, expectation, now)
    if end is None:  # nothing else in a SAML 1.1 assertion ends
        raise malformed("the assertion has no end of validity")
    statement = only_child(assertion, _AUTHENTICATION)
    name_identifier = _check_subjects(assertion, expectation)
    idp = expectation.idp
    attributes = _attributes(assertion, frozenset({idp.groups_attribute, idp.user_attribute}))
    if idp.user_attribute is None:
        user = single_user([] if name_identifier is None else [name_identifier], "NameIdentifier")
    else:
        user = single_user(attributes.get(idp.user_attribute, []), idp.user_attribute)
    return AssertionClaims(
        identity=Identity(
            user=user,
            groups=frozenset(attributes.get(idp.groups_attribute, ())),
            identity_provider=idp.name,
            authn_context_class_ref=None if statement is None else statement.get("AuthenticationMethod"),
            authn_instant=None
            if statement is None
            else instant_attribute(statement, "AuthenticationInstant"),
        ),
        issuer=issuer,
        assertion_id=assertion_id,
        valid_until=end + expectation.clock_skew,
        in_response_to=None,
        steady_until=end + expectation.clock_skew,
    )


def _check_subjects(assertion: Element, expectation: Expectation) -> str | None:
    """Every statement is about one and the same subject, held by bearer. Returns its NameIdentifier."""
    statements = assertion.findall(_AUTHENTICATION) + assertion.findall(_ATTRIBUTES)
    if not statements:
        raise malformed("the assertion has no statement")
    identifiers: set[str | None] = set()
    for statement in statements:
        subject = required_child(statement, _S + "Subject")
        identifier = only_child(subject, _S + "NameIdentifier")
        identifiers.add(None if identifier is None else text_of(identifier))
        confirmation = only_child(subject, _S + "SubjectConfirmation")
        if confirmation is None:
            if not expectation.idp.allow_missing_subject_confirmation:
                raise malformed("the assertion has no bearer confirmation")
            continue
        methods = [text_of(method) for method in confirmation.iterchildren(_S + "ConfirmationMethod")]
        if names.BEARER_1 not in methods:
            raise malformed("the assertion has no bearer confirmation")
    if len(identifiers) > 1:
        raise malformed("the statements of the assertion are about different subjects")
    return identifiers.pop()


def _attributes(assertion: Element, wanted: frozenset[str | None]) -> dict[str, list[str]]:
    """The values of the wanted attributes, by AttributeName or by the claim URI that it makes with
    AttributeNamespace. One that cannot be read is a refusal, as in SAML 2.0."""
    found: dict[str, list[str]] = {}
    for statement in assertion.iterchildren(_ATTRIBUTES):
        for attribute in statement.iterchildren(_S + "Attribute"):
            name = required_attribute(attribute, "AttributeName")
            namespace = attribute.get("AttributeNamespace", "").rstrip("/")
            for key in {name, f"{namespace}/{name}"} & wanted:
                values = map(text_of, attribute.iterchildren(_S + "AttributeValue"))
                found.setdefault(key, []).extend(filter(None, values))
    return found
