"""How long an assertion has to be remembered: as long as any part of it could make it hold once more."""

from datetime import timedelta

from support.messages import NOW, RECIPIENT, Saml2Assertion, Saml2Response, expectation, saml_form, sign

from gateway.federation.expectation import VerifiedMessage
from gateway.federation.saml2 import verify_response

SKEW = timedelta(seconds=60)
LATER = (
    '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData '
    f'Recipient="{RECIPIENT}" NotOnOrAfter="{(NOW + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ")}"/>'
    "</saml:SubjectConfirmation>"
)


def verified(assertion: Saml2Assertion) -> VerifiedMessage:
    return verify_response(
        saml_form(sign(Saml2Response().xml(assertion.xml()), "assertion")), expectation(), NOW
    )


def test_an_assertion_is_remembered_until_its_last_confirmation_ends() -> None:
    """The first one holds now. When it has ended the second would, and the assertion must still be known."""
    minutes = timedelta(minutes=2)
    message = verified(
        Saml2Assertion(confirmed_until=minutes, not_on_or_after=timedelta(minutes=30), extra_subject=LATER)
    )
    assert message.replay_until == NOW + timedelta(minutes=20) + SKEW


def test_conditions_end_it_earlier() -> None:
    message = verified(
        Saml2Assertion(
            confirmed_until=timedelta(minutes=2), not_on_or_after=timedelta(minutes=9), extra_subject=LATER
        )
    )
    assert message.replay_until == NOW + timedelta(minutes=9) + SKEW
