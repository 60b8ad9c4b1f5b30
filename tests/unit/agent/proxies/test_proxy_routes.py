"""Texts that name proxies: the setting, the answer of a proxy auto-configuration file, the environment."""

import pytest

from gateway.agent.proxies.environment import is_exempt, route_by_environment
from gateway.agent.proxies.routes import (
    DIRECT,
    Proxy,
    ProxyRefused,
    Route,
    parse_pac_result,
    parse_proxy_setting,
)

SETTINGS = [
    ("http://proxy.example.com:3128", Proxy("http", "proxy.example.com", 3128)),
    ("http://proxy.example.com:3128/", Proxy("http", "proxy.example.com", 3128)),
    ("proxy:8080", Proxy("http", "proxy", 8080)),
    ("http://proxy", Proxy("http", "proxy", 80)),
    ("https://proxy", Proxy("https", "proxy", 443)),
    ("http://[fd00::1]:3128", Proxy("http", "fd00::1", 3128)),
    ("http://al%40ice:p%3Aw@proxy:3128", Proxy("http", "proxy", 3128, "al@ice", "p:w")),
]


@pytest.mark.parametrize(("text", "proxy"), SETTINGS, ids=[text for text, _ in SETTINGS])
def test_a_proxy_setting_is_scheme_host_and_port(text: str, proxy: Proxy) -> None:
    assert parse_proxy_setting(text) == proxy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://proxy:21", "http or https"),
        ("socks5://proxy:1080", "SOCKS is not supported"),
        ("http://", "no host and port"),
        ("http://proxy:0", "no host and port"),
        ("http://proxy:70000", "is not a URL"),
        ("http://pro xy:1", "is not a URL"),
        ("http://proxy:1\r\nX: y", "is not a URL"),
        ("http://wpad/proxy.pac", "belongs into HttpProxyPacLocation"),
        ("http://[fd00::zz]:1", "not a URL"),
        ("http://-proxy:1", "no host and port"),
    ],
)
def test_what_is_no_proxy_is_refused_with_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ProxyRefused, match=why):
        parse_proxy_setting(text)


def test_a_password_is_in_the_url_for_the_client_and_nowhere_else() -> None:
    proxy = parse_proxy_setting("http://alice:s3cret%2F@proxy:3128")
    assert proxy.url == "http://alice:s3cret%2F@proxy:3128"
    assert "s3cret" not in str(proxy) + repr(proxy)
    with pytest.raises(ProxyRefused) as refused:
        parse_proxy_setting("http://alice:s3cret@proxy:3128/path")
    assert "s3cret" not in str(refused.value)


A, B = Proxy("http", "a", 8080), Proxy("https", "b", 443)
ANSWERS: list[tuple[str, tuple[Route, ...]]] = [
    ("", (DIRECT,)),
    (" ; ", (DIRECT,)),
    ("DIRECT", (DIRECT,)),
    ("PROXY a:8080", (A,)),
    ("proxy a:8080;direct", (A, DIRECT)),
    ("PROXY a:8080; HTTPS b; DIRECT", (A, B, DIRECT)),
    ("HTTP a:8080; HTTP a:8080", (A,)),
    ("PROXY a", (Proxy("http", "a", 80),)),
    ("PROXY [fd00::1]:3128", (Proxy("http", "fd00::1", 3128),)),
    ("SOCKS s:1080; DIRECT", (DIRECT,)),
    ("PROXY http://a:8080; DIRECT", (DIRECT,)),
    ("PROXY a:99999; PROXY a:8080", (A,)),
]


@pytest.mark.parametrize(("text", "ways"), ANSWERS)
def test_an_answer_is_a_list_of_ways_in_their_order(text: str, ways: tuple[Route, ...]) -> None:
    assert parse_pac_result(text).ways == ways


def test_what_is_passed_over_is_said() -> None:
    routes = parse_pac_result("SOCKS4 s:1; QUIC q:443; PROXY a:8080")
    assert [text.split("'")[1] for text in routes.passed_over] == ["SOCKS4 s:1", "QUIC q:443"]


@pytest.mark.parametrize("text", ["SOCKS s:1080", "SOCKS5 s:1080", "PROXY a b c", "x" * 5000])
def test_an_answer_without_a_way_that_can_be_used_is_refused(text: str) -> None:
    with pytest.raises(ProxyRefused):
        parse_pac_result(text)


def test_socks_5_is_used_where_the_client_can_and_socks_4_never() -> None:
    assert parse_pac_result("SOCKS5 s:1080", socks=True).ways == (Proxy("socks5", "s", 1080),)
    with pytest.raises(ProxyRefused, match="version 5"):
        parse_pac_result("SOCKS s:1080", socks=True)


EXCEPTIONS = [
    ("*", "https://sso.example.com/", True),
    ("example.com", "https://sso.example.com/", True),
    (".example.com", "https://sso.example.com/", True),
    ("*.example.com", "https://sso.example.com/", True),
    ("example.com", "https://example.com/", True),
    ("example.com", "https://badexample.com/", False),
    ("example.com:443", "https://sso.example.com/", True),
    ("example.com:8443", "https://sso.example.com/", False),
    ("other.com, example.com", "https://sso.example.com/", True),
    ("EXAMPLE.com", "https://sso.example.COM./", True),
    ("10.0.0.0/8", "http://10.1.2.3/", True),
    ("10.0.0.0/8", "http://11.1.2.3/", False),
    ("10.1.2.3", "http://10.1.2.3:8080/", True),
    ("10.1.2.3:8080", "http://10.1.2.3:8080/", True),
    ("2.3", "http://10.1.2.3/", False),
    ("fd00::/8", "http://[fd00::1]/", True),
    ("", "https://sso.example.com/", False),
    (",,", "https://sso.example.com/", False),
]


@pytest.mark.parametrize(("no_proxy", "url", "exempt"), EXCEPTIONS)
def test_no_proxy_names_hosts_domains_ports_and_networks(no_proxy: str, url: str, exempt: bool) -> None:
    assert is_exempt(url, {"no_proxy": no_proxy}) is exempt


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({}, DIRECT),
        ({"https_proxy": "http://a:8080"}, A),
        ({"HTTPS_PROXY": "http://a:8080"}, A),
        ({"http_proxy": "http://a:8080"}, DIRECT),
        ({"ALL_PROXY": "http://a:8080"}, A),
        ({"https_proxy": "http://a:8080", "all_proxy": "http://c:1"}, A),
        ({"https_proxy": "http://a:8080", "NO_PROXY": "example.com"}, DIRECT),
        ({"https_proxy": ""}, DIRECT),
    ],
)
def test_the_environment_chooses_by_scheme(environment: dict[str, str], way: Route) -> None:
    assert route_by_environment("https://sso.example.com/", environment) == way


@pytest.mark.parametrize(
    "setting",
    [
        "http://alice:sec/ret@proxy:3128",
        "alice:sec/ret@proxy:3128",
        "http://alice:sec@ret@proxy:3128/path",
        "http://alice:sec#ret@proxy:3128",
        "ftp://alice:sec?ret@proxy:3128",
        "http://alice:sec ret@proxy:3128",
    ],
)
def test_a_password_with_characters_that_break_the_url_is_not_told(setting: str) -> None:
    """The sentence goes to terminals and logs."""
    with pytest.raises(ProxyRefused) as refused:
        parse_proxy_setting(setting)
    assert "sec" not in str(refused.value)
    assert "ret" not in str(refused.value)
