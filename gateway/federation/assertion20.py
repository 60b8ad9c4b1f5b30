"""What a SAML 2.0 assertion says, and whether it says it to us, now (SAML Core §2, SAML Profiles §4.1.4).

Every function here takes an element of a tree that was parsed from bytes a signature covered.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from gateway.federation import names
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
    check_not_on_or_after,
    instant_attribute,
    parse_instant,
)
from gateway.model.identity import Identity
from gateway.model.reasons import MessageReason

_S = f"{{{names.SAML2}}}"
ASSERTION = _S + "Assertion"
_AUDIENCE_RESTRICTION = _S + "AudienceRestriction"
# OneTimeUse is kept by the replay check. ProxyRestriction binds those who issue assertions upon this one.
_KNOWN_CONDITIONS = frozenset({_AUDIENCE_RESTRICTION, _S + "OneTimeUse", _S + "ProxyRestriction"})
_PARTS = frozenset(
    {
        _S + "Issuer",
        f"{{{names.DS}}}Signature",
        _S + "Subject",
        _S + "Conditions",
        _S + "Advice",
        _S + "AuthnStatement",
        _S + "AttributeStatement",
    }
)


class Profile(Enum):
    """Who asks. The Web SSO profile fixes what WS-Federation leaves open."""

    WEB_SSO = auto()
    WS_FED = auto()


def read_assertion(
    assertion: Element, expectation: Expectation, now: datetime, profile: Profile
) -> AssertionClaims:
    """Check a signed SAML 2.0 assertion and read who it is about.

    Raises MessageRejected. Not checked here: the signature, replay, and whether ``in_response_to`` is known.
    """
    if assertion.get("Version") != "2.0":
        raise malformed("the assertion is not SAML 2.0")
    for part in assertion:
        if part.tag not in _PARTS:
            raise malformed(f"the assertion has an unexpected {names.local_name(part.tag)}")
    assertion_id = required_attribute(assertion, "ID")
    issuer = check_issuer(required_child(assertion, _S + "Issuer"), expectation)
    issued = parse_instant(required_attribute(assertion, "IssueInstant"), "IssueInstant")
    check_not_before(issued, now, expectation.clock_skew, "IssueInstant")
    subject = required_child(assertion, _S + "Subject")
    conditions = required_child(assertion, _S + "Conditions")
    ends = [check_conditions(conditions, _S, _KNOWN_CONDITIONS, _AUDIENCE_RESTRICTION, expectation, now)]
    confirmed = _check_confirmations(subject, expectation, now, profile)
    ends.append(confirmed.last_end)
    statement = only_child(assertion, _S + "AuthnStatement")
    if statement is None and profile is Profile.WEB_SSO:
        raise malformed("the assertion has no AuthnStatement")
    session_end = None if statement is None else instant_attribute(statement, "SessionNotOnOrAfter")
    check_not_on_or_after(session_end, now, expectation.clock_skew, "SessionNotOnOrAfter")
    limits = [end for end in ends if end is not None]
    if not limits:
        raise malformed("the assertion has no end of validity")
    idp = expectation.idp
    attributes = _attributes(assertion, frozenset({idp.groups_attribute, idp.user_attribute}))
    return AssertionClaims(
        identity=Identity(
            user=_user(subject, attributes, idp.user_attribute),
            groups=frozenset(attributes.get(idp.groups_attribute, ())),
            identity_provider=idp.name,
            authn_context_class_ref=_authn_context(statement),
            authn_instant=None if statement is None else instant_attribute(statement, "AuthnInstant"),
            session_not_on_or_after=session_end,
        ),
        issuer=issuer,
        assertion_id=assertion_id,
        valid_until=min(limits) + expectation.clock_skew,
        in_response_to=confirmed.in_response_to,
        steady_until=_steady_until((*limits, confirmed.end, session_end), confirmed, expectation, now),
    )


@dataclass(frozen=True, slots=True)
class _Confirmed:
    """The bearer confirmation that holds: its InResponseTo and its end, and ``last_end``, that of the last
    of all bearers: until then the assertion could be used again. None: there is no end."""

    in_response_to: str | None
    end: datetime | None
    last_end: datetime | None
    is_first: bool = True


def _steady_until(
    ends: tuple[datetime | None, ...], confirmed: _Confirmed, expectation: Expectation, now: datetime
) -> datetime:
    if not confirmed.is_first:  # an earlier one, with another InResponseTo, may come to hold at any time
        return now
    return min(end for end in ends if end is not None) + expectation.clock_skew


def check_issuer(issuer: Element, expectation: Expectation) -> str:
    """The Issuer must be the provider's entity ID, by exact string (SAML Core §2.2.5)."""
    name = text_of(issuer)
    if issuer.get("Format", names.ENTITY_FORMAT) != names.ENTITY_FORMAT:
        raise MessageRejected(MessageReason.ISSUER_UNKNOWN, "the Issuer is not an entity ID")
    if name != expectation.idp.entity_id:
        raise MessageRejected(
            MessageReason.ISSUER_UNKNOWN, f"the issuer is {name[:100]!r}, not {expectation.idp.entity_id!r}"
        )
    return name


