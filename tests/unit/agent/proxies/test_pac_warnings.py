"""Patterns that never match are found in the text, with their lines."""

import pytest

from gateway.agent.proxies.pac_warnings import MAX_WARNINGS, pac_warnings

SCRIPT = "function FindProxyForURL(url, host) {\n%s\nreturn 'DIRECT'; }"

NEVER = [
    ('if (localHostOrDomainIs(host,"*.okta.com")) { return "DIRECT"; }', 'shExpMatch(host, "*.okta.com")'),
    ("if (localHostOrDomainIs(host, '.okta.com')) {}", 'dnsDomainIs(host, ".okta.com")'),
    ("if (localHostOrDomainIs(host, 'https://sso.okta.com')) {}", "no scheme, port or path"),
    ("if (localHostOrDomainIs(host, 'sso.okta.com:443')) {}", "no scheme, port or path"),
    ("if (dnsDomainIs(host, '*.okta.com')) {}", 'dnsDomainIs(host, ".okta.com")'),
    ("if (dnsDomainIs(host, '.Okta.com')) {}", '".okta.com"'),
    ("if (isInNet(host, '10.0.0.0/8', '255.0.0.0')) {}", '"10.0.0.0/8" is no IPv4 address'),
    ("if (isInNet(host, '10.0.0.0', '8')) {}", '"8" is no IPv4 address'),
    ("if (isInNet(dnsResolve(host), '10.0.0.0', '255.0.0.0')) {}", None),
    ("if (isInNet(host, '10.0.0.0')) {}", "wants an address and a mask"),
    ("if (shExpMatch(url, '*.okta.com')) {}", "compares all of it"),
    ("if (shExpMatch(url, '*.okta.com/*')) {}", None),
    ("if (shExpMatch(host, '*.okta.com')) {}", None),
    ("if (localHostOrDomainIs(host, 'sso.okta.com')) {}", None),
    ("if (dnsDomainIs(host, '.okta.com')) {}", None),
    ("if (isInNet(host, '10.0.0.0', '255.0.0.0')) {}", None),
    ('// localHostOrDomainIs(host, "*.okta.com")', None),
    ('/* localHostOrDomainIs(host, "*.okta.com") */', None),
    ("var x = 'http://a'; if (dnsDomainIs(host, '*.b')) {}", 'dnsDomainIs(host, ".b")'),
    ("if (dnsDomainIs(host, domain)) {}", None),
    ("if (dnsDomainIs(host, '*\x1b[2J')) {}", "dnsDomainIs(host, '*?[2J') never"),
]


@pytest.mark.parametrize(("line", "part"), NEVER, ids=[line for line, _ in NEVER])
def test_a_pattern_that_never_matches_is_named_with_its_line(line: str, part: str | None) -> None:
    warnings = pac_warnings(SCRIPT % line)
    if part is None:
        assert warnings == ()
    else:
        (warning,) = warnings
        assert warning.line == 2
        assert part in warning.sentence


def test_lines_are_counted_over_comments() -> None:
    text = (
        "/* one\ntwo\nthree */ // four\n"
        + SCRIPT % "\n\ndnsDomainIs(host, '*.a') || dnsDomainIs(host, '*.b')"
    )
    assert [warning.line for warning in pac_warnings(text)] == [7, 7]
    assert str(pac_warnings(text)[0]).startswith("line 7: dnsDomainIs(host, '*.a') never matches")


def test_there_is_an_end_to_warnings() -> None:
    assert len(pac_warnings("dnsDomainIs(host, '*.a');" * 1000)) == MAX_WARNINGS
