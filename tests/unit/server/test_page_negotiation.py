"""HTML or JSON, and in which language."""

import pytest

from gateway.server.page_negotiation import (
    HTML,
    MAX_NEGOTIATION_BYTES,
    PROBLEM_JSON,
    preferred_language,
    preferred_media_type,
)

CHROMIUM = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, HTML, id="no header"),
        pytest.param(b"", HTML, id="an empty header"),
        pytest.param(CHROMIUM, HTML, id="a browser"),
        pytest.param(b"*/*", HTML, id="curl"),
        pytest.param(b"application/json", PROBLEM_JSON, id="JSON"),
        pytest.param(b"APPLICATION/JSON", PROBLEM_JSON, id="JSON in capitals"),
        pytest.param(b"application/problem+json", PROBLEM_JSON, id="problem JSON"),
        pytest.param(b"application/json; charset=utf-8", PROBLEM_JSON, id="JSON with a parameter"),
        pytest.param(b"application/*", PROBLEM_JSON, id="any application type"),
        pytest.param(b"application/json, text/plain, */*", PROBLEM_JSON, id="JSON named, the rest not"),
        pytest.param(b"application/json, text/html", HTML, id="both equally"),
        pytest.param(b"application/json;q=0.9, text/html;q=0.8", PROBLEM_JSON, id="JSON rather"),
        pytest.param(b"application/json;q=0.8, text/html;q=0.9", HTML, id="HTML rather"),
        pytest.param(b"application/json; Q=0.8 , text/*;q=0.9", HTML, id="any text rather"),
        pytest.param(b"text/html;q=0, */*", PROBLEM_JSON, id="anything but HTML"),
        pytest.param(b"application/json;q=0, application/problem+json;q=0", HTML, id="anything but JSON"),
        pytest.param(b"application/json;q=0", HTML, id="no JSON, and nothing named"),
        pytest.param(b"image/png", HTML, id="nothing that we have"),
        pytest.param(b'a/b;x="application/json, ", text/html', HTML, id="a comma within quotes"),
        pytest.param(b'a/b;x=";q=1, ";q=0, application/json', PROBLEM_JSON, id="a semicolon within quotes"),
        pytest.param(b"application/json;q=2", HTML, id="a quality above 1 is no quality"),
        pytest.param(b"application/json;q=0.1234", HTML, id="a quality of four digits is no quality"),
        pytest.param(b"application/json;q=nan", HTML, id="a quality that is no number"),
        pytest.param(b";;,,=,\xff\x00", HTML, id="garbage"),
        pytest.param(b'"' * 5000, HTML, id="quotes without end"),
        pytest.param(
            b"a/b," * (MAX_NEGOTIATION_BYTES // 4) + b"application/json", HTML, id="beyond the limit"
        ),
    ],
)
def test_the_media_type_is_the_one_the_client_prefers(accept: bytes | None, expected: str) -> None:
    assert preferred_media_type(accept) == expected


@pytest.mark.parametrize(
    ("accept_language", "expected"),
    [
        pytest.param(None, "en", id="no header"),
        pytest.param(b"", "en", id="an empty header"),
        pytest.param(b"de", "de", id="German"),
        pytest.param(b"DE", "de", id="German in capitals"),
        pytest.param(b"de-AT", "de", id="Austrian German"),
        pytest.param(b"de-Latn-CH-1996", "de", id="German with every subtag"),
        pytest.param(b"en-GB,en;q=0.9,de;q=0.8", "en", id="English rather"),
        pytest.param(b"en;q=0.5,de;q=0.8", "de", id="German rather"),
        pytest.param(b"fr,de;q=0.5,en;q=0.4", "de", id="French, which there is not, then German"),
        pytest.param(b"fr", "en", id="only what there is not"),
        pytest.param(b"*", "en", id="any"),
        pytest.param(b"fr, *;q=0.5, de;q=0.1", "en", id="any before German"),
        pytest.param(b"de;q=0", "en", id="anything but German"),
        pytest.param(b"de-AT, de;q=0", "en", id="Austrian, but no other German"),
        pytest.param(b"den", "en", id="a prefix is not a subtag"),
        pytest.param(b"d", "en", id="shorter than the tag"),
        pytest.param(b"../de", "en", id="not a tag"),
        pytest.param(b"de;q=x,\xff", "en", id="garbage"),
    ],
)
def test_the_language_is_the_one_the_client_prefers(accept_language: bytes | None, expected: str) -> None:
    assert preferred_language(accept_language, ("de", "en"), "en") == expected
