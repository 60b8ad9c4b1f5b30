"""Cookies that carry the gateway's names and were not made by it."""

from support.sign_on import SignOnWorld, saml_body

from gateway.proxy.cookies import MAX_FLOW_COOKIES
from gateway.services.outcomes import PostOn


async def test_made_up_flow_cookies_are_neither_an_error_nor_answered() -> None:
    browser = SignOnWorld().browser()
    made_up = {b"__Host-dt-flow-%d\xff" % number: b"x" for number in range(MAX_FLOW_COOKIES + 5)}
    browser.jar.cookies.update(made_up)
    begun = await browser.post(saml_body())
    assert isinstance(begun, PostOn)
    assert len(begun.response_fields) == 1


async def test_surplus_flow_cookies_are_removed() -> None:
    browser = SignOnWorld().browser()
    browser.jar.cookies.update({b"__Host-dt-flow-%d" % n: b"x" for n in range(MAX_FLOW_COOKIES + 5)})
    begun = await browser.post(saml_body())
    assert isinstance(begun, PostOn)
    assert len(begun.response_fields) == 1 + 5
