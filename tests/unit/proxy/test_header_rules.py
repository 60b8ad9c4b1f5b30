"""Which fields reach the app and the browser: no spelling of an identity header gets through."""

import pytest

from gateway.model.http import RequestHead
from gateway.proxy import headers as header_rules
from gateway.proxy.headers import (
    accepts_trailers,
    asks_before_body,
    forwarded_headers,
    is_identity_header,
    passed_trailers,
    request_headers,
    response_headers,
)

FAMILIES = [
    b"X-Device-Trust",
    b"X-Device-Trust-Device",
    b"X-Device-Trust-User",
    b"X-Device-Trust-Assertion",
    b"X-Device-Trust-Reason",
    b"X-Device-Trust-Invented-Later",
    b"X-Client-Cert",
    b"X-Client-Cert-DN",
    b"X-Client-Certificate",
    b"X-SSL-Client",
    b"X-SSL-Client-Cert",
    b"X-SSL-Client-Verify",
    b"SSL-Client",
    b"SSL-Client-Cert",
    b"SSL-Client-S-DN",
    b"X-Forwarded-Client-Cert",
    b"X-ARR-ClientCert",
]
SPELLINGS = [
    lambda name: name,
    bytes.lower,
    bytes.upper,
    bytes.swapcase,
    lambda name: name.replace(b"-", b"_"),
    lambda name: name.replace(b"-", b"_").upper(),
    lambda name: name.replace(b"-", b"_", 1),
    lambda name: name.replace(b"-", b"."),
    lambda name: name.replace(b"-", b"~"),
    lambda name: name.replace(b"-", b"!"),
]
CHAIN = [
    b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Host",
    b"X-Forwarded-Port",
    b"X-Real-IP",
    b"Forwarded",
]


def passed(*headers: tuple[bytes, bytes], cookie: bytes | None = None) -> list[tuple[bytes, bytes]]:
    return request_headers(headers, host=b"app", added=(), cookie=cookie)[1:]


@pytest.mark.parametrize("name", FAMILIES, ids=bytes.decode)
def test_no_spelling_of_an_identity_header_comes_in(name: bytes) -> None:
    for spell in SPELLINGS:
        spelled = spell(name)
        assert is_identity_header(spelled), spelled
        assert passed((spelled, b"forged"), (b"Accept", b"*/*")) == [(b"Accept", b"*/*")], spelled
        assert passed((spelled, b"forged")) == [], spelled  # the remembered answer is the same


@pytest.mark.parametrize("name", CHAIN, ids=bytes.decode)
def test_no_spelling_of_a_forwarding_header_comes_in(name: bytes) -> None:
    for spell in SPELLINGS:
        assert passed((spell(name), b"10.0.0.1")) == [], spell(name)


@pytest.mark.parametrize(
    "name",
    [
        b"X-Device",
        b"X-Client",
        b"X-Client-ID",
        b"X-SSL",
        b"SSL",
        b"Device-Trust",
        b"X-Trust",
        b"Accept",
        b"X-Requested-With",
    ],
    ids=bytes.decode,
)
def test_other_fields_pass_as_they_are(name: bytes) -> None:
    assert not is_identity_header(name)
    assert passed((name, b"value")) == [(name, b"value")]


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"Proxy-Authorization",
        b"Proxy-Authenticate",
        b"Expect",
        b"Host",
        b"Cookie",
        b"Proxy",  # CGI makes HTTP_PROXY of it
        b"X-Original-URL",  # IIS and Symfony route by it
        b"X-Rewrite-URL",
    ],
    ids=bytes.decode,
)
def test_what_concerns_this_hop_only_stays_here(name: bytes) -> None:
    for spelled in (name, name.lower(), name.upper(), name.replace(b"-", b"_")):
        assert passed((spelled, b"value")) == [], spelled


def test_a_field_that_connection_names_stays_here() -> None:
    headers = ((b"Connection", b"keep-alive, X-Once ,x-twice"), (b"connection", b"X-Thrice"))
    named = ((b"X-Once", b"1"), (b"X-TWICE", b"2"), (b"x-thrice", b"3"))

    assert passed(*headers, *named, (b"X-Else", b"4")) == [(b"X-Else", b"4")]


@pytest.mark.parametrize(
    "name",
    [b"Content-Length", b"Content-Type", b"Content-Encoding", b"Authorization", b"Origin"],
    ids=bytes.decode,
)
def test_connection_cannot_take_away_what_decides_how_a_request_is_read(name: bytes) -> None:
    assert passed((b"Connection", name), (name, b"value")) == [(name, b"value")]


