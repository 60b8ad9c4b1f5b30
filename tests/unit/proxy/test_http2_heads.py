"""Which heads of HTTP/2 become requests, and which are refused before an HTTP/1.1 app could misread them."""

import pytest

from gateway.proxy.http1 import MAX_HEADER_FIELDS, HttpRefused, RequestStart
from gateway.proxy.http2_heads import (
    KnownFields,
    check_trailers,
    request_start,
    response_fields,
    whole_response_fields,
)
from gateway.proxy.known_heads import MAX_KNOWN_BYTES, MAX_KNOWN_HEADS

Fields = list[tuple[bytes, bytes]]
GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"wiki.example.test"),
    (b":path", b"/a?b"),
]


def read(fields: Fields, *, ended: bool = True) -> RequestStart:
    return request_start(fields, ended=ended, max_head_bytes=4_096, max_target_bytes=1_024)


def refusal(fields: Fields, *, ended: bool = True) -> tuple[int, str]:
    with pytest.raises(HttpRefused) as refused:
        read(fields, ended=ended)
    return refused.value.status, refused.value.detail


def with_pseudo(name: bytes, value: bytes) -> Fields:
    return [(n, value if n == name else v) for n, v in GET]


def without(name: bytes) -> Fields:
    return [field for field in GET if field[0] != name]


def test_a_head_becomes_a_request_line_a_host_field_and_the_fields_in_order() -> None:
    start = read([*GET, (b"accept", b"*/*"), (b"x-a", b"")])
    assert (start.head.method, start.head.target, start.head.http_version) == (b"GET", b"/a?b", "2")
    assert start.head.headers == ((b"host", b"wiki.example.test"), (b"accept", b"*/*"), (b"x-a", b""))
    assert not start.has_body
    assert not start.websocket


def test_cookies_of_several_fields_become_one() -> None:
    start = read([*GET, (b"cookie", b"a=1"), (b"accept", b"*/*"), (b"cookie", b"b=2; c=3")])
    assert start.head.headers[-1] == (b"cookie", b"a=1; b=2; c=3")
    assert [name for name, _ in start.head.headers].count(b"cookie") == 1


@pytest.mark.parametrize(
    ("fields", "ended", "length", "chunked"),
    [
        ([], True, None, False),
        ([], False, None, True),
        ([(b"content-length", b"5")], False, 5, False),
        ([(b"content-length", b"0")], True, 0, False),
        ([(b"content-length", b"0")], False, 0, False),
    ],
    ids=["no body", "a body of unknown length", "a length", "a length of nothing", "nothing, said late"],
)
def test_the_body_is_framed_by_its_length_or_else_by_chunks(
    fields: Fields, ended: bool, length: int | None, chunked: bool
) -> None:
    start = read([*GET, *fields], ended=ended)
    assert (start.content_length, start.chunked) == (length, chunked)


def test_a_host_field_may_stand_for_the_authority_or_repeat_it() -> None:
    assert read([*without(b":authority"), (b"host", b"wiki.example.test")]).head.headers == (
        (b"host", b"wiki.example.test"),
    )
    assert read([*GET, (b"host", b"wiki.example.test")]).head.headers == ((b"host", b"wiki.example.test"),)


