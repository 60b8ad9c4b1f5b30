"""A person with a trusted device is lured to the challenge of somebody else's sign-on.

The ticket then stands in the address bar of the wrong browser, where the person can be talked into reading it
out. By then it is spent.
"""

import pytest
from support.sign_on import SignOnWorld, return_target, saml_body

from gateway.model.pages import PageKind
from gateway.services.outcomes import Forward, Outcome, ShowPage

MULTIPART = b"multipart/form-data; boundary=x"
FORM = b"application/x-www-form-urlencoded"
# What the lured browser carries along is the attacker's choice.
CARRIED = [
    ("the attacker's message", None, FORM),
    ("nothing", b"", FORM),
    ("another form", b"a=1", FORM),
    ("a broken message", b"SAMLResponse=x", FORM),
    ("a form of another kind", b"x", MULTIPART),
]


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, ShowPage), outcome
    assert outcome.page.kind is PageKind.TICKET_REFUSED
    return outcome.page.reason


@pytest.mark.parametrize(("carried", "content_type"), [c[1:] for c in CARRIED], ids=[c[0] for c in CARRIED])
async def test_a_ticket_that_came_to_the_wrong_browser_is_spent(
    carried: bytes | None, content_type: bytes
) -> None:
    world = SignOnWorld()
    attacker, victim, body = world.browser(), world.browser(), saml_body()
    target = return_target(victim.challenge(await attacker.post(body), world.device()))
    await victim.post(body if carried is None else carried, target, content_type=content_type)
    assert reason(await attacker.post(body, target)) == "TICKET_REPLAYED"


async def test_the_one_who_began_may_still_begin_again() -> None:
    world = SignOnWorld()
    attacker, victim, body = world.browser(), world.browser(), saml_body()
    target = return_target(victim.challenge(await attacker.post(body), world.device()))
    await victim.post(body, target)
    assert isinstance(await attacker.sign_on(body, world.device()), Forward)