def test_connection_cannot_take_away_what_the_gateway_states() -> None:
    fields = request_headers(
        ((b"Connection", b"X-Device-Trust, X-Forwarded-For, Cookie, Host"),),
        host=b"app",
        added=((b"X-Device-Trust", b"trusted"), (b"X-Forwarded-For", b"192.0.2.1")),
        cookie=b"a=b",
    )
    assert fields == [
        (b"Host", b"app"),
        (b"Cookie", b"a=b"),
        (b"X-Device-Trust", b"trusted"),
        (b"X-Forwarded-For", b"192.0.2.1"),
    ]


def test_dropped_fields_are_dropped_in_any_case() -> None:
    fields = request_headers(
        ((b"AUTHORIZATION", b"Basic x"), (b"Accept", b"*/*")),
        host=b"app",
        added=(),
        cookie=None,
        drop=frozenset({b"authorization"}),
    )
    assert fields == [(b"Host", b"app"), (b"Accept", b"*/*")]


def test_names_made_up_without_end_do_not_fill_the_memory() -> None:
    from gateway.proxy import headers  # its bound is private

    for number in range(headers._MAX_CACHED_NAMES + 100):
        name = b"X-Made-Up-%d" % number
        assert passed((name, b"1")) == [(name, b"1")]
    assert len(headers._REQUEST_NAME_CACHE) <= headers._MAX_CACHED_NAMES
    assert passed((b"X-Device-Trust-Late", b"1")) == []


def test_the_browser_gets_no_field_of_ours_from_the_app() -> None:
    assert response_headers(
        (
            (b"Content-Type", b"text/html"),
            (b"X-Device-Trust-Reason", b"forged"),
            (b"x-device-trust", b"forged"),
            (b"Connection", b"close, X-Once"),
            (b"X-Once", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Set-Cookie", b"a=b"),
            (b"Set-Cookie", b"c=d"),
        )
    ) == [(b"Content-Type", b"text/html"), (b"Set-Cookie", b"a=b"), (b"Set-Cookie", b"c=d")]


@pytest.mark.parametrize(
    ("chain", "expected"),
    [(None, b"192.0.2.1"), (b"192.0.2.1, 10.0.0.1", b"192.0.2.1, 10.0.0.1")],
    ids=["none", "a chain"],
)
def test_the_app_is_told_where_the_request_came_from(chain: bytes | None, expected: bytes) -> None:
    assert forwarded_headers(b"192.0.2.1", chain, b"wiki.example.test:8443") == [
        (b"X-Forwarded-For", expected),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"wiki.example.test:8443"),
    ]


def test_a_long_name_is_judged_and_not_remembered() -> None:
    name = b"X-" + b"a" * 1_000
    assert request_headers(((name, b"1"),), host=b"wiki", added=(), cookie=None)[1:] == [(name, b"1")]
    assert name not in header_rules._REQUEST_NAME_CACHE


@pytest.mark.parametrize(
    "name",
    [
        *FAMILIES,
        *(
            b"Content-Length",
            b"Transfer-Encoding",
            b"TE",
            b"Trailer",
            b"Connection",
            b"Upgrade",
            b"Host",
            b"Expect",
        ),
        *(b"Cookie", b"Set-Cookie", b"Authorization", b"WWW-Authenticate", b"Proxy-Authorization", b"Origin"),
        *(
            b"Content-Type",
            b"content_type",
            b"Content-Encoding",
            b"Content-Range",
            b"Cache-Control",
            b"Location",
        ),
        *(
            b"If-None-Match",
            b"X-Forwarded-User",
            b"Forwarded",
            b"X-Real-IP",
            b"Sec-Fetch-Site",
            b"X-Original-URL",
        ),
        *(b"Access-Control-Allow-Origin", b"X-HTTP-Method-Override", b"Content-Security-Policy", b"Once"),
    ],
)
def test_what_means_something_in_a_head_does_not_pass_behind_a_body(name: bytes) -> None:
    """RFC 9110 §6.5.1. Some servers put trailers in among the fields of the head."""
    fields = ((b"Checksum", b"abc"), (name, b"1"))
    assert passed_trailers(fields, ((b"Connection", b"close, Once"),)) == ((b"Checksum", b"abc"),)


@pytest.mark.parametrize(
    ("value", "accepts"),
    [
        (b"trailers", True),
        (b"gzip;q=0.5, Trailers", True),
        (b"trailers;q=1", True),
        (b"gzip", False),
        (b"xtrailers", False),
        (b"", False),
    ],
)
def test_who_takes_trailers_says_so(value: bytes, accepts: bool) -> None:
    assert accepts_trailers(((b"Accept", b"trailers"), (b"te", value))) is accepts


def test_nobody_asks_before_a_body_in_http_1_0() -> None:
    expect = ((b"Expect", b"100-Continue"),)
    assert asks_before_body(RequestHead(b"POST", b"/", "1.1", expect))
    assert not asks_before_body(RequestHead(b"POST", b"/", "1.0", expect))
    assert not asks_before_body(RequestHead(b"POST", b"/", "1.1", ((b"Expect", b"more"),)))
