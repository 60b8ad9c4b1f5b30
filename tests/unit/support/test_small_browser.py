"""The tests' own browser: what other tests conclude from it is only worth what it gets right itself."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from support.browser import Hop, Step, origin_of, submit
from support.cookie_jar import CookieJar
from support.html_forms import forms_of

IDP, APP, MTLS = (
    "http://127.0.0.1:9001/sso",
    "https://wiki.apps.example.test:8443/acs",
    "https://n1.mtls.example.test:8443/",
)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("step", "origin"),
    [
        pytest.param(Step("POST", APP), None, id="a typed address has no origin"),
        pytest.param(Step("GET", APP, initiator=origin_of(IDP)), None, id="a GET navigation says no origin"),
        pytest.param(
            Step("POST", APP, initiator=origin_of(IDP)),
            origin_of(IDP),
            id="a form post says where it comes from",
        ),
        pytest.param(
            Step("POST", MTLS, initiator=origin_of(IDP), redirected_from=(APP,)),
            "null",
            id="a redirect to a third origin hides it",
        ),
        pytest.param(
            Step("POST", MTLS, initiator=origin_of(APP), redirected_from=(APP,)),
            origin_of(APP),
            id="a redirect from the initiator's own host keeps it",
        ),
        pytest.param(
            Step("POST", APP, initiator=origin_of(APP), redirected_from=(MTLS,)),
            "null",
            id="coming back from another origin hides it",
        ),
        pytest.param(
            Step("POST", MTLS, initiator=origin_of(APP), referrer_policy="no-referrer"),
            "null",
            id="a page without referrers hides it",
        ),
        pytest.param(
            Step("POST", IDP, initiator=origin_of(APP)), "null", id="from https to http it is hidden"
        ),
    ],
)
def test_the_origin_field_is_that_of_a_browser(step: Step, origin: str | None) -> None:
    assert step.origin_header == origin


@pytest.mark.parametrize(
    ("set_cookie", "sent_to_app"),
    [
        pytest.param("a=1", "a=1", id="a plain cookie"),
        pytest.param("a=1; Path=/other", "", id="a cookie of another path"),
        pytest.param("a=1; Path=/acs", "a=1", id="a cookie of this path"),
        pytest.param("a=1; Path=/ac", "", id="a path that only begins alike"),
        pytest.param("a=1; Domain=apps.example.test", "a=1", id="a cookie of the parent domain"),
        pytest.param("a=1; Domain=mtls.example.test", "", id="a cookie of a foreign domain"),
        pytest.param("a=1; Max-Age=0", "", id="a cookie that is over"),
        pytest.param("a=1; Max-Age=60", "a=1", id="a cookie that lasts a minute"),
        pytest.param("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "", id="a cookie that expired"),
        pytest.param("__Host-a=1; Secure; Path=/", "__Host-a=1", id="a host cookie"),
        pytest.param("__Host-a=1; Path=/", "", id="a host cookie that is not secure"),
        pytest.param("__Host-a=1; Secure", "", id="a host cookie without a path"),
        pytest.param(
            "__Host-a=1; Secure; Path=/; Domain=apps.example.test", "", id="a host cookie with a domain"
        ),
        pytest.param("__Secure-a=1", "", id="a secure-prefixed cookie that is not secure"),
        pytest.param("no value", "", id="something else"),
    ],
)
def test_cookies_are_kept_as_browsers_keep_them(set_cookie: str, sent_to_app: str) -> None:
    jar = CookieJar()
    jar.store(urlsplit(APP), set_cookie, NOW)
    assert jar.header_for(urlsplit(APP), NOW) == sent_to_app


def test_a_secure_cookie_neither_comes_from_nor_goes_to_plain_http() -> None:
    jar = CookieJar()
    plain = urlsplit(APP.replace("https:", "http:"))
    jar.store(plain, "a=1; Secure", NOW)
    jar.store(urlsplit(APP), "b=2; Secure", NOW)
    assert (jar.header_for(plain, NOW), jar.header_for(urlsplit(APP), NOW)) == ("", "b=2")


def test_a_cookie_ends_when_its_time_is_over_or_it_is_removed() -> None:
    jar = CookieJar()
    jar.store(urlsplit(APP), "a=1; Max-Age=60", NOW)
    assert jar.header_for(urlsplit(APP), NOW + timedelta(seconds=61)) == ""
    jar.store(urlsplit(APP), "a=; Max-Age=0", NOW)
    assert len(jar) == 0


def test_a_self_submitting_form_is_told_from_one_that_asks() -> None:
    page = """
    <form method="POST" action="/acs?x=1&amp;y=2"><input type=hidden name=SAMLResponse value="a&#43;b">
      <noscript><button>Continue</button></noscript></form>
    <form method="post"><input name="username"><input type="password" name="password">
      <input type="submit" name="go" value="Log in"></form>
    <form action="/search"><input type="hidden" name="q" value="1"></form>"""
    automatic, login, search = forms_of(page)
    assert [form.submits_itself for form in (automatic, login, search)] == [True, False, False]
    assert automatic.value("SAMLResponse") == "a+b"
    assert login.filled({"username": "alice"}) == [("username", "alice"), ("password", ""), ("go", "Log in")]
    hop = Hop(Step("GET", IDP), (), 200, (), page.encode(), False)
    step = submit(hop, automatic, {})
    assert (step.method, step.url, step.body) == (
        "POST",
        "http://127.0.0.1:9001/acs?x=1&y=2",
        b"SAMLResponse=a%2Bb",
    )
    assert submit(hop, search, {}).url == "http://127.0.0.1:9001/search?q=1"
