"""Every spelling that some app server takes for an assertion endpoint is seen; the ticket leaves no trace."""

import pytest

from gateway.proxy.targets import (
    PathKind,
    classify_path,
    fold_path,
    query_names_message,
    take_ticket,
    with_ticket,
)

ENDPOINTS = frozenset({b"/saml/acs", b"/SSO/Consume.aspx"})
FOLDED = frozenset(map(fold_path, ENDPOINTS))


def kind(path: bytes) -> PathKind:
    return classify_path(path, ENDPOINTS, FOLDED)


@pytest.mark.parametrize("path", sorted(ENDPOINTS), ids=bytes.decode)
def test_an_endpoint_spelled_exactly_is_one(path: bytes) -> None:
    assert kind(path) is PathKind.ENDPOINT


@pytest.mark.parametrize(
    "path",
    [
        b"/SAML/ACS",
        b"/Saml/acs",
        b"/saml/acs/",
        b"/saml/acs//",
        b"//saml/acs",
        b"/saml//acs",
        b"/./saml/acs",
        b"/saml/./acs",
        b"/saml/acs/.",
        b"/x/../saml/acs",
        b"/saml/x/../acs",
        b"/../saml/acs",
        b"/saml/acs/x/..",
        b"/saml/acs;",
        b"/saml/acs;jsessionid=1",
        b"/saml;v=1/acs",
        b"/;x/saml/acs",
        b"/saml\\acs",
        b"\\saml\\acs",
        b"/saml/%61cs",
        b"/saml/%41cs",
        b"/%73%61%6d%6c/acs",
        b"/saml%2facs",
        b"/saml%2Facs",
        b"/saml%5cacs",
        b"/saml%252facs",
        b"/saml/%2561cs",
        b"/saml/%252561cs",
        b"/saml/acs%2f",
        b"/saml/acs%20",
        b"/saml/%20acs",
        b"/saml/acs%09",
        b"/saml/acs%00",
        b"/saml/acs%3bx",
        b"/x/%2e%2e/saml/acs",
        b"/x/%2e./saml/acs",
        b"/x%2f..%2fsaml/acs",
        b"/x/..;/saml/acs",
        b"/saml/%u0061cs",
        b"/saml%u002facs",
        b"/saml/%U0061cs",
        b"/sso/consume.aspx",
        b"/SSO/Consume.aspx/",
        b"/sso/%43onsume.aspx",
    ],
    ids=bytes.decode,
)
def test_an_endpoint_in_disguise_is_seen(path: bytes) -> None:
    assert kind(path) is PathKind.DISGUISED_ENDPOINT


@pytest.mark.parametrize(
    "path",
    [
        b"/.devicetrust/a",
        b"/.devicetrust/",
        b"/.devicetrust",
        b"/.DeviceTrust/a",
        b"/%2edevicetrust/a",
        b"//.devicetrust/a",
        b"/x/../.devicetrust/a",
        b"/.devicetrust;x/a",
        b"/.devicetrust%2fa",
    ],
    ids=bytes.decode,
)
def test_reserved_paths_are_ours_in_any_spelling(path: bytes) -> None:
    assert kind(path) is PathKind.RESERVED


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"*",
        b"/saml",
        b"/saml/acs2",
        b"/saml/acs/metadata",
        b"/saml/ac",
        b"/samlacs",
        b"/x/saml/acs",
        b"/saml/acs/../metadata",
        b"/.devicetrusted",
        b"/Report.pdf",
        b"/a%20b",
        b"/%",
        b"/%zz",
        b"/%u12",
    ],
    ids=bytes.decode,
)
def test_other_paths_are_ordinary(path: bytes) -> None:
    assert kind(path) is PathKind.ORDINARY


@pytest.mark.parametrize(
    "query",
    [
        b"SAMLResponse=x",
        b"a=b&samlresponse=x",
        b"SAMLart=x",
        b"wa=wsignin1.0&wresult=x",
        b"%53AMLResponse=x",
        b"%2553AMLResponse=x",
        b"SAML%u0052esponse=x",
        b"a[SAMLResponse]=x",
    ],
    ids=bytes.decode,
)
def test_a_query_that_may_carry_a_message_is_seen(query: bytes) -> None:
    assert query_names_message(query)


@pytest.mark.parametrize("query", [b"", b"a=b", b"SAMLRequest=x", b"q=saml", b"%", b"%u"], ids=repr)
def test_other_queries_carry_none(query: bytes) -> None:
    assert not query_names_message(query)


@pytest.mark.parametrize(
    ("target", "rest", "ticket"),
    [
        (b"/a", b"/a", None),
        (b"/a?", b"/a?", None),
        (b"/a?b=c", b"/a?b=c", None),
        (b"/a?dt_ticket=T", b"/a", "T"),
        (b"/a?b=c&dt_ticket=T", b"/a?b=c", "T"),
        (b"/a?dt_ticket=T&b=c", b"/a?b=c", "T"),
        (b"/a?b&dt_ticket=T&&c", b"/a?b&&c", "T"),
        (b"/a?dt_ticket=T&dt_ticket=U", b"/a", "T"),
        (b"/a?dt_ticket", b"/a", ""),
        (b"/a?dt_ticket=", b"/a", ""),
        (b"/a?dt_ticket=T=U", b"/a", "T=U"),
        (b"/a?DT_TICKET=T", b"/a?DT_TICKET=T", None),
        (b"/a?x=dt_ticket", b"/a?x=dt_ticket", None),
        (b"/a?xdt_ticket=T", b"/a?xdt_ticket=T", None),
        (b"/dt_ticket=T?b", b"/dt_ticket=T?b", None),
        (b"/a?b?dt_ticket=T", b"/a?b?dt_ticket=T", None),
    ],
    ids=repr,
)
def test_the_ticket_is_taken_out(target: bytes, rest: bytes, ticket: str | None) -> None:
    assert take_ticket(target) == (rest, ticket)


@pytest.mark.parametrize("target", [b"/a", b"/a?", b"/a?b=c", b"/a?b&", b"/", b"/a?b=c?d"], ids=bytes.decode)
def test_what_is_put_in_comes_out_again(target: bytes) -> None:
    assert take_ticket(with_ticket(target, "Abc-_9")) == (target, "Abc-_9")
