"""The gateway's own pages: every reason has its words, and nothing from outside gets out of its place."""

import json
import re
from html.parser import HTMLParser

import pytest
from typing_extensions import override

from gateway.model.form_fields import EXACT_FIELD, original_fields
from gateway.model.http import header
from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.model.reasons import rule_reason
from gateway.server.page_texts import REASONS, STATUSES, load_languages
from gateway.server.pages import MAX_REASON_HEADER_BYTES, PageRenderer, RenderedPage, reason_header_value

NONCE = "bm9uY2Utbm9uY2Utbm9uY2U"
PAGES = PageRenderer(org_name="Acme <Corp>")
LANGUAGES = load_languages()
HOSTILE = [
    pytest.param("<script>alert(1)</script>", id="a script"),
    pytest.param("\"><img src=x onerror='a'>", id="a broken-out attribute"),
    pytest.param("' onload='a", id="an event handler"),
    pytest.param("</title></style></main>", id="end tags"),
    pytest.param("--><!-- {{ 7 * 7 }} {% raw %}", id="comments and template marks"),
    pytest.param("&lt;b&gt; &amp; &#60;", id="character references"),
    pytest.param("grün – 設備 🔑", id="Unicode"),
    pytest.param("a\r\nSet-Cookie: a=b\r\n\r\n<b>", id="line breaks"),
    pytest.param("{app}{0}", id="format fields"),
]


class Outline(HTMLParser):
    """The elements of a page, and the text that a person reads."""

    def __init__(self, page: RenderedPage) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.body.decode("utf-8"))
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    @override
    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def locked(
    reason: str = "EXPIRED", app: str = "Wiki", url: str | None = None, reference: str = "ref-1"
) -> Page:
    return Page(PageKind.LOCKED, 403, reason, reference, app, url)


def html(page: Page, language: bytes = b"en") -> RenderedPage:
    return PAGES.render(page, b"text/html", language, NONCE)


def problem(page: Page, language: bytes = b"en") -> dict[str, object]:
    answer = PAGES.render(page, b"application/json", language, NONCE)
    assert header(answer.headers, b"content-type") == b"application/problem+json"
    decoded = json.loads(answer.body)
    assert isinstance(decoded, dict)
    return decoded


def challenge(*fields: tuple[str, str], app: str = "Wiki", language: bytes = b"en") -> RenderedPage:
    form = ChallengeForm(
        "https://n1.mtls.test/challenge?flow=a&b=c", fields, app, ("https://*.mtls.test", "'self'")
    )
    return PAGES.render_challenge_form(form, language, NONCE)


EVERY_REASON = [
    pytest.param(rule_reason("Büro & <Windows>") if reason == "RULE" else reason, id=reason)
    for reason in REASONS
]


# --- Words ----------------------------------------


@pytest.mark.parametrize("language", [b"en", b"de"])
@pytest.mark.parametrize("kind", list(PageKind))
@pytest.mark.parametrize("reason", EVERY_REASON)
def test_every_reason_is_said_in_every_language(reason: str, kind: PageKind, language: bytes) -> None:
    page = Page(kind, 403, reason, "ref-1", "Wiki")
    words = LANGUAGES[language.decode()].message(page)
    key = kind if kind is PageKind.FACTOR_REQUIRED else reason.partition(" ")[0]
    assert words.key == key
    outline = Outline(html(page, language))
    for sentence in (words.title, words.what, words.advice):
        assert sentence in outline.text
    for detail in (reason, "ref-1", "Wiki"):
        assert detail in outline.text
    assert outline.all("html") == [{"lang": language.decode()}]


@pytest.mark.parametrize("language", [b"en", b"de"])
@pytest.mark.parametrize("status", STATUSES)
def test_every_plain_status_is_said_in_every_language(status: int, language: bytes) -> None:
    words = LANGUAGES[language.decode()].statuses[str(status)]
    answer = html(Page(PageKind.ERROR, status, "", "ref-1"), language)
    text = Outline(answer).text
    assert answer.status == status
    assert words.title in text
    assert words.advice in text
    assert str(status) in text
    assert header(answer.headers, b"x-device-trust-reason") is None


