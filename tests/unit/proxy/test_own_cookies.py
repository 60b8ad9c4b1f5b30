"""Our cookies and the app's: neither gets into the other's hands."""

import pytest

from gateway.proxy.cookies import (
    clear_flow_cookie,
    clear_session_cookie,
    flow_cookie_name,
    set_flow_cookie,
    set_session_cookie,
    split_cookies,
)

SESSION = b"__Host-dt-session"


@pytest.mark.parametrize(
    ("fields", "ours", "theirs"),
    [
        pytest.param([], {}, None, id="no cookie"),
        pytest.param([b"a=b; c=d"], {}, b"a=b; c=d", id="only theirs, byte for byte"),
        pytest.param([b"a=b;c=d;"], {}, b"a=b;c=d;", id="only theirs, oddly spaced"),
        pytest.param([b"a=b", b"c=d"], {}, b"a=b; c=d", id="two fields"),
        pytest.param([SESSION + b"=x"], {SESSION: b"x"}, None, id="only ours"),
        pytest.param(
            [b"a=b; " + SESSION + b"=x; c=d"], {SESSION: b"x"}, b"a=b; c=d", id="ours in the middle"
        ),
        pytest.param([b"a=b", SESSION + b"=x"], {SESSION: b"x"}, b"a=b", id="ours in a field of its own"),
        pytest.param([b"a=b;" + SESSION + b"=x"], {SESSION: b"x"}, b"a=b", id="without a blank"),
        pytest.param(
            [b"a=b;\t " + SESSION + b" = x "], {SESSION + b" ": b"x"}, b"a=b", id="with many blanks"
        ),
        pytest.param(
            [SESSION + b"=first; " + SESSION + b"=second"],
            {SESSION: b"first"},
            None,
            id="twice: the first counts",
        ),
        pytest.param([SESSION], {SESSION: b""}, None, id="without a value"),
        pytest.param(
            [b"__Host-dt-new=1; a=b"], {b"__Host-dt-new": b"1"}, b"a=b", id="a name of another version"
        ),
        pytest.param([b"a=" + SESSION], {}, b"a=" + SESSION, id="our name as a value of theirs"),
        pytest.param(
            [b"x" + SESSION + b"=1"], {}, b"x" + SESSION + b"=1", id="a name that only ends like ours"
        ),
        pytest.param([b"; ;" + SESSION + b"=x;;"], {SESSION: b"x"}, None, id="nothing between semicolons"),
        pytest.param([SESSION + b"=a=b=="], {SESSION: b"a=b=="}, None, id="equals signs in the value"),
    ],
)
def test_cookies_are_told_apart(fields: list[bytes], ours: dict[bytes, bytes], theirs: bytes | None) -> None:
    assert split_cookies(fields) == (ours, theirs)


def test_what_is_set_is_what_a_browser_takes_under_the_host_prefix() -> None:
    """RFC 6265bis §4.1.3.2: Secure, Path=/, no Domain."""
    fields = [
        set_flow_cookie("abc-_1", "secret", 300),
        clear_flow_cookie("abc-_1"),
        set_session_cookie("sealed", 28_800),
        clear_session_cookie(),
    ]
    assert fields == [
        (
            b"Set-Cookie",
            b"__Host-dt-flow-abc-_1=secret; Max-Age=300; Path=/; Secure; HttpOnly; SameSite=None",
        ),
        (b"Set-Cookie", b"__Host-dt-flow-abc-_1=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=None"),
        (b"Set-Cookie", b"__Host-dt-session=sealed; Max-Age=28800; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (b"Set-Cookie", b"__Host-dt-session=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ]


def test_what_was_set_comes_back_as_ours() -> None:
    name, value = set_flow_cookie("abc", "secret", 300)[1].split(b";")[0].split(b"=")
    assert name == flow_cookie_name("abc")
    assert split_cookies([b"a=b; " + name + b"=" + value]) == ({name: b"secret"}, b"a=b")
