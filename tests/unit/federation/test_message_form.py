"""Forms that two servers could read differently are refused; what goes on is written anew."""

import pytest

from gateway.federation.errors import MessageRejected
from gateway.federation.form import MAX_FORM_BYTES, MAX_FORM_FIELDS, MessageForm, parse_form, rebuild_form
from gateway.model.form_fields import exact_fields
from gateway.model.reasons import MessageReason as Reason

AMBIGUOUS: list[tuple[str, bytes]] = [
    ("one name twice", b"SAMLResponse=a&SAMLResponse=b"),
    ("one name twice, the second empty", b"SAMLResponse=a&SAMLResponse"),
    ("one name twice, percent-encoded", b"SAMLResponse=a&SAML%52esponse=b"),
    ("one name twice, in another case", b"RelayState=a&x=1&relaystate=b"),
    ("an unknown name twice", b"SAMLResponse=a&csrf=1&csrf=2"),
    ("an unknown name in two cases", b"csrf=1&CSRF=2"),
    ("the message in small letters", b"samlresponse=a"),
    ("the message as an array", b"SAMLResponse%5B%5D=a"),
    ("the message as an array with brackets as they are", b"SAMLResponse[]=a"),
    ("the message as a second array", b"SAMLResponse=a&SAMLResponse%5B0%5D=b"),
    ("the message behind a blank", b"SAMLResponse=a&+SAMLResponse=b"),
    ("the message with a blank after it", b"SAMLResponse=a&SAMLResponse%20=b"),
    ("the message behind a NUL", b"SAMLResponse=a&SAMLResponse%00x=b"),
    ("the message in full-width letters", b"SAMLResponse=a&%EF%BC%B3AMLResponse=b"),
    ("the message with a long s", b"SAMLResponse=a&%C5%BFAMLResponse=b"),
    ("a semicolon as a separator", b"SAMLResponse=a;SAMLResponse=b"),
    ("a semicolon in a value", b"SAMLResponse=a&x=1;2"),
    ("no name", b"=a"),
    ("a name of punctuation only", b"%5B%5D=a"),
    ("a name in brackets", b"%5BSAMLResponse%5D=a"),
    ("half a percent-encoding", b"SAMLResponse=a%4"),
    ("a percent sign alone", b"SAMLResponse=100%"),
    ("a percent-encoding that is none", b"SAMLResponse=%zz"),
    ("a blank as it is", b"SAMLResponse=a b"),
    ("a line break as it is", b"SAMLResponse=a\r\n"),
    ("white space only", b"  \r\n\t"),
    ("a byte above ASCII", b"SAMLResponse=\xc3\xa9"),
    ("a NUL as it is", b"SAMLResponse=a\0"),
    ("a NUL in a value", b"SAMLResponse=a%00"),
    ("a value that is not UTF-8", b"SAMLResponse=%ff"),
    ("a name that is not UTF-8", b"%ff=a"),
    ("an overlong encoding", b"SAMLResponse=%c0%af"),
    ("half a surrogate pair", b"SAMLResponse=%ed%a0%80"),
]


@pytest.mark.parametrize("body", [row[1] for row in AMBIGUOUS], ids=[row[0] for row in AMBIGUOUS])
def test_an_ambiguous_form_is_refused(body: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        parse_form(body)
    assert caught.value.reason is Reason.MALFORMED


TOO_LARGE: list[tuple[str, bytes]] = [
    ("one byte too many", b"a=" + b"x" * (MAX_FORM_BYTES - 1)),
    ("15 MB of encoded line feeds", b"a=" + b"%0A" * 5_000_000),
    ("15 MB of separators", b"&" * 15_000_000),
    ("one field too many", b"&".join(b"f%d=" % n for n in range(MAX_FORM_FIELDS + 1))),
    ("a name without end", b"x" * 300 + b"=a"),
]


@pytest.mark.parametrize("body", [row[1] for row in TOO_LARGE], ids=[row[0] for row in TOO_LARGE])
def test_a_form_beyond_the_limits_is_refused(body: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        parse_form(body)
    assert caught.value.reason is Reason.TOO_LARGE


def test_the_limits_are_the_callers() -> None:
    body = b"a=" + b"x" * 100 + b"&b=1"
    assert parse_form(body, max_bytes=len(body), max_fields=2).value("b") == "1"
    with pytest.raises(MessageRejected):
        parse_form(body, max_bytes=len(body) - 1)
    with pytest.raises(MessageRejected):
        parse_form(body, max_fields=1)


def test_a_form_at_the_limits_passes() -> None:
    assert len(parse_form(b"&".join(b"f%d=" % n for n in range(MAX_FORM_FIELDS))).fields) == MAX_FORM_FIELDS
    assert parse_form(b"a=" + b"x" * (MAX_FORM_BYTES - 2)).value("a")


def test_values_are_decoded_once() -> None:
    form = parse_form(b"SAMLResponse=PHg%2B%0D%0A&RelayState=%2541+b%C3%A9")
    assert form.fields == (("SAMLResponse", "PHg+\r\n"), ("RelayState", "%41 bé"))


def test_a_value_is_found_by_its_exact_name_only() -> None:
    form = parse_form(b"SAMLResponse=a&other=b")
    assert form.value("SAMLResponse") == "a"
    assert form.value("samlresponse") is None


def test_an_empty_body_and_empty_pieces_are_no_fields() -> None:
    assert parse_form(b"") == MessageForm(())
    assert parse_form(b"&a=1&&b=2&").fields == (("a", "1"), ("b", "2"))


def test_what_goes_on_is_written_one_way() -> None:
    body = b"&SAML%52esponse=%50Hg%2b%0d%0A/%3d&x=%c3%a9~%7E+%20*&empty"
    assert rebuild_form(parse_form(body)) == b"SAMLResponse=PHg%2B%0D%0A%2F%3D&x=%C3%A9%7E%7E++*&empty="


def test_every_character_comes_back_as_it_was() -> None:
    value = "".join(map(chr, range(1, 0x250))) + "\U0001f511"
    form = MessageForm((("RelayState", value),))
    assert parse_form(rebuild_form(form)) == form


def test_a_form_that_came_back_is_read_as_what_was_sent() -> None:
    sent = (("SAMLResponse", "PHg+\n"), ("RelayState", "a\rb"))
    body = rebuild_form(MessageForm(exact_fields(sent)))
    assert parse_form(body, came_back=True).fields == sent


@pytest.mark.parametrize(
    "body",
    [
        b"dt_exact=abc",
        b"dt_exact=%2A.abc",
        b"SAMLResponse=a&dt_exact=U0FNTFJlc3BvbnNl.Yg",
        b"dt_exact=YQ.7aCA",
        b"dt_exact=YQ.AA",
        b"dt_exact=7aCA.YQ",
    ],
    ids=[
        "without a separator",
        "not base64url",
        "hiding a second message",
        "hiding half a surrogate pair",
        "hiding a NUL",
        "hiding half a surrogate pair in the name",
    ],
)
def test_a_form_that_came_back_bent_is_refused(body: bytes) -> None:
    with pytest.raises(MessageRejected) as caught:
        parse_form(body, came_back=True)
    assert caught.value.reason is Reason.MALFORMED


def test_the_wrapping_means_nothing_in_a_form_that_did_not_come_from_us() -> None:
    assert parse_form(b"dt_exact=U0FNTFJlc3BvbnNl.Yg").value("SAMLResponse") is None
