"""What others write into a query of the System Log: a value or the one declared exception."""

from hypothesis import given
from hypothesis import strategies as st
from support.log_events import log_event

from gateway.system_log.errors import QueryRefused
from gateway.system_log.filter import matches, parse_filter
from gateway.system_log.keywords import parse_keywords
from gateway.system_log.wire import to_okta

_EVENT = to_okta(log_event())
_PIECES = st.sampled_from(
    [
        *("eventType", "target.id", "debugContext.debugData.x", "uuid", "nothing", "published"),
        *("eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le", "and", "or", "not", "(", ")"),
        *('"x"', '"\\u0041"', '"', "'x'", "7", "-1.5", "true", "null", "[", ".", "\\", "\0", "ü"),
    ]
)


@given(st.lists(_PIECES, max_size=40).map(" ".join) | st.text(max_size=200))
def test_a_filter_is_read_or_refused(text: str) -> None:
    try:
        question = parse_filter(text)
    except QueryRefused:
        return
    assert matches(_EVENT, question) in (True, False)


@given(st.text(max_size=600))
def test_keywords_are_read_or_refused(text: str) -> None:
    try:
        keywords = parse_keywords(text)
    except QueryRefused:
        return
    assert keywords is None or keywords.are_in(_EVENT) in (True, False)
