"""Kerberos names as GSS-API writes them."""

import pytest

from gateway.enrollment.principals import Principal, read_principal
from gateway.enrollment.refusals import EnrollmentRefused


@pytest.mark.parametrize(
    ("text", "principal"),
    [
        ("alice@CORP.EXAMPLE.COM", Principal("alice", "CORP.EXAMPLE.COM", ("alice",))),
        ("ws1$@CORP", Principal("ws1$", "CORP", ("ws1$",))),
        ("HTTP/iwa.corp@CORP", Principal("HTTP/iwa.corp", "CORP", ("HTTP", "iwa.corp"))),
        (r"a\@example.com@CORP", Principal(r"a\@example.com", "CORP", ("a@example.com",))),
        (r"a\/b@CORP", Principal(r"a\/b", "CORP", ("a/b",))),
        ("Zoë@CORP", Principal("Zoë", "CORP", ("Zoë",))),
    ],
)
def test_a_name_is_divided_where_it_is_not_escaped(text: str, principal: Principal) -> None:
    assert read_principal(text) == principal
    assert str(read_principal(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "@CORP",
        "alice@",
        "a@b@c",
        "a@b/c",
        "/a@b",
        "a//b@c",
        "a\n@CORP",
        "a\\@CORP",
        "x" * 300 + "@CORP",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(EnrollmentRefused, match="NEGOTIATE_FAILED"):
        read_principal(text)