def test_options_may_ask_for_the_server_as_a_whole() -> None:
    fields = [(n, {b":method": b"OPTIONS", b":path": b"*"}.get(n, v)) for n, v in GET]
    assert read(fields).head.target == b"*"


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("no method", without(b":method")),
        ("a method in lower case", with_pseudo(b":method", b"get")),
        ("a method with a space", with_pseudo(b":method", b"GET /admin HTTP/1.1")),
        ("no scheme", without(b":scheme")),
        ("another scheme", with_pseudo(b":scheme", b"http")),
        ("no path", without(b":path")),
        ("an empty path", with_pseudo(b":path", b"")),
        ("a path that is a URL", with_pseudo(b":path", b"https://wiki.example.test/")),
        ("an asterisk for GET", with_pseudo(b":path", b"*")),
        ("a path with a line in it", with_pseudo(b":path", b"/ HTTP/1.1\r\nX-Device-Trust: trusted\r\nX: ")),
        ("a path with a line feed", with_pseudo(b":path", b"/a\nb")),
        ("no authority and no host", without(b":authority")),
        ("another host", [*GET, (b"host", b"mail.example.test")]),
        ("two hosts for no authority", [*without(b":authority"), (b"host", b"a"), (b"host", b"a")]),
        ("a pseudo-header behind a field", [*GET[:3], (b"accept", b"*/*"), GET[3]]),
        ("a pseudo-header behind a cookie", [*GET[:3], (b"cookie", b"a=1"), GET[3]]),
        ("a pseudo-header twice", [*GET, (b":path", b"/b")]),
        ("a response's pseudo-header", [*GET, (b":status", b"200")]),
        ("a pseudo-header nobody knows", [*GET, (b":protocol", b"websocket")]),
        ("a name in upper case", [*GET, (b"Accept", b"*/*")]),
        ("an empty name", [*GET, (b"", b"a")]),
        ("a name with a space", [*GET, (b"x-a ", b"a")]),
        ("a name with a colon", [*GET, (b"x:a", b"a")]),
        ("a name with a line in it", [*GET, (b"x-a: b\r\nx-device-trust", b"trusted")]),
        ("a name with a line feed", [*GET, (b"x\na", b"a")]),
        ("a name that is no ASCII", [*GET, (b"x-\xe4", b"a")]),
        ("a value with a line in it", [*GET, (b"x-a", b"b\r\nX-Device-Trust: trusted")]),
        ("a value with CR", [*GET, (b"x-a", b"b\rc")]),
        ("a value with LF", [*GET, (b"x-a", b"b\nc")]),
        ("a value with NUL", [*GET, (b"x-a", b"b\0c")]),
        ("a value with DEL", [*GET, (b"x-a", b"b\x7fc")]),
        ("a cookie with a line in it", [*GET, (b"cookie", b"a=1\r\nX: y")]),
        ("a host with a line in it", [*without(b":authority"), (b"host", b"wiki\r\nX: y")]),
        ("space in front of a value", [*GET, (b"x-a", b" b")]),
        ("a tab behind a value", [*GET, (b"x-a", b"b\t")]),
        ("connection", [*GET, (b"connection", b"keep-alive")]),
        ("keep-alive", [*GET, (b"keep-alive", b"timeout=5")]),
        ("proxy-connection", [*GET, (b"proxy-connection", b"close")]),
        ("transfer-encoding", [*GET, (b"transfer-encoding", b"chunked")]),
        ("upgrade", [*GET, (b"upgrade", b"websocket")]),
        ("te other than trailers", [*GET, (b"te", b"trailers, deflate")]),
        ("a length and no body", [*GET, (b"content-length", b"5")]),
        ("two lengths", [*GET, (b"content-length", b"0"), (b"content-length", b"0")]),
        ("a signed length", [*GET, (b"content-length", b"+0")]),
        ("a length in hexadecimal", [*GET, (b"content-length", b"0x5")]),
        ("a list of lengths", [*GET, (b"content-length", b"0, 0")]),
        ("no length at all", [*GET, (b"content-length", b"")]),
        ("a length of thousands of digits", [*GET, (b"content-length", b"9" * 3_000)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_http_1_1_could_read_differently_is_refused(what: str, fields: Fields) -> None:
    assert refusal(fields)[0] == 400, what


def test_connect_is_not_for_this_server() -> None:
    assert refusal([(b":method", b"CONNECT"), (b":authority", b"wiki.example.test:443")])[0] == 405


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*GET, *[(b"x-%d" % i, b"") for i in range(MAX_HEADER_FIELDS + 1)]], 431),
        ([*GET, *[(b"cookie", b"a=%d" % i) for i in range(MAX_HEADER_FIELDS + 1)]], 431),
        ([*GET, (b"x-a", b"a" * 5_000)], 431),
        ([*GET, (b"cookie", b"a" * 5_000)], 431),
        (with_pseudo(b":path", b"/" + b"a" * 1_024), 414),
    ],
    ids=["too many fields", "too many cookies", "a long value", "a long cookie", "a long target"],
)
def test_what_is_too_large_is_refused(fields: Fields, status: int) -> None:
    assert refusal(fields)[0] == status


def test_te_trailers_passes_as_the_field_it_is() -> None:
    assert (b"te", b"trailers") in read([*GET, (b"te", b"trailers")]).head.headers


@pytest.mark.parametrize(
    "field",
    [
        *((b":path", b"/"), (b"X-A", b"b"), (b"x-a", b"b\r\nc"), (b"transfer-encoding", b"chunked")),
        (b"x-a", b"b" * 20_000),
    ],
    ids=["a path", "upper case", "two lines", "transfer-encoding", "too large"],
)
def test_trailers_have_the_rules_of_fields(field: tuple[bytes, bytes]) -> None:
    check_trailers(((b"x-checksum", b"1"),))
    with pytest.raises(HttpRefused):
        check_trailers(((b"x-checksum", b"1"), field))