# --- The page ----------------------------------------


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("place", ["reason", "app", "reference"])
def test_markup_in_a_value_stays_text(place: str, value: str) -> None:
    shape = [tag for tag, _ in Outline(html(locked("RULE plain"))).elements]
    page = locked(**{place: f"RULE {value}" if place == "reason" else value})
    outline = Outline(html(page))
    assert [tag for tag, _ in outline.elements] == shape
    assert value.replace("\r\n", "\n") in outline.text.replace("\r\n", "\n")
    assert all(not name.startswith("on") for _, attributes in outline.elements for name in attributes)


def test_a_locked_page_names_the_administrator_and_the_app() -> None:
    text = Outline(html(locked())).text
    assert "contact your administrator" in text
    assert "Wiki can’t be opened" in text
    assert "This app can’t be opened" in Outline(html(locked(app=""))).text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param(None, False, id="none configured"),
        pytest.param("https://help.test/a?b=c&d=%22", True, id="https"),
        pytest.param("http://help.test/", True, id="http"),
        pytest.param("HTTPS://help.test/", True, id="https in capitals"),
        pytest.param("javascript:alert(1)", False, id="a script"),
        pytest.param("javascript://help.test/%0aalert(1)", False, id="a script with a host"),
        pytest.param(" javascript:alert(1)", False, id="a script after a space"),
        pytest.param("java\nscript:alert(1)", False, id="a script with a line break"),
        pytest.param("data:text/html,x", False, id="data"),
        pytest.param("//help.test/", False, id="no scheme"),
        pytest.param("/help", False, id="a path"),
        pytest.param("https:help", False, id="no host"),
        pytest.param("https://[::1", False, id="not a URL"),
        pytest.param("", False, id="empty"),
    ],
)
def test_the_learn_more_link_is_shown_only_for_a_web_address(url: str | None, shown: bool) -> None:
    links = Outline(html(locked(url=url))).all("a")
    assert [link["href"] for link in links] == ([url] if shown else [])
    assert problem(locked(url=url)).get("learn_more_url") == (url if shown else None)


def test_a_page_has_landmarks_one_heading_and_a_name() -> None:
    for answer in (html(locked()), html(Page(PageKind.ERROR, 502, "", "r")), challenge(("a", "b"))):
        outline = Outline(answer)
        assert [len(outline.all(tag)) for tag in ("html", "title", "header", "main", "h1")] == [1] * 5
        ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert all(svg["aria-hidden"] == "true" for svg in outline.all("svg"))
        assert "Acme <Corp>" in outline.text


