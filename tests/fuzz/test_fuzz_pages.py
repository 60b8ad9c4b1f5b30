"""Any text on a page is text; any header is an answer; any field comes back as it was."""

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from gateway.model.form_fields import EXACT_FIELD, FormFieldsMalformed, exact_fields, original_fields
from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.server.page_negotiation import HTML, PROBLEM_JSON, preferred_language, preferred_media_type
from gateway.server.page_templates import CHALLENGE, own_templates
from gateway.server.page_texts import load_languages
from gateway.server.pages import (
    MAX_REASON_HEADER_BYTES,
    PageRenderer,
    _challenge_values,
    reason_header_value,
)

NONCE = "bm9uY2Utbm9uY2Utbm9uY2U"
PAGES = PageRenderer(org_name="Acme")
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))
UTF8_TEXT = st.text(alphabet=st.characters(codec="utf-8"))
MARKUP = st.text(alphabet="<>&\"'=/;!-{}%#x0\r\n\0 aü\ud800")
HEADER_OCTETS = st.one_of(st.binary(), st.text(alphabet='tex/html,json;q=01."*\\ de-').map(str.encode))


class Tags(HTMLParser):
    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(body.decode("utf-8"))
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


def page_tags(value: str) -> list[tuple[str, tuple[str, ...]]]:
    page = Page(PageKind.LOCKED, 403, f"RULE {value}", f"r{value}", f"a{value}")
    return Tags(PAGES.render(page, None, None, NONCE).body).tags


def form_tags(name: str, value: str) -> list[tuple[str, tuple[str, ...]]]:
    form = ChallengeForm("https://n1.mtls.test/", ((name, value),), f"a{value}", ())
    return Tags(PAGES.render_challenge_form(form, None, NONCE).body).tags


PAGE_TAGS, FORM_TAGS = page_tags(""), form_tags("a", "b")


@settings(max_examples=200, deadline=None)
@given(st.one_of(ANY_TEXT, MARKUP), st.one_of(ANY_TEXT, MARKUP))
def test_no_value_makes_an_element_or_an_attribute(name: str, value: str) -> None:
    assert page_tags(value) == PAGE_TAGS
    assert form_tags(name, value) == FORM_TAGS


OWN_CHALLENGE = own_templates()[CHALLENGE]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["", "Wiki", "<b>&'\"", "\ue000nonce\ue000", "\ud800", "ü"]),
    st.lists(st.tuples(st.one_of(ANY_TEXT, MARKUP), st.one_of(ANY_TEXT, MARKUP)), max_size=3),
    st.one_of(UTF8_TEXT, MARKUP),
    st.sampled_from([b"en", b"de"]),
)
def test_the_challenge_is_filled_in_as_its_template_says(
    label: str, fields: list[tuple[str, str]], query: str, language: bytes
) -> None:
    form = ChallengeForm(f"https://n1.mtls.test/?{query}", tuple(fields), label, ())
    values = _challenge_values(form, load_languages()[language.decode()], "Acme", NONCE)
    expected = "".join(OWN_CHALLENGE.generate(values)).encode("utf-8", "replace")
    assert PAGES.render_challenge_form(form, language, NONCE).body == expected


@settings(max_examples=300, deadline=None)
@given(ANY_TEXT)
def test_every_reason_is_a_field_value(reason: str) -> None:
    value = reason_header_value(reason)
    assert len(value) <= MAX_REASON_HEADER_BYTES
    assert value == value.strip()
    assert all(0x20 <= octet <= 0x7E for octet in value)


@settings(max_examples=300, deadline=None)
@given(HEADER_OCTETS)
def test_every_header_gets_an_answer(value: bytes) -> None:
    assert preferred_media_type(value) in (HTML, PROBLEM_JSON)
    assert preferred_language(value, ("de", "en"), "en") in ("de", "en")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.one_of(UTF8_TEXT, st.just(EXACT_FIELD)), UTF8_TEXT)).map(tuple))
def test_every_field_is_restored(fields: tuple[tuple[str, str], ...]) -> None:
    assert original_fields(exact_fields(fields)) == fields


@settings(max_examples=300, deadline=None)
@given(st.one_of(ANY_TEXT, st.text(alphabet="AZaz09-_.")))
def test_a_wrapped_value_is_a_field_or_malformed(value: str) -> None:
    try:
        ((name, text),) = original_fields(((EXACT_FIELD, value),))
    except FormFieldsMalformed:
        return
    assert (name + text).encode("utf-8").decode("utf-8") == name + text  # no lone surrogate comes out
