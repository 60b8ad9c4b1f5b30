"""Responses passed on as the bytes they are: exactly those that are whole, simple and allowed."""

import pytest

from gateway.proxy.http1 import MAX_HEADER_FIELDS
from gateway.proxy.whole_response import MAX_KNOWN_HEADS, WholeResponses

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"


def read(data: bytes, *, head_only: bool = False) -> tuple[int, bytes] | None:
    """Read twice: from a head that is new and from one that is known it must be the same."""
    responses = WholeResponses(1_000)
    first = responses.read(data, head_only=head_only)
    assert responses.read(data, head_only=head_only) == first
    return first


EMPTY = PLAIN.replace(b"4\r\n\r\nbody", b"0\r\n\r\n")


def with_fields(fields: bytes) -> bytes:
    return PLAIN.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n\r\n")


PASSED = [
    ("a plain one", PLAIN, 200, PLAIN),
    ("an error", PLAIN.replace(b"200 OK", b"503 Busy"), 503, PLAIN.replace(b"200 OK", b"503 Busy")),
    ("no reason phrase", PLAIN.replace(b"OK", b""), 200, PLAIN.replace(b"OK", b"")),
    ("no body", EMPTY, 200, EMPTY),
    ("a cookie", with_fields(b"Set-Cookie: a=b"), 200, with_fields(b"Set-Cookie: a=b")),
    (
        "a field of the connection first",
        PLAIN.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1),
        200,
        PLAIN,
    ),
    ("and its timeout", with_fields(b"connection:Keep-Alive \r\nKeep-Alive: timeout=5"), 200, PLAIN),
    ("spaces around the length", PLAIN.replace(b": 4", b":\t 4 "), 200, PLAIN.replace(b": 4", b":\t 4 ")),
]


@pytest.mark.parametrize(("data", "status", "passed"), [p[1:] for p in PASSED], ids=[p[0] for p in PASSED])
def test_a_whole_response_is_passed_on(data: bytes, status: int, passed: bytes) -> None:
    assert read(data) == (status, passed)


NOT_PASSED = [
    ("nothing", b""),
    ("a part of the head", PLAIN[:30]),
    ("a part of the body", PLAIN[:-1]),
    ("bytes behind the body", PLAIN + b"x"),
    ("two responses", PLAIN + PLAIN),
    ("no length", PLAIN.replace(b"Content-Length: 4\r\n", b"")),
    ("two lengths", with_fields(b"content-length: 4")),
    ("a length with a sign", PLAIN.replace(b": 4", b": +4")),
    ("a length in hex", PLAIN.replace(b": 4", b": 0x4")),
    ("a list of lengths", PLAIN.replace(b": 4", b": 4, 4")),
    ("chunks", with_fields(b"Transfer-Encoding: chunked")),
    ("a close", with_fields(b"Connection: close")),
    ("fields named by Connection", with_fields(b"Connection: keep-alive, x")),
    ("an upgrade", with_fields(b"Upgrade: h2c")),
    ("a trailer to come", with_fields(b"Trailer: x")),
    ("a proxy's field", with_fields(b"Proxy-Authenticate: x")),
    ("our own field", with_fields(b"X-Device-Trust-Reason: x")),
    ("our own field in another case", with_fields(b"x-DEVICE-trust: x")),
    ("the first field is ours", PLAIN.replace(b"\r\nContent-T", b"\r\nX-Device-Trust: x\r\nContent-T")),
    ("HTTP/1.0", PLAIN.replace(b"/1.1", b"/1.0")),
    ("HTTP/2", PLAIN.replace(b"/1.1", b"/2.0")),
    ("an interim response", PLAIN.replace(b"200", b"103")),
    ("a response without a body", PLAIN.replace(b"200", b"204")),
    ("nothing modified", PLAIN.replace(b"200", b"304")),
    ("a redirect", PLAIN.replace(b"200", b"302")),
    ("a status out of range", PLAIN.replace(b"200", b"600")),
    ("a folded line", with_fields(b"X: a\r\n b")),
    ("a space before the colon", with_fields(b"X : a")),
    ("a bare line feed", with_fields(b"X: a\nY: b")),
    ("a bare carriage return", with_fields(b"X: a\rY: b")),
    ("a NUL", with_fields(b"X: \0")),
    ("a field without a colon", with_fields(b"X")),
    ("a control character in the reason", PLAIN.replace(b"OK", b"O\x08K")),
    ("a large head", PLAIN.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 1_000 + b"\r\n\r\n")),
    ("many fields", PLAIN.replace(b"\r\n\r\n", b"\r\nX:" * (MAX_HEADER_FIELDS + 1) + b"\r\n\r\n")),
]


@pytest.mark.parametrize("data", [n[1] for n in NOT_PASSED], ids=[n[0] for n in NOT_PASSED])
def test_anything_else_is_left_to_the_parser(data: bytes) -> None:
    assert read(data) is None


def test_the_answer_to_head_ends_with_its_head() -> None:
    assert read(PLAIN[:-4], head_only=True) == (200, PLAIN[:-4])
    assert read(PLAIN, head_only=True) is None


def test_a_known_head_with_another_body_is_read_by_its_length() -> None:
    responses = WholeResponses(1_000)
    assert responses.read(PLAIN, head_only=False) == (200, PLAIN)
    other = PLAIN[:-4] + b"BODY"
    assert responses.read(other, head_only=False) == (200, other)
    assert responses.read(other[:-1], head_only=False) is None
    assert responses.read(other[:-4], head_only=True) == (200, other[:-4])


def test_few_heads_are_kept_and_none_that_sets_a_cookie() -> None:
    responses = WholeResponses(1_000)
    for number in range(MAX_KNOWN_HEADS + 1):
        numbered = PLAIN.replace(b"\r\n\r\n", b"\r\nX: %d\r\n\r\n" % number)
        assert responses.read(numbered, head_only=False) == (200, numbered)
    assert 0 < responses.heads_held <= MAX_KNOWN_HEADS
    held = responses.heads_held
    cookie = with_fields(b"Set-Cookie: a=b")
    assert responses.read(cookie, head_only=False) == (200, cookie)
    assert responses.heads_held == held
