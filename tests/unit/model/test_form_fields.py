"""Fields keep their exact text through a browser's form submission."""

import re

import pytest

from gateway.model.form_fields import EXACT_FIELD, FormFieldsMalformed, exact_fields, original_fields


def submitted(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """What a browser sends of hidden fields (HTML Standard; seen with Chromium 156)."""

    def changed(text: str) -> str:
        return re.sub(r"\r\n|\r|\n", "\r\n", text).replace("\0", "\ufffd")

    return tuple(
        (changed(name), "UTF-8" if name.lower() == "_charset_" else changed(value))
        for name, value in fields
        if name
    )


@pytest.mark.parametrize(
    ("fields", "wrapped"),
    [
        pytest.param([("SAMLResponse", "PHNhbWw+"), ("RelayState", "")], 0, id="plain base64 goes as it is"),
        pytest.param([("RelayState", "a\"b'c<d>&e=\t ")], 0, id="quotes and markup go as they are"),
        pytest.param([("RelayState", "grün\u2028🔑")], 0, id="Unicode goes as it is"),
        pytest.param([("RelayState", "a\r\nb\r\n")], 0, id="CRLF goes as it is"),
        pytest.param([("SAMLResponse", "PHNh\nbWw+")], 1, id="a bare LF is wrapped"),
        pytest.param([("RelayState", "a\rb")], 1, id="a bare CR is wrapped"),
        pytest.param([("RelayState", "a\r\n\nb")], 1, id="a bare LF after CRLF is wrapped"),
        pytest.param([("RelayState", "grün\n")], 1, id="a bare LF at the end is wrapped"),
        pytest.param([("RelayState", "a\0b")], 1, id="NUL is wrapped"),
        pytest.param([("", "x")], 1, id="a field without a name is wrapped"),
        pytest.param([("_Charset_", "x")], 1, id="the magic name _charset_ is wrapped"),
        pytest.param([("a\nb", "x")], 1, id="a newline in a name is wrapped"),
        pytest.param([(EXACT_FIELD, "x")], 1, id="the name of the wrapping is wrapped"),
        pytest.param([("a", "1"), ("b", "\n"), ("a", "2"), ("b", "\0")], 2, id="order and repetition stay"),
        pytest.param([], 0, id="no fields"),
    ],
)
def test_a_field_comes_back_exactly_and_is_wrapped_only_where_it_must_be(
    fields: list[tuple[str, str]], wrapped: int
) -> None:
    sent = exact_fields(tuple(fields))
    assert sum(name == EXACT_FIELD for name, _ in sent) == wrapped
    assert original_fields(submitted(sent)) == tuple(fields)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("YQ", id="no separator"),
        pytest.param("Y.YQ", id="not a length of base64"),
        pytest.param("Y Q.YQ", id="a space in base64"),
        pytest.param("YQ.Y+==", id="the other alphabet"),
        pytest.param("YQ.\u00fc", id="not ASCII"),
        pytest.param("YQ.YQ.YQ", id="one part too many"),
        pytest.param("YQ._w", id="not UTF-8"),
        pytest.param("YQ.7aCA", id="a surrogate"),
    ],
)
def test_a_wrapping_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(FormFieldsMalformed):
        original_fields(((EXACT_FIELD, value),))
