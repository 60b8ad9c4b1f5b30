"""Whatever names a proxy, it is one that can be connected to, or it is refused by the one declared error."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.agent.proxies.environment import is_exempt
from gateway.agent.proxies.pac_evaluation import Surroundings, find_proxy
from gateway.agent.proxies.pac_warnings import pac_warnings
from gateway.agent.proxies.routes import Proxy, ProxyRefused, parse_pac_result, parse_proxy_setting

WORDS = st.sampled_from(
    ["PROXY ", "HTTPS ", "SOCKS5 ", "DIRECT", ";", " ", "a:1", "[::1]:2", "a", ":", "[", "]", "@", "//", "\n"]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=12).map("".join))
PIECES = [
    "function",
    "FindProxyForURL(url,host){",
    "}",
    "return",
    "(",
    ")",
    ";",
    "+",
    "'DIRECT'",
    "host",
    "null",
    "[]",
    "`${host}`",
    "'",
    '"',
    "/*",
    "*/",
    "//",
    "\x00",
    "𐀀",
    "isInNet(host,'10.0.0.0','255.0.0.0')",
    "dnsDomainIs(host,'*.a')",
    "dnsResolve(url)",
    "shExpMatch(url,'*a*')",
    "dateRange(1,'JAN')",
    "timeRange(1,2)",
    "sortIpAddressList('1.1.1.1;::1')",
    "isInNetEx(host,'::/0')",
    "dnsResolve=1;",
]
JAVASCRIPT = st.lists(st.sampled_from([*PIECES, " ", "\n", "throw 1;"]), max_size=20).map("".join)


def assert_usable(proxy: Proxy) -> None:
    assert proxy.scheme in ("http", "https", "socks5", "socks5h")
    assert 0 < proxy.port < 65_536
    assert proxy.host
    assert not set(proxy.host) & set(" \r\n\t/@#?\0")


@settings(max_examples=300)
@given(TEXTS, st.booleans())
def test_a_setting(text, socks):
    with suppress(ProxyRefused):
        assert_usable(parse_proxy_setting(text, socks=socks))


@settings(max_examples=300)
@given(TEXTS, st.booleans())
def test_an_answer(text, socks):
    with suppress(ProxyRefused):
        ways = parse_pac_result(text, socks=socks).ways
        assert ways
        for way in ways:
            if isinstance(way, Proxy):
                assert_usable(way)


@given(st.text(max_size=80), st.sampled_from(["https://a.b/", "http://10.0.0.1:8/", "https://[fd00::1]/"]))
def test_exceptions(text, url):
    assert isinstance(is_exempt(url, {"no_proxy": text}), bool)


@settings(max_examples=200, deadline=None)
@given(st.one_of(JAVASCRIPT, st.text(max_size=60)))
def test_a_script(script):
    for warning in pac_warnings(script):
        assert 1 <= warning.line <= script.count("\n") + 1
    with suppress(ProxyRefused):
        assert isinstance(find_proxy(script, "https://a.example/", Surroundings(lambda name: ())), str)
