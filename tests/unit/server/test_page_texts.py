"""The words of every language: complete, different, and the nearest where a page has none of its own."""

import re
from importlib import resources

import pytest

from gateway.model.pages import Page, PageKind
from gateway.server.page_texts import INTERFACE, PageTextsRefused, load_languages, parse_language

LANGUAGES = load_languages()


@pytest.mark.parametrize(
    ("page", "key"),
    [
        pytest.param(Page(PageKind.ERROR, 418, "", "r"), "400", id="another 4xx is a bad request"),
        pytest.param(Page(PageKind.ERROR, 599, "", "r"), "500", id="another 5xx is our error"),
        pytest.param(
            Page(PageKind.ERROR, 500, "POLICY_ERROR", "r"), "POLICY_ERROR", id="a reason before a status"
        ),
        pytest.param(
            Page(PageKind.LOCKED, 403, "my_plugin", "r"), "locked", id="a plug-in's reason is locked"
        ),
        pytest.param(
            Page(PageKind.MESSAGE_REFUSED, 400, "", "r"), "message_refused", id="a message, no reason"
        ),
        pytest.param(Page(PageKind.TICKET_REFUSED, 400, "", "r"), "ticket_refused", id="a ticket, no reason"),
        pytest.param(Page(PageKind.FACTOR_REQUIRED, 403, "RULE a", "r"), "factor_required", id="a factor"),
        pytest.param(
            Page(PageKind.LOCKED, 403, "RULE EXPIRED", "r"), "RULE", id="a rule named like a reason"
        ),
        pytest.param(Page(PageKind.LOCKED, 403, "RULES", "r"), "locked", id="not a rule"),
    ],
)
def test_what_has_no_words_of_its_own_gets_the_nearest(page: Page, key: str) -> None:
    assert {language.message(page).key for language in LANGUAGES.values()} == {key}


def test_the_languages_differ_in_every_sentence() -> None:
    english, german = LANGUAGES["en"], LANGUAGES["de"]
    for table in ("reasons", "kinds", "statuses"):
        for key, words in getattr(english, table).items():
            other = getattr(german, table)[key]
            assert (words.title, words.what, words.advice) != (other.title, other.what, other.advice)
            assert not {words.title, words.what, words.advice} & {other.title, other.what, other.advice}
    for language in (english, german):
        for key in INTERFACE:
            assert ("{app}" in language.interface[key]) == key.endswith("_app")


ENGLISH = resources.files("gateway.server").joinpath("texts/en.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("toml", "detail"),
    [
        pytest.param(
            ENGLISH.replace("[reasons.REVOKED]", "[reasons.OTHER]"), "OTHER is not known", id="other reason"
        ),
        pytest.param(
            ENGLISH + "\n[statuses.999]", "statuses.999 is not known", id="a status that nothing shows"
        ),
        pytest.param(
            ENGLISH.replace('learn_more = "', 'learn_mor = "'), "learn_mor is not known", id="a typo"
        ),
        pytest.param(
            ENGLISH.replace('learn_more = "', '# "'), "interface.learn_more is missing", id="a word less"
        ),
        pytest.param(
            ENGLISH.replace('"Learn more"', '" "'), "learn_more is not a sentence", id="an empty word"
        ),
        pytest.param(ENGLISH.replace('"Learn more"', "1"), "learn_more is not a sentence", id="a number"),
        pytest.param(
            "interface = 1\nreasons = 1\nkinds = 1\nstatuses = 1", "interface is not a table", id="values"
        ),
        pytest.param("[interface", "fr.toml: ", id="not TOML"),
    ],
)
def test_an_incomplete_language_is_refused(toml: str, detail: str) -> None:
    with pytest.raises(PageTextsRefused, match=re.escape(detail)):
        parse_language("fr", toml)
