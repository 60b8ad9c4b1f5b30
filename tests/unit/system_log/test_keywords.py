"""The q of the log API, as tables."""

import pytest
from support.log_events import log_event

from gateway.system_log.errors import QueryRefused
from gateway.system_log.keywords import parse_keywords
from gateway.system_log.wire import to_okta

EVENT = to_okta(log_event(debug_data={"flowId": "XOxBw-2JIRnCFd0gG0GjHAAABjY", "rule": "Straße frei"}))

CASES = [
    ("a word", "Alice", True),
    ("in any case", "aLICE", True),
    ("all words", "alice wiki", True),
    ("one of them missing", "alice bob", False),
    ("no part of a word", "Ali", False),
    ("a whole address", "alice@example.test", True),
    ("a side of an address", "example.test", True),
    ("a value with a hyphen", "XOxBw-2JIRnCFd0gG0GjHAAABjY", True),
    ("the part before the hyphen", "xoxbw", True),
    ("the part after the hyphen", "2JIRnCFd0gG0GjHAAABjY", True),
    ("no part of a part", "2JIRn", False),
    ("names of fields are no values", "debugContext", False),
    ("signs are no pattern", ".*", False),
    ("case beyond ASCII", "STRASSE", True),
]


@pytest.mark.parametrize(("name", "q", "expected"), CASES, ids=[case[0] for case in CASES])
def test_keywords(name: str, q: str, expected: bool) -> None:
    keywords = parse_keywords(q)
    assert keywords is not None
    assert keywords.are_in(EVENT) is expected


@pytest.mark.parametrize("q", ["", "   "])
def test_no_word_asks_for_nothing(q: str) -> None:
    assert parse_keywords(q) is None


@pytest.mark.parametrize(
    ("q", "finding"), [("x" * 41, "longer than 40 characters"), ("x " * 11, "more than 10 items")]
)
def test_bounds(q: str, finding: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        parse_keywords(q)
    assert refused.value.code == "E0000001"
    assert finding in refused.value.summary
