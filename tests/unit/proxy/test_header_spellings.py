"""Spellings of header fields that some app server would take for another field."""

import pytest

from gateway.proxy.headers import request_headers

DROPPED = [
    b"Content_Length",
    b"Content_Type",
    b"content_encoding",
    b"Transfer_Encoding",
    b"Proxy_Authorization",
    b"Keep_Alive",
]


@pytest.mark.parametrize("name", DROPPED)
def test_a_field_that_is_spelled_like_one_of_the_framing_does_not_pass(name: bytes) -> None:
    passed = request_headers(((name, b"x"), (b"X_Other", b"y")), host=b"h", added=(), cookie=None)
    assert passed == [(b"Host", b"h"), (b"X_Other", b"y")]


@pytest.mark.parametrize("name", [b"Content-Type", b"Content-Encoding", b"Content-Length", b"Origin"])
def test_connection_cannot_name_away_how_a_body_is_read(name: bytes) -> None:
    fields = ((b"Connection", b"close, " + name.lower()), (name, b"x"))
    assert (name, b"x") in request_headers(fields, host=b"h", added=(), cookie=None)


@pytest.mark.parametrize(
    "name",
    [
        b"X-Forwarded-Prefix",
        b"X_Forwarded_User",
        b"X-Forwarded-Ssl",
        b"X-Client-IP",
        b"True-Client-IP",
        b"X-Host",
    ],
)
def test_what_only_a_proxy_may_say_does_not_come_from_outside(name: bytes) -> None:
    assert request_headers(((name, b"x"),), host=b"h", added=(), cookie=None) == [(b"Host", b"h")]