def check_conditions(
    conditions: Element,
    namespace: str,
    known: frozenset[str],
    audience_restriction: str,
    expectation: Expectation,
    now: datetime,
) -> datetime | None:
    """Conditions hold, in SAML 2.0 (Core §2.5.1) or 1.1 (Core §2.3.2): the rules are the same, the names are
    not. Returns their end, or None when they have none. Raises MessageRejected.

    ``namespace`` is the version's, in braces; ``known`` are the tags of conditions that are understood.
    """
    for condition in conditions:
        if condition.tag not in known:
            raise malformed(f"the condition {names.local_name(condition.tag)} is not understood")
    skew = expectation.clock_skew
    check_not_before(instant_attribute(conditions, "NotBefore"), now, skew, "Conditions NotBefore")
    end = instant_attribute(conditions, "NotOnOrAfter")
    check_not_on_or_after(end, now, skew, "Conditions NotOnOrAfter")
    restrictions = [
        [text_of(audience) for audience in restriction.iterchildren(namespace + "Audience")]
        for restriction in conditions.iterchildren(audience_restriction)
    ]
    _check_audience(restrictions, expectation)
    return end


def _check_audience(restrictions: list[list[str]], expectation: Expectation) -> None:
    """At least one restriction; each must name the app: AND between them, OR inside of one."""
    if not restrictions:
        raise MessageRejected(
            MessageReason.AUDIENCE_MISMATCH, "the assertion is not restricted to an audience"
        )
    for audiences in restrictions:
        if expectation.audience not in audiences:
            raise MessageRejected(
                MessageReason.AUDIENCE_MISMATCH,
                f"the audience is {', '.join(audiences)[:150]!r}, not {expectation.audience!r}",
            )


def _check_confirmations(
    subject: Element, expectation: Expectation, now: datetime, profile: Profile
) -> _Confirmed:
    """One bearer confirmation must hold (SAML Profiles §4.1.4.3): the first that does."""
    confirmations = list(subject.iterchildren(_S + "SubjectConfirmation"))
    bearers = [each for each in confirmations if each.get("Method") == names.BEARER_2]
    exempt = profile is Profile.WS_FED and expectation.idp.allow_missing_subject_confirmation
    if not confirmations and exempt:
        return _Confirmed(None, None, None)
    if not bearers:
        raise malformed("the assertion has no bearer confirmation")
    first_refusal: MessageRejected | None = None
    for confirmation in bearers:
        try:
            in_response_to, end = _check_bearer(confirmation, expectation, now, profile)
            return _Confirmed(in_response_to, end, _last_end(bearers, profile), first_refusal is None)
        except MessageRejected as refusal:
            first_refusal = first_refusal or refusal
    assert first_refusal is not None, "there was at least one bearer"
    raise first_refusal


def _last_end(bearers: list[Element], profile: Profile) -> datetime | None:
    """None where one of them has no end, which only WS-Federation accepts."""
    ends: list[datetime] = []
    for confirmation in bearers:
        data = next(confirmation.iterchildren(_S + "SubjectConfirmationData"), None)
        try:
            end = None if data is None else instant_attribute(data, "NotOnOrAfter")
        except MessageRejected:
            continue  # one that cannot be read never holds
        if end is not None:
            ends.append(end)
        elif profile is Profile.WS_FED:
            return None
    return max(ends, default=None)


def _check_bearer(
    confirmation: Element, expectation: Expectation, now: datetime, profile: Profile
) -> tuple[str | None, datetime | None]:
    """Raises MessageRejected where this confirmation does not hold; returns its InResponseTo and its end."""
    data = only_child(confirmation, _S + "SubjectConfirmationData")
    if data is None:
        if profile is Profile.WEB_SSO:
            raise malformed("the bearer confirmation has no data")
        return None, None
    recipient = data.get("Recipient")
    # WS-Federation binds a token by its audience alone; a Recipient that is there must still be ours.
    if recipient not in expectation.recipients and not (recipient is None and profile is Profile.WS_FED):
        raise MessageRejected(
            MessageReason.RECIPIENT_MISMATCH, f"the Recipient is {(recipient or 'absent')[:150]!r}"
        )
    skew = expectation.clock_skew
    check_not_before(instant_attribute(data, "NotBefore"), now, skew, "the confirmation's NotBefore")
    end = instant_attribute(data, "NotOnOrAfter")
    if end is None and profile is Profile.WEB_SSO:
        raise malformed("the bearer confirmation has no NotOnOrAfter")
    check_not_on_or_after(end, now, skew, "the confirmation's NotOnOrAfter")
    return data.get("InResponseTo"), end


def _authn_context(statement: Element | None) -> str | None:
    if statement is None:
        return None
    context = only_child(statement, _S + "AuthnContext")
    reference = None if context is None else only_child(context, _S + "AuthnContextClassRef")
    return None if reference is None else text_of(reference) or None


def _attributes(assertion: Element, wanted: frozenset[str | None]) -> dict[str, list[str]]:
    """The values of the wanted attributes, over all statements.

    An attribute that cannot be read is a refusal, not a missing group: a rule may deny by that group.
    """
    found: dict[str, list[str]] = {}
    for statement in assertion.iterchildren(_S + "AttributeStatement"):
        for attribute in statement:
            if attribute.tag != _S + "Attribute":
                raise malformed(f"{names.local_name(attribute.tag)} cannot be read")
            name = required_attribute(attribute, "Name")
            if name in wanted:
                values = map(text_of, attribute.iterchildren(_S + "AttributeValue"))
                found.setdefault(name, []).extend(filter(None, values))
    return found


def _user(subject: Element, attributes: dict[str, list[str]], user_attribute: str | None) -> str:
    if user_attribute is not None:
        return single_user(attributes.get(user_attribute, []), user_attribute)
    name_id = only_child(subject, _S + "NameID")
    return single_user([] if name_id is None else [text_of(name_id)], "NameID")


def single_user(values: list[str], source: str) -> str:
    """Exactly one non-empty, printable value names the user. Raises MessageRejected (MALFORMED)."""
    if len(values) != 1 or not values[0] or not values[0].isprintable():
        raise malformed(f"the assertion has no single user in {source!r}")
    return values[0]
