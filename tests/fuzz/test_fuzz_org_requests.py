"""Whatever is sent to the org: a value, or the one declared refusal."""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.org import TokenScope
from gateway.server.org.authentication import presented_token
from gateway.server.org.call import Call
from gateway.server.org.errors import ApiError
from gateway.server.org.paging import cursor_after, read_cursor
from gateway.server.org.rate_limit import WINDOW_SECONDS, RateLimiter, caller_of_address
from gateway.server.org.route import Answer, Budget, Route
from gateway.server.org.routing import RoutingTable
from gateway.server.org.strict_json import JsonRefused, is_storable, parse_json

T = TypeVar("T")

bounded = settings(deadline=None, max_examples=200)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@bounded
@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_json_is_parsed_to_what_any_parser_reads_or_refused(data: bytes) -> None:
    try:
        value = parse_json(data)
    except JsonRefused:
        return
    assert json.loads(data) == value
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


@bounded
@given(st.text(max_size=300))
def test_an_authorization_field_holds_a_token_or_none(field: str) -> None:
    token = presented_token(field)
    assert token is None or (token.startswith("dtk_") and token in field)


def value_or_refusal(call: Callable[[], T]) -> T | ApiError:
    try:
        return call()
    except ApiError as refused:
        return refused


async def answer(_: Call) -> Answer:
    return Answer()


TABLE = RoutingTable(
    [
        Route("GET", "/api/v1/users", TokenScope.READ, answer),
        Route("GET", "/api/v1/users/{id}", TokenScope.READ, answer),
        Route("POST", "/api/v1/users/{id}/lifecycle/activate", TokenScope.READ, answer),
        Route("GET", "/ocsp/{request*}", None, answer),
    ]
)
PARTS = st.sampled_from(
    [
        "/",
        "api",
        "v1",
        "users",
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "%00",
        "%ff",
        "ocsp",
        "lifecycle",
        "activate",
        "é",
    ]
)


@bounded
@given(st.text(max_size=100) | st.lists(PARTS, max_size=12).map("".join))
def test_a_path_leads_to_a_route_with_storable_parameters_or_to_404(path: str) -> None:
    matched = value_or_refusal(lambda: TABLE.match("GET", path))
    if isinstance(matched, ApiError):
        assert matched.status in (404, 405)
        return
    for value in matched.parameters.values():
        assert is_storable(value)
        assert value not in (".", "..")


@bounded
@given(st.lists(st.text(st.characters(exclude_characters="\n\x00", exclude_categories=["Cs"])), min_size=1))
def test_a_cursor_leads_back_to_its_position(position: list[str]) -> None:
    cursor = cursor_after(*position)
    if len(cursor) <= 1_024:
        assert read_cursor(cursor, len(position)) == tuple(position)
    assert "," not in cursor


@bounded
@given(st.text(max_size=100), st.integers(1, 3))
def test_a_made_up_cursor_is_a_position_or_refused(cursor: str, parts: int) -> None:
    position = value_or_refusal(lambda: read_cursor(cursor, parts))
    if isinstance(position, ApiError):
        assert position.status == 400
    else:
        assert len(position) == parts


CALLS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from([Budget("few", 2), Budget("more", 5)]), st.integers(0, 40)
    ),
    max_size=80,
)


@bounded
@given(CALLS)
def test_each_caller_gets_just_its_number_in_each_minute(calls: list[tuple[str, Budget, int]]) -> None:
    limiter, now = RateLimiter(), 1_000_000.0
    allowed: dict[tuple[str, str, int], int] = defaultdict(int)
    for caller, budget, later in calls:
        now += later
        key = (caller, budget.name, int(now // WINDOW_SECONDS))
        standing = limiter.take(caller, budget, now)
        assert standing.allowed == (allowed[key] < budget.requests_per_minute)
        allowed[key] += standing.allowed
        assert standing.remaining == budget.requests_per_minute - allowed[key]
        assert now < standing.reset <= now + WINDOW_SECONDS


@bounded
@given(st.lists(st.text(max_size=3), max_size=60))
def test_no_number_of_callers_makes_the_counts_grow_beyond_their_bound(callers: list[str]) -> None:
    limiter = RateLimiter(max_callers=5)
    for caller in callers:
        limiter.take(caller, Budget("one", 1), 0.0)
    assert len(limiter) <= 5 + 1


@pytest.mark.parametrize(
    ("ip", "caller"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_caller(ip: str, caller: str) -> None:
    assert caller_of_address(ip) == caller