def test_a_response_has_its_status_in_front_and_its_names_in_lower_case() -> None:
    assert response_fields(204, [(b"Set-Cookie", b"A=B")]) == [(b":status", b"204"), (b"set-cookie", b"A=B")]


def test_a_whole_head_of_http_1_1_becomes_the_same_fields() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nSet-Cookie:a=b: c\r\nX-Empty: \r\ndate: \tnow \r\n\r\n"
    assert whole_response_fields(head) == [
        (b":status", b"404"),
        (b"set-cookie", b"a=b: c"),
        (b"x-empty", b""),
        (b"date", b"now"),
    ]
    assert whole_response_fields(b"HTTP/1.1 200 OK\r\n\r\n") == [(b":status", b"200")]


# Heads that came before.


def known_fields() -> KnownFields:
    return KnownFields(max_head_bytes=4_096, max_target_bytes=1_024)


def test_a_head_that_differs_in_its_path_only_is_known() -> None:
    known = known_fields()
    first = known.read([*GET, (b"accept", b"*/*")], ended=True)
    again = known.read([*with_pseudo(b":path", b"/other"), (b"accept", b"*/*")], ended=True)
    assert again.known is first.known is not None
    assert again == first._replace(head=first.head._replace(target=b"/other"))


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ([*GET, (b"accept", b"text/html")], True),
        ([*with_pseudo(b":authority", b"mail.example.test"), (b"accept", b"*/*")], True),
        ([*with_pseudo(b":method", b"HEAD"), (b"accept", b"*/*")], True),
        ([*GET, (b"accept", b"*/*"), (b"x-device-trust", b"trusted")], True),
        ([*GET, (b"accept", b"*/*")], False),
        ([*with_pseudo(b":path", b"/#"), (b"accept", b"*/*")], True),
    ],
    ids=[
        *("another value", "another host", "another method", "one field more"),
        *("a body", "a fragment"),
    ],
)
def test_whatever_else_differs_is_read_anew(fields: Fields, ended: bool) -> None:
    known = known_fields()
    first = known.read([*GET, (b"accept", b"*/*")], ended=True)
    found = known.read(fields, ended=ended)
    assert found.known is not first.known
    assert found._replace(known=None) == read(fields, ended=ended)


def test_a_path_behind_other_fields_is_refused_though_the_fields_are_known() -> None:
    known = known_fields()
    known.read([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b"host", b"h")], ended=True)
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b"host", b"h"), (b":path", b"/")]
    with pytest.raises(HttpRefused) as refused:
        known.read(fields, ended=True)
    assert (refused.value.status, refused.value.detail) == refusal(fields)


@pytest.mark.parametrize("path", [b"a", b"", b"/\x00", b"/a\r\nx-device-trust: trusted"])
def test_a_path_that_is_refused_is_refused_though_the_fields_are_known(path: bytes) -> None:
    known = known_fields()
    known.read(GET, ended=True)
    fields = with_pseudo(b":path", path)
    with pytest.raises(HttpRefused) as refused:
        known.read(fields, ended=True)
    assert (refused.value.status, refused.value.detail) == refusal(fields)


@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("a POST", with_pseudo(b":method", b"POST")),
        ("an expectation", [*GET, (b"expect", b"100-continue")]),
        ("trailers wanted", [*GET, (b"te", b"trailers")]),
        ("a length", [*GET, (b"content-length", b"0")]),
        ("a long cookie", [*GET, (b"cookie", b"a" * MAX_KNOWN_BYTES)]),
    ],
)
def test_what_is_not_plain_is_never_known(what: str, fields: Fields) -> None:
    known = known_fields()
    for _ in range(2):
        assert known.read(fields, ended=True).known is None, what


def test_a_long_target_is_refused_though_the_fields_are_known() -> None:
    known = known_fields()
    known.read(GET, ended=True)
    with pytest.raises(HttpRefused) as refused:
        known.read(with_pseudo(b":path", b"/" + b"a" * 1_024), ended=True)
    assert refused.value.status == 414


def test_few_heads_are_known_at_once() -> None:
    known = known_fields()
    first = known.read([*GET, (b"accept", b"0")], ended=True).known
    for number in range(1, MAX_KNOWN_HEADS + 1):
        known.read([*GET, (b"accept", b"%d" % number)], ended=True)
    last = known.read([*GET, (b"accept", b"%d" % MAX_KNOWN_HEADS)], ended=True).known
    assert known.read([*GET, (b"accept", b"%d" % MAX_KNOWN_HEADS)], ended=True).known is last
    assert known.read([*GET, (b"accept", b"0")], ended=True).known is not first