def test_a_page_loads_nothing_and_styles_nothing_without_the_nonce() -> None:
    for answer in (html(locked(url="https://help.test/")), challenge(("a", "b"))):
        outline = Outline(answer)
        for tag in ("link", "img", "iframe", "object", "embed", "base"):
            assert outline.all(tag) == []
        for tag in ("style", "script"):
            assert all(attributes == {"nonce": NONCE} for attributes in outline.all(tag))
        assert all("style" not in attributes for _, attributes in outline.elements)
        assert b"url(" not in answer.body
        assert b"@import" not in answer.body


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("scheme", "position"), [("light", 0), ("dark", 1)])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        ("text", "card", 4.5), ("text", "panel", 4.5), ("soft", "card", 4.5), ("soft", "panel", 4.5),
        ("soft", "ground", 4.5), ("on-accent", "accent", 4.5), ("accent", "card", 4.5),
        ("sign", "sign-ground", 3.0),
    ],
)  # fmt: skip
def test_the_contrast_reaches_level_aa(
    ink: str, ground: str, least: float, scheme: str, position: int
) -> None:
    css = html(locked()).body.decode()
    colours = [
        dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{6})", block)) for block in re.findall(r":root\{[^}]*", css)
    ]
    lighter, darker = sorted((luminance(colours[position][name]) for name in (ink, ground)), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least, scheme


# --- JSON ----------------------------------------


def test_the_json_says_the_same_as_the_page() -> None:
    words = LANGUAGES["de"].reasons["REVOKED"]
    assert problem(locked("REVOKED", url="https://help.test/"), b"de-CH") == {
        "type": "urn:device-trust:REVOKED",
        "title": words.title,
        "status": 403,
        "detail": f"{words.what} {words.advice}",
        "reason": "REVOKED",
        "app": "Wiki",
        "reference_id": "ref-1",
        "learn_more_url": "https://help.test/",
    }


def test_the_json_of_a_plain_status_has_its_phrase_and_no_reason() -> None:
    answer = problem(Page(PageKind.ERROR, 502, "", "ref-1"))
    assert (answer["type"], answer["title"], answer["status"]) == ("about:blank", "Bad Gateway", 502)
    assert "reason" not in answer
    assert problem(Page(PageKind.ERROR, 599, "", "ref-1"))["title"] == "Status 599"


@pytest.mark.parametrize("value", HOSTILE)
def test_any_value_is_a_json_string(value: str) -> None:
    answer = problem(locked(f"RULE {value}", app=value))
    assert (answer["type"], answer["reason"], answer["app"]) == (
        "urn:device-trust:RULE",
        f"RULE {value}",
        value,
    )


# --- Headers ----------------------------------------


def test_the_headers_of_a_page() -> None:
    assert dict(html(locked(), b"de").headers) == {
        b"Content-Type": b"text/html; charset=utf-8",
        b"Content-Language": b"de",
        b"Content-Security-Policy": (
            b"default-src 'none'; style-src 'nonce-bm9uY2Utbm9uY2Utbm9uY2U'; base-uri 'none'; "
            b"frame-ancestors 'none'; form-action 'none'"
        ),
        b"X-Device-Trust-Reason": b"EXPIRED",
        b"Cache-Control": b"no-store",
        b"Referrer-Policy": b"no-referrer",
        b"X-Content-Type-Options": b"nosniff",
        b"Vary": b"Accept, Accept-Language",
    }


def test_the_headers_of_a_challenge() -> None:
    headers = dict(challenge(("a", "b")).headers)
    assert headers[b"Content-Security-Policy"] == (
        b"default-src 'none'; script-src 'nonce-bm9uY2Utbm9uY2Utbm9uY2U'; "
        b"style-src 'nonce-bm9uY2Utbm9uY2Utbm9uY2U'; base-uri 'none'; frame-ancestors 'none'; "
        b"form-action https://*.mtls.test 'self'"
    )
    assert headers[b"Cache-Control"] == b"no-store"
    assert headers[b"Vary"] == b"Accept, Accept-Language"
    assert b"X-Device-Trust-Reason" not in headers


@pytest.mark.parametrize(
    ("reason", "value"),
    [
        pytest.param("REVOKED", b"REVOKED", id="a name of the contract"),
        pytest.param("RULE Trusted Windows", b"RULE Trusted Windows", id="a rule"),
        pytest.param("RULE <b>&\"'", b"RULE <b>&\"'", id="printable ASCII stays"),
        pytest.param("RULE 100%", b"RULE 100%25", id="the percent sign"),
        pytest.param("RULE Büro 🔑", b"RULE B%C3%BCro %F0%9F%94%91", id="Unicode"),
        pytest.param("RULE a\r\nSet-Cookie: a=b", b"RULE a%0D%0ASet-Cookie: a=b", id="a header"),
        pytest.param("RULE \0\x1b\x7f\x85\u2028", b"RULE %00%1B%7F%C2%85%E2%80%A8", id="controls"),
        pytest.param("RULE \ud800", b"RULE %3F", id="a lone surrogate"),
        pytest.param(" RULE a ", b"RULE a", id="spaces at the ends"),
        pytest.param("x" * 300, b"x" * 200, id="too long"),
        pytest.param("x" * 197 + "ü", b"x" * 197, id="cut before a character that does not fit"),
        pytest.param("x" * 194 + "ü", b"x" * 194 + b"%C3%BC", id="a character that just fits"),
        pytest.param("x" * 199 + " y", b"x" * 199, id="no space at the cut"),
    ],
)
def test_a_reason_becomes_a_harmless_header(reason: str, value: bytes) -> None:
    assert reason_header_value(reason) == value
    assert len(value) <= MAX_REASON_HEADER_BYTES
    assert header(html(locked(reason)).headers, b"x-device-trust-reason") == value


@pytest.mark.parametrize(
    "nonce", ["", "short", "a" * 22 + "'", "a" * 22 + " ", "a" * 22 + "\n", "ü" * 22, "a" * 200]
)
def test_a_nonce_that_is_none_is_our_error(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        PAGES.render(locked(), None, None, nonce)


# --- The form ----------------------------------------


@pytest.mark.parametrize("language", [b"en", b"de"])
def test_the_form_goes_on_by_itself_or_by_its_button(language: bytes) -> None:
    answer = challenge(("SAMLResponse", "PHN"), ("RelayState", ""), language=language)
    outline = Outline(answer)
    assert answer.status == 200
    assert [(form["method"], form["action"]) for form in outline.all("form")] == [
        ("post", "https://n1.mtls.test/challenge?flow=a&b=c")
    ]
    assert [(field["type"], field["name"], field["value"]) for field in outline.all("input")] == [
        ("hidden", "SAMLResponse", "PHN"),
        ("hidden", "RelayState", ""),
    ]
    assert [button["type"] for button in outline.all("button")] == ["submit"]
    assert outline.all("script") == [{"nonce": NONCE}]
    assert [p["aria-live"] for p in outline.all("p") if "aria-live" in p] == ["polite"]
    words = LANGUAGES[language.decode()].interface
    for key in ("challenge_title", "challenge_button", "challenge_no_script"):
        assert words[key] in outline.text
    assert words["challenge_app"].replace("{app}", "Wiki") in outline.text


@pytest.mark.parametrize("value", HOSTILE)
def test_a_field_holds_any_name_and_value(value: str) -> None:
    shape = [tag for tag, _ in Outline(challenge(("a", "b"))).elements]
    outline = Outline(challenge((value, value), app=value))
    assert [tag for tag, _ in outline.elements] == shape
    assert [(field["name"], field["value"]) for field in outline.all("input")] == [(value, value)]
    assert value in outline.text


def test_a_field_that_a_browser_would_change_is_wrapped() -> None:
    fields = (("RelayState", "a\nb"), ("SAMLResponse", "PHN"), ("nul", "\0"))
    inputs = Outline(challenge(*fields)).all("input")
    assert [field["name"] for field in inputs] == [EXACT_FIELD, "SAMLResponse", EXACT_FIELD]
    assert original_fields(tuple((f["name"] or "", f["value"] or "") for f in inputs)) == fields


def test_a_carriage_return_is_written_as_a_reference() -> None:
    body = challenge(("RelayState", "a\r\nb")).body
    assert b'value="a&#13;\nb"' in body
    assert b"\r" not in body


def test_a_message_of_a_megabyte_is_carried() -> None:
    message = "PHNh" * 250_000
    assert f'value="{message}"'.encode() in challenge(("SAMLResponse", message)).body


@pytest.mark.parametrize("action", ["javascript:alert(1)", "/challenge", "", "data:text/html,x"])
def test_an_action_that_is_no_web_address_is_our_error(action: str) -> None:
    with pytest.raises(ValueError, match="form action"):
        PAGES.render_challenge_form(ChallengeForm(action, (), "Wiki", ()), None, NONCE)


@pytest.mark.parametrize(
    "source",
    [
        "*",
        "https:",
        "https://a.test; script-src *",
        "https://a.test,",
        "https://a.test\r\nX: y",
        "'none'",
        "",
    ],
)
def test_a_source_that_would_widen_the_policy_is_our_error(source: str) -> None:
    form = ChallengeForm("https://n1.mtls.test/", (), "Wiki", (source,))
    with pytest.raises(ValueError, match="form-action"):
        PAGES.render_challenge_form(form, None, NONCE)


def test_a_form_without_sources_may_go_nowhere() -> None:
    form = ChallengeForm("https://n1.mtls.test/", (), "Wiki", ())
    policy = dict(PAGES.render_challenge_form(form, None, NONCE).headers)[b"Content-Security-Policy"]
    assert policy.endswith(b"form-action 'none'")
