"""The functions that a proxy auto-configuration file may call, one line each."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gateway.agent.proxies.pac_evaluation import Surroundings, find_proxy, told_of
from gateway.agent.proxies.routes import ProxyRefused

ADDRESSES = {
    "wiki.example.com": ("10.1.2.3", "fd00::3"),
    "only6.example.com": ("fd00::6",),
    "outside.example.org": ("203.0.113.9",),
}
# A Thursday.
NOW = datetime(2026, 11, 26, 3, 20, 30, tzinfo=UTC)


def evaluate(expression: str, now: datetime = NOW) -> str:
    """The value as JavaScript writes it."""
    surroundings = Surroundings(lambda name: ADDRESSES.get(name, ()), ("192.0.2.7", "2001:db8::7"), now)
    script = f"function FindProxyForURL(url, host) {{ return String({expression}); }}"
    return find_proxy(script, "https://wiki.example.com/secret?token=x", surroundings)


TABLE = [
    ("url", "https://wiki.example.com/"),  # neither path nor query
    ("host", "wiki.example.com"),
    ("isPlainHostName('www')", "true"),
    ("isPlainHostName('www.example.com')", "false"),
    ("isPlainHostName('fd00::1')", "false"),
    ("dnsDomainIs('www.example.com', '.example.com')", "true"),
    ("dnsDomainIs('www.example.com', 'example.com')", "true"),
    ("dnsDomainIs('www', '.example.com')", "false"),
    ("dnsDomainIs('www.example.com', '*.example.com')", "false"),
    ("localHostOrDomainIs('www.example.com', 'www.example.com')", "true"),
    ("localHostOrDomainIs('www', 'www.example.com')", "true"),
    ("localHostOrDomainIs('www.other.com', 'www.example.com')", "false"),
    ("localHostOrDomainIs('home.example.com', 'www.example.com')", "false"),
    ("localHostOrDomainIs('sso.okta.com', '*.okta.com')", "false"),
    ("dnsDomainLevels('www')", "0"),
    ("dnsDomainLevels('www.example.com')", "2"),
    ("shExpMatch('http://home.example.com/people/ari/index.html', '*/ari/*')", "true"),
    ("shExpMatch('http://home.example.com/people/montulli/index.html', '*/ari/*')", "false"),
    ("shExpMatch('sso.okta.com', '*.okta.com')", "true"),
    ("shExpMatch('okta.com', '*.okta.com')", "false"),
    ("shExpMatch('ssoxokta.com', '*.okta.com')", "false"),
    ("shExpMatch('ab', 'a?')", "true"),
    ("shExpMatch('a', 'a?')", "false"),
    ("shExpMatch('a(b', 'a(b')", "true"),
    ("shExpMatch('', '*')", "true"),
    ("shExpMatch('', '')", "true"),
    ("shExpMatch('aXbXc', 'a*b*c')", "true"),
    ("shExpMatch('aXbX', 'a*b*c')", "false"),
    ("isResolvable('wiki.example.com')", "true"),
    ("isResolvable('only6.example.com')", "false"),
    ("isResolvable('nowhere.example.com')", "false"),
    ("isResolvableEx('only6.example.com')", "true"),
    ("isResolvableEx('nowhere.example.com')", "false"),
    ("dnsResolve('wiki.example.com')", "10.1.2.3"),
    ("dnsResolve('WIKI.example.com')", "10.1.2.3"),
    ("dnsResolve('10.9.9.9')", "10.9.9.9"),
    ("dnsResolve('nowhere.example.com')", "null"),
    ("dnsResolveEx('wiki.example.com')", "10.1.2.3;fd00::3"),
    ("dnsResolveEx('nowhere.example.com')", ""),
    ("isInNet('wiki.example.com', '10.0.0.0', '255.0.0.0')", "true"),
    ("isInNet('10.1.2.3', '10.1.2.0', '255.255.255.0')", "true"),
    ("isInNet('10.1.3.3', '10.1.2.0', '255.255.255.0')", "false"),
    ("isInNet('203.0.113.9', '203.0.113.9', '255.255.255.255')", "true"),
    ("isInNet('outside.example.org', '10.0.0.0', '255.0.0.0')", "false"),
    ("isInNet('nowhere.example.com', '0.0.0.0', '0.0.0.0')", "false"),
    ("isInNet('10.1.2.3', '10.0.0.0/8', '255.0.0.0')", "false"),
    ("isInNet('10.1.2.3', '10.0.0.256', '255.0.0.0')", "false"),
    ("isInNetEx('10.1.2.3', '10.0.0.0/8')", "true"),
    ("isInNetEx('11.1.2.3', '10.0.0.0/7')", "true"),
    ("isInNetEx('12.1.2.3', '10.0.0.0/7')", "false"),
    ("isInNetEx('wiki.example.com', 'fd00::/8')", "true"),
    ("isInNetEx('2001:db8:8000::1', '2001:db8::/33')", "false"),
    ("isInNetEx('2001:db8:7fff::1', '2001:db8::/33')", "true"),
    ("isInNetEx('::ffff:10.0.0.1', '::ffff:a00:0/104')", "true"),
    ("isInNetEx('10.1.2.3', '10.0.0.0')", "false"),
    ("isInNetEx('10.1.2.3', '10.0.0.0/33')", "false"),
    ("isInNetEx('10.1.2.3', '::/0')", "false"),
    ("convert_addr('0.0.1.2')", "258"),
    ("convert_addr('nonsense')", "0"),
    ("myIpAddress()", "192.0.2.7"),
    ("myIpAddressEx()", "192.0.2.7;2001:db8::7"),
    ("sortIpAddressList('10.2.0.1;fd00::2;10.1.0.1;fd00::1')", "fd00::1;fd00::2;10.1.0.1;10.2.0.1"),
    ("sortIpAddressList('10.2.0.1;nonsense')", "false"),
    ("getClientVersion()", "1.0"),
    ("alert('x')", "undefined"),
    # Thursday, 26 November 2026, 03:20:30
    ("weekdayRange('THU', 'GMT')", "true"),
    ("weekdayRange('MON', 'FRI', 'GMT')", "true"),
    ("weekdayRange('FRI', 'SUN', 'GMT')", "false"),
    ("weekdayRange('SAT', 'THU', 'GMT')", "true"),
    ("weekdayRange('WED', 'WED', 'GMT')", "false"),
    ("weekdayRange('Thursday', 'GMT')", "false"),
    ("weekdayRange('GMT')", "false"),
    ("dateRange(26, 'GMT')", "true"),
    ("dateRange(25, 'GMT')", "false"),
    ("dateRange(20, 30, 'GMT')", "true"),
    ("dateRange('NOV', 'GMT')", "true"),
    ("dateRange('OCT', 'FEB', 'GMT')", "true"),
    ("dateRange('JAN', 'MAR', 'GMT')", "false"),
    ("dateRange(2026, 'GMT')", "true"),
    ("dateRange(2020, 2025, 'GMT')", "false"),
    ("dateRange(26, 'NOV', 'GMT')", "true"),
    ("dateRange(24, 'DEC', 'GMT')", "false"),
    ("dateRange(26, 'NOV', 2026, 'GMT')", "true"),
    ("dateRange(26, 'NOV', 2025, 'GMT')", "false"),
    ("dateRange(1, 'JUN', 15, 'AUG', 'GMT')", "false"),
    ("dateRange(15, 'NOV', 10, 'JAN', 'GMT')", "true"),
    ("dateRange(1, 'JUN', 1995, 27, 'NOV', 2026, 'GMT')", "true"),
    ("dateRange(1, 'JUN', 1995, 15, 'AUG', 1995, 'GMT')", "false"),
    ("dateRange('OCT', 2026, 'MAR', 2027, 'GMT')", "true"),
    ("dateRange('OCT', 1995, 'MAR', 1996, 'GMT')", "false"),
    ("dateRange(1, 2, 3, 'GMT')", "false"),
    ("dateRange(0, 'GMT')", "false"),
    ("dateRange('XXX', 'GMT')", "false"),
    ("dateRange()", "false"),
    ("timeRange(3, 'GMT')", "true"),
    ("timeRange(4, 'GMT')", "false"),
    ("timeRange(0, 3, 'GMT')", "true"),
    ("timeRange(9, 17, 'GMT')", "false"),
    ("timeRange(22, 6, 'GMT')", "true"),
    ("timeRange(3, 20, 3, 20, 'GMT')", "true"),
    ("timeRange(3, 21, 17, 0, 'GMT')", "false"),
    ("timeRange(3, 20, 0, 3, 20, 30, 'GMT')", "true"),
    ("timeRange(3, 20, 0, 3, 20, 29, 'GMT')", "false"),
    ("timeRange(1, 2, 3, 'GMT')", "false"),
    ("timeRange('noon', 'GMT')", "false"),
]


@pytest.mark.parametrize(("expression", "value"), TABLE, ids=[expression for expression, _ in TABLE])
def test_each_function_answers_as_in_a_browser(expression: str, value: str) -> None:
    assert evaluate(expression) == value


def test_without_gmt_the_zone_of_this_computer_counts() -> None:
    local = NOW.astimezone()
    assert evaluate(f"timeRange({local.hour}, {local.minute}, {local.hour}, {local.minute})") == "true"
    assert evaluate(f"dateRange({local.day})") == "true"


@pytest.mark.parametrize(
    ("url", "told", "host"),
    [
        ("https://sso.example.com/a?b#c", "https://sso.example.com/", "sso.example.com"),
        ("https://u:p@sso.example.com:8443/a", "https://sso.example.com:8443/", "sso.example.com"),
        ("http://iwa.example.com/device", "http://iwa.example.com/device", "iwa.example.com"),
        ("http://[fd00::1]:80/", "http://[fd00::1]:80/", "fd00::1"),
    ],
)
def test_a_script_is_told_no_path_of_an_https_url(url: str, told: str, host: str) -> None:
    assert told_of(url) == (told, host)


def test_a_script_cannot_hide_that_it_wants_an_address() -> None:
    script = """function FindProxyForURL(url, host) {
        try { return "PROXY " + dnsResolve("wiki.example.com") + ":1"; } catch (e) { return "DIRECT"; }
    }"""
    assert find_proxy(script, "https://a/", surroundings_of(ADDRESSES.get)) == "PROXY 10.1.2.3:1"


def test_a_name_is_looked_up_once() -> None:
    asked: list[str] = []

    def resolve(name: str) -> tuple[str, ...]:
        asked.append(name)
        return ("10.0.0.1",)

    script = """function FindProxyForURL(url, host) {
        for (var i = 0; i < 9; i++) isInNet(host, "10.0.0.0", "255.0.0.0");
        return dnsResolve("b.example.com") && "DIRECT";
    }"""
    find_proxy(script, "https://a.example.com/", Surroundings(resolve))
    assert asked == ["a.example.com", "b.example.com"]


HOSTILE = [
    ("while (1);", "takes longer than 0.5 s"),
    ("try { while (1); } catch (e) { return 'DIRECT'; }", "takes longer than 0.5 s"),
    ("var s = 'x'; while (1) s += s;", "more memory than it may have"),
    ("var a = []; while (1) a.push({});", "more memory than it may have"),
    ("function f() { f(); } f();", "stack overflow"),
    ("\n\nreturn missing();", "ReferenceError: 'missing' is not defined, at FindProxyForURL (line 3)"),
    ("throw new Error('no');", "Error: no"),
    ("throw 'no';", "no"),
    ("throw '\x1b]0;title\x07';", "fails: ?]0;title?"),
    ("}", "SyntaxError"),
    ("return {};", "did not answer with a text"),
    ("return 7;", "did not answer with a text"),
    ("return 'x'.repeat(5000);", "answered with 5000 characters"),
    ("return '\\ud800';", "can't decode"),
    ("for (var i = 0; i < 17; i++) dnsResolve('host' + i);", "looks up more than 16 names"),
]


@pytest.mark.parametrize(("body", "why"), HOSTILE, ids=[body for body, _ in HOSTILE])
def test_a_script_that_fails_or_never_ends_is_refused_with_its_reason(body: str, why: str) -> None:
    with pytest.raises(ProxyRefused) as refused:
        find_proxy(f"function FindProxyForURL(url, host) {{{body}}}", "https://a/", surroundings_of())
    assert why in str(refused.value)


@pytest.mark.parametrize("body", ["", "return null;", "return '';", "return undefined;"])
def test_no_answer_means_directly(body: str) -> None:
    script = f"function FindProxyForURL(url, host) {{{body}}}"
    assert find_proxy(script, "https://a/", surroundings_of()) == ""


def test_an_overlong_name_has_no_address_and_is_not_looked_up() -> None:
    def resolve(name: str) -> tuple[str, ...]:
        raise AssertionError(name)

    script = "function FindProxyForURL(url, host) { return String(isResolvable('x'.repeat(300))); }"
    assert find_proxy(script, "https://a/", Surroundings(resolve)) == "false"


def surroundings_of(get: Callable[[str], tuple[str, ...] | None] = lambda _: None) -> Surroundings:
    return Surroundings(lambda name: get(name) or ())
