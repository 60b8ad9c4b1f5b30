"""`%u0072` is a letter to ASP.NET: a sign-on message must not hide behind it."""

import pytest

from gateway.services.stray_messages import FormScanner, carries_sign_on


@pytest.mark.parametrize(
    "body",
    [
        b"wa=wsignin1.0&w%u0072esult=x",
        b"%u0053AMLResponse=x",
        b"a=b&SAML%U0052esponse=x",
        b"%uff33AMLResponse=x",  # a fullwidth letter, which best-fit charsets fold
    ],
)
def test_a_name_with_utf_16_escapes_is_seen(body: bytes) -> None:
    assert carries_sign_on(body)


@pytest.mark.parametrize("body", [b"wa=wsignin1.0&w%u0072esult=x", b"a=b&%u0053AMLResponse=x"])
def test_a_streamed_name_with_utf_16_escapes_is_seen(body: bytes) -> None:
    assert not FormScanner().passes(body)


def test_other_fields_may_have_such_escapes() -> None:
    assert not carries_sign_on(b"title=%u0073aml&%u0061=1")
    assert FormScanner().passes(b"title=%u0073aml&%u0061=1")
